//! `basic_auth`, over each version of HTTP.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Stage;
use crate::quic::Site;
use crate::support::wait_for;

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// A stage whose only user is alice, with this password.
fn stage(policy: &str) -> Stage {
    let site = Site::new();
    write(&site, "alice", "right");
    Stage::with(site, policy, "")
}

fn write(site: &Site, name: &str, password: &str) {
    let hash = bcrypt::hash(password, 4).unwrap();
    std::fs::write(site.directory.0.join("users"), format!("# people\n{name}:{hash}\n")).unwrap();
}

#[test]
fn who_has_no_password_or_a_wrong_one_is_asked_for_it_rfc_7617_2() {
    let stage = stage("{ basic_auth: { file: $DIR/users, realm: the office } }");
    let right = basic("alice", "right");
    for given in ["", "Basic", "Basic !!!", "Bearer x", &basic("alice", "wrong")] {
        let fields = [("authorization", given)];
        let answer = stage.get("/", if given.is_empty() { &[] } else { &fields });
        assert_eq!(
            (answer.status, answer.field("x-evenkeel-reason")),
            (401, Some("no_credentials"))
        );
        let challenge = Some("Basic realm=\"the office\", charset=\"UTF-8\"");
        assert_eq!(answer.field("www-authenticate"), challenge, "{given}");
    }
    assert_eq!(stage.status(&[("authorization", &basic("bob", "right"))]), 401);
    let twice = [("authorization", right.as_str()), ("authorization", right.as_str())];
    assert_eq!(stage.status(&twice), 401, "nobody can say which one a server would believe");
    assert_eq!(stage.app.count(), 0);
    assert_eq!(stage.status(&[("authorization", &right)]), 200);
    assert_eq!(stage.app.count(), 3);
}

#[test]
fn servers_are_told_the_name_and_a_client_cannot_say_it_itself() {
    let stage = stage("{ basic_auth: { file: $DIR/users, user_field: x-user } }");
    let right = basic("alice", "right");
    let fields = [
        ("authorization", right.as_str()),
        ("x-user", "root"),
        ("x_user", "root"),
        ("x.user", "root"),
    ];
    assert_eq!(stage.status(&fields), 200);
    for request in stage.app.received() {
        assert_eq!(request.fields("x-user"), ["alice"]);
        assert!(!request.head.contains("root"), "{}", request.head);
        assert_eq!(request.field("authorization"), None, "the password is nobody else's business");
    }
}

#[test]
fn a_changed_file_is_in_force_though_its_passwords_are_remembered() {
    let stage = stage("{ basic_auth: { file: $DIR/users, remember: 1h } }");
    let old = basic("alice", "right");
    assert_eq!(stage.status(&[("authorization", &old)]), 200);
    write(&stage.site, "alice", "other");
    let says = "documents changed and are in force";
    wait_for("the change", || stage.proxy.log().iter().any(|line| line.contains(says)));
    assert_eq!(stage.status(&[("authorization", &old)]), 401);
    assert_eq!(stage.status(&[("authorization", &basic("alice", "other"))]), 200);
}

#[test]
fn who_is_remembered_waits_for_no_flood_of_wrong_passwords() {
    let stage = stage("{ basic_auth: { file: $DIR/users } }");
    let right = basic("alice", "right");
    assert_eq!(stage.status(&[("authorization", &right)]), 200);
    let address = stage.proxy.addresses[0];
    let site = &stage.site;
    std::thread::scope(|scope| {
        for n in 0..8 {
            let wrong = basic("alice", &format!("wrong {n}"));
            scope.spawn(move || {
                let [h1, ..] =
                    crate::versions::ask(site, address, "GET", "/", &[("authorization", &wrong)]);
                assert!(matches!(h1.status, 401 | 503), "{}", h1.status);
            });
        }
        assert_eq!(stage.status(&[("authorization", &right)]), 200);
    });
}
