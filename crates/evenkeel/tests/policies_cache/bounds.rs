//! What is forgotten: because it is told so, because there is no room, because settings change.

use std::process::Command;

use crate::stage::{Stage, config};
use crate::support::Proxy;

const FRESH: &str = "Cache-Control: max-age=60";

fn purge(proxy: &Proxy, arguments: &[&str]) -> String {
    let admin = format!("unix:{}", proxy.admin_socket().display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(["cache", "purge", "--admin", &admin]).args(arguments);
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).trim().to_owned()
}

#[test]
fn operators_purge_by_url_by_prefix_and_by_tag() {
    let stage = Stage::new("", &[FRESH, "Cache-Tag: all, news", "Vary: X-A"]);
    stage.get("/news/1", &[]);
    stage.get("/news/1", &["X-A: b"]);
    stage.get("/news/2", &[]);
    stage.say(200, &[FRESH, "Surrogate-Key: all shop"], "");
    stage.get("/shop", &[]);
    assert_eq!(stage.backend.count(), 4);
    // All variants of it, and the mark that says that there are some.
    assert_eq!(purge(&stage.proxy, &["HTTP://TEST:80/news/1"]), "3 forgotten");
    stage.get("/news/2", &[]);
    assert_eq!(stage.backend.count(), 4);
    stage.get("/news/1", &[]);
    assert_eq!(stage.backend.count(), 5);
    assert_eq!(purge(&stage.proxy, &["--tag", "shop"]), "2 forgotten");
    assert_eq!(purge(&stage.proxy, &["--tag", "sho"]), "0 forgotten");
    assert_eq!(purge(&stage.proxy, &["--prefix", "http://test/news"]), "2 forgotten");
    stage.get("/news/2", &[]);
    stage.get("/shop", &[]);
    assert_eq!(stage.backend.count(), 7);
    assert_eq!(purge(&stage.proxy, &["--all"]), "2 forgotten");
    let wrong = purge(&stage.proxy, &["/news"]);
    assert!(wrong.contains("does not begin with http:// or https://"), "{wrong}");
    let wrong = purge(&stage.proxy, &["--all", "--policy", "stor"]);
    assert!(wrong.contains("there is no policy `stor` that is a cache"), "{wrong}");
}

#[test]
fn what_does_not_fit_makes_room_and_what_is_asked_for_often_stays() {
    let stage = Stage::new("size: 1MiB, max_object: 64KiB", &[]);
    stage.say(200, &[FRESH], &"x".repeat(8 * 1024));
    for _ in 0..8 {
        stage.get("/often", &[]);
    }
    assert_eq!(stage.backend.count(), 1);
    for n in 0..400 {
        stage.get(&format!("/once/{n}"), &[]);
        if n % 180 == 179 {
            stage.get("/often", &[]); // the last used were about 120 others
        }
    }
    let asked = stage.backend.count() - 401;
    assert!(asked < 2, "each scan pushes it out");
    let shown = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["cache", "show", "--json", "--admin"])
        .arg(format!("unix:{}", stage.proxy.admin_socket().display()))
        .output()
        .unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let bytes = shown[0]["bytes"].as_u64().unwrap();
    // What has just come is beyond it until the next comes.
    assert!((500_000..=1_048_576 + 64 * 1024).contains(&bytes), "{shown}");
    stage.say(200, &[FRESH], &"x".repeat(65 * 1024));
    assert!(!stage_is_kept(&stage, "/too-long"));
}

/// Whether a second request asks nobody.
fn stage_is_kept(stage: &Stage, target: &str) -> bool {
    stage.get(target, &[]);
    let before = stage.backend.count();
    stage.get(target, &[]);
    stage.backend.count() == before
}

#[test]
fn a_reload_that_leaves_its_settings_keeps_what_is_kept() {
    let stage = Stage::new("size: 1MiB, max_object: 64KiB", &[FRESH]);
    assert!(stage_is_kept(&stage, "/x"));
    let other = config(&[&stage.backend], "size: 1MiB, max_object: 64KiB");
    stage
        .proxy
        .reload(&format!("{other}  more: {{ fields: {{ response: {{ set: {{ a: b }} }} }} }}\n"));
    let before = stage.backend.count();
    stage.get("/x", &[]);
    assert_eq!(stage.backend.count(), before);
    stage.proxy.reload(&config(&[&stage.backend], "size: 2MiB, max_object: 64KiB"));
    stage.get("/x", &[]);
    assert_eq!(stage.backend.count(), before + 1, "another cache");
}

#[test]
fn fields_are_edited_for_each_client_also_where_the_answer_is_kept() {
    let stage = Stage::new("", &[FRESH, "X-Drop: 1"]);
    let text =
        config(&[&stage.backend], "").replace("policies: [store]", "policies: [store, edit]");
    let edit = "fields: { response: { set: { x-set: \"2\" }, remove: x-drop }, request: { set: { x-a: b } } }";
    let proxy = Proxy::start(&format!("{text}  edit: {{ {edit} }}\n"));
    for _ in 0..2 {
        let answer = proxy.get("/x");
        assert_eq!((answer.field("x-set"), answer.field("x-drop")), (Some("2"), None));
    }
    assert_eq!(stage.backend.only().field("x-a"), Some("b"));
}
