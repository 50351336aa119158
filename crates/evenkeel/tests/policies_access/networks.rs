//! `access`: by network, of lists inline and in files.

use std::process::Command;

use crate::Stage;
use crate::quic::Site;
use crate::support::wait_for;

#[test]
fn a_client_of_a_network_that_may_not_gets_403_over_each_version() {
    let stage = Stage::new("{ access: { deny: 127.0.0.0/8 } }");
    let answer = stage.get("/", &[]);
    assert_eq!((answer.status, answer.field("x-evenkeel-reason")), (403, Some("address_denied")));
    assert_eq!(stage.app.count(), 0);
}

#[test]
fn the_most_specific_network_decides() {
    let stage = Stage::new("{ access: { deny: 127.0.0.0/8, allow: [127.0.0.1] } }");
    assert_eq!(stage.status(&[]), 200);
    stage.reload("{ access: { allow: 127.0.0.0/8, deny: [127.0.0.1] } }");
    assert_eq!(stage.status(&[]), 403);
    stage.reload("{ access: { allow: 192.0.2.0/24 } }");
    assert_eq!(stage.status(&[]), 403, "who allows somebody allows nobody else");
}

#[test]
fn a_client_cannot_say_where_it_comes_from() {
    let stage = Stage::new("{ access: { allow: 192.0.2.0/24 } }");
    let fields = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
    assert_eq!(stage.status(&fields), 403);
}

#[test]
fn a_file_of_networks_is_taken_over_when_it_changes_and_a_bad_one_is_not() {
    let site = Site::new();
    let list = site.directory.0.join("deny.txt");
    std::fs::write(&list, "# nobody yet\n192.0.2.0/24\n").unwrap();
    let stage = Stage::with(site, "{ access: { deny_file: $DIR/deny.txt } }", "");
    assert_eq!(stage.status(&[]), 200);
    std::fs::write(&list, "127.0.0.0/8\n").unwrap();
    let says = "documents changed and are in force";
    wait_for("the file to be taken over", || stage.proxy.log().iter().any(|l| l.contains(says)));
    assert_eq!(stage.status(&[]), 403);
    std::fs::write(&list, "127.0.0.0/99\n").unwrap();
    let says = "deny.txt: line 1: `127.0.0.0/99` is not a network";
    wait_for("the mistake to be told", || stage.proxy.log().iter().any(|l| l.contains(says)));
    assert_eq!(stage.status(&[]), 403, "what was in force stays");
}

#[test]
fn tens_of_thousands_of_networks_are_no_matter() {
    let site = Site::new();
    let lines: String =
        (0..60_000_u32).map(|n| format!("10.{}.{}.0/25\n", n >> 8, n & 255)).collect();
    std::fs::write(site.directory.0.join("deny.txt"), lines + "127.0.0.1\n").unwrap();
    let stage = Stage::with(site, "{ access: { deny_file: $DIR/deny.txt } }", "");
    assert_eq!(stage.status(&[]), 403);
}

#[test]
fn check_says_what_is_wrong_in_a_file_at_the_place_that_names_it() {
    let directory = crate::support::Directory::new();
    let (config, list) = (directory.0.join("e.yaml"), directory.0.join("deny.txt"));
    let text = format!(
        "listeners: {{ web: {{ bind: \"127.0.0.1:0\", policies: p }} }}\nroutes: [ {{ respond: {{}} }} ]\n\
         policies:\n  p: {{ access: {{ deny_file: {} }} }}\n",
        list.display()
    );
    std::fs::write(&config, text).unwrap();
    let check = || {
        let output =
            Command::new(env!("CARGO_BIN_EXE_evenkeel")).args(["check"]).arg(&config).output();
        String::from_utf8_lossy(&output.unwrap().stderr).into_owned()
    };
    let said = check();
    assert!(said.contains("there is no such file") && said.contains(":4:"), "{said}");
    std::fs::write(&list, "10.0.0.0/8\nnonsense\n").unwrap();
    let said = check();
    assert!(said.contains("line 2: `nonsense` is not a network"), "{said}");
    assert!(said.contains("bad-document") && said.contains("^"), "{said}");
    std::fs::write(&list, "10.0.0.0/8\n").unwrap();
    assert_eq!(check(), "");
}
