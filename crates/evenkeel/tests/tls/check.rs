//! What `check` says about files, each at the place that names it, all at once.

use std::process::Command;

use crate::authority::{Authority, replace};
use crate::support::Directory;

fn check(directory: &Directory, text: &str) -> String {
    std::fs::write(directory.0.join("f.yaml"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["check", "f.yaml"])
        .current_dir(&directory.0)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_file_is_judged_at_its_place_and_all_at_once() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let (good, other) = (authority.issue(&["shop.example"]), authority.issue(&["shop.example"]));
    good.write(&directory.0, "good");
    other.write(&directory.0, "other");
    replace(&directory.0.join("text.pem"), "hello\n");
    let said = check(
        &directory,
        "listeners:\n  web:\n    bind: \":8443\"\n    tls:\n      certificates:\n\
        \x20       - { cert: nowhere.pem, key: good.key }\n\
        \x20       - { cert: text.pem, key: other.key }\n\
        \x20       - { cert: good.pem, key: other.key }\n\
        \x20     tickets: { keys: text.pem }\n    nonsense: 1\nroutes: [ { respond: {} } ]\n",
    );
    for expected in [
        "error[unreadable-file]: nowhere.pem: there is no such file\n --> f.yaml:6:19",
        "error[bad-pem]: text.pem: there is no certificate in this file\n --> f.yaml:7:19",
        "error[key-mismatch]: other.key: the key does not belong to the certificate in good.pem\n --> f.yaml:",
        "error[bad-key]: text.pem: this is not a list of keys of 32 bytes, one a line\n",
        "error[unknown-field]: unknown field `nonsense`",
    ] {
        assert!(said.contains(expected), "{expected}\n--- not in\n{said}");
    }
}

#[test]
fn what_is_doubtful_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let (authority, another) = (Authority::new("ca"), Authority::new("another"));
    let directory = Directory::new();
    let issued = authority.issue(&["other.example"]);
    issued.write(&directory.0, "shop");
    replace(&directory.0.join("shop.pem"), &format!("{}{}", issued.pem, another.pem));
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(directory.0.join("shop.key"), open).unwrap();
    let said = check(
        &directory,
        "listeners: { web: { bind: \":8443\", tls: { certificates: { cert: shop.pem, key: shop.key } } } }\n\
         routes: [ { match: { host: shop.example }, respond: {} } ]\n",
    );
    for expected in ["warning[open-key]", "warning[chain-order]", "warning[strange-certificate]"] {
        assert!(said.contains(expected), "{expected}\n--- not in\n{said}");
    }
    assert!(!said.contains("error"), "{said}");
}
