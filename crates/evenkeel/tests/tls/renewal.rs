//! Files that change: taken over without a reload, or refused without harm.

use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use crate::authority::{Authority, DAY, replace};
use crate::client::{BOTH, TlsClient, config, get};
use crate::support::{Backend, Directory, Proxy, wait_for, with_listener};

struct Stage {
    authority: Authority,
    proxy: Proxy,
    directory: Directory,
    backend: Backend,
    text: String,
}

impl Stage {
    fn set() -> Self {
        let authority = Authority::new("ca");
        let directory = Directory::new();
        let certificate = authority.issue(&["shop.example"]).write(&directory.0, "shop");
        let backend = Backend::named("a");
        let tls = format!("    tls: {{ certificates: [{certificate}] }}\n");
        let text = with_listener(&[&backend], &tls);
        let proxy = Proxy::start(&text);
        Self { authority, proxy, directory, backend, text }
    }

    fn connect(&self) -> TlsClient {
        let config = Arc::new(config(&self.authority, BOTH, None));
        TlsClient::connect(self.proxy.addresses[0], "shop.example", &config).unwrap()
    }

    fn says(&self, words: &str) {
        wait_for(words, || self.proxy.log().iter().any(|line| line.contains(words)));
    }
}

#[test]
fn l9_a_certificate_that_changes_is_shown_without_a_reload_and_closes_nothing() {
    let stage = Stage::set();
    let mut before = stage.connect();
    before.get().unwrap();
    let next = stage.authority.issue(&["shop.example"]);
    next.write(&stage.directory.0, "shop");
    wait_for("the new certificate", || stage.connect().shown() == next.der.to_vec());
    assert_eq!(before.get().unwrap(), "HTTP/1.1 200 OK");
    assert_eq!(stage.backend.connections(), 1);
}

#[test]
fn l9_while_certificates_change_every_handshake_sees_one_whole() {
    let stage = Stage::set();
    let config = Arc::new(config(&stage.authority, BOTH, None));
    for round in 0..20 {
        if round % 4 == 0 {
            stage.authority.issue(&["shop.example"]).write(&stage.directory.0, "shop");
            stage.proxy.signal("-HUP");
        }
        for _ in 0..5 {
            get(stage.proxy.addresses[0], "shop.example", &config).unwrap();
        }
    }
}

#[test]
fn a_file_that_becomes_bad_leaves_what_was_in_force() {
    let stage = Stage::set();
    let before = stage.connect().shown();
    let other = stage.authority.issue(&["shop.example"]);
    replace(&stage.directory.0.join("shop.key"), &other.key_pem);
    stage.says("not taken over, what was in force stays");
    stage.says("the key does not belong to the certificate");
    assert_eq!(stage.connect().shown(), before);
    replace(&stage.directory.0.join("shop.pem"), &other.pem);
    wait_for("the pair", || stage.connect().shown() == other.der.to_vec());
}

#[test]
fn l19_a_reload_with_bad_files_is_refused_and_the_next_good_one_is_not() {
    let stage = Stage::set();
    let good = stage.connect().shown();
    let expired = stage.authority.issue_with(&["shop.example"], |params| {
        params.not_before = (SystemTime::now() - 30 * DAY).into();
        params.not_after = (SystemTime::now() - DAY).into();
    });
    let files = expired.write(&stage.directory.0, "expired");
    let (begin, end) = (stage.text.find("{ cert:").unwrap(), stage.text.find("] }").unwrap());
    let to_expired = stage.text.replace(&stage.text[begin..end], &files);
    let said = stage.proxy.reload(&to_expired);
    assert!(said.contains("refused"), "{said}");
    stage.says("expired on");
    assert_eq!(stage.connect().shown(), good);
    let missing = stage.text.replace("shop.pem", "nowhere.pem");
    assert!(stage.proxy.reload(&missing).contains("refused"));
    stage.says("there is no such file");
    let said = stage.proxy.reload(&format!("{}\nwatch: false\n", stage.text.trim_end()));
    assert!(!said.contains("refused"), "{said}");
    assert_eq!(stage.connect().shown(), good);
}

#[test]
fn a_process_starts_with_a_certificate_that_has_expired_but_check_refuses_it() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let expired = authority.issue_with(&["shop.example"], |params| {
        params.not_before = (SystemTime::now() - 30 * DAY).into();
        params.not_after = (SystemTime::now() - DAY).into();
    });
    let files = expired.write(&directory.0, "expired");
    let backend = Backend::named("a");
    let tls = format!("    tls: {{ certificates: [{files}] }}\n");
    let proxy = Proxy::start(&with_listener(&[&backend], &tls));
    wait_for("a word about it", || proxy.log().iter().any(|line| line.contains("expired on")));
    let checked = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .arg("check")
        .arg(proxy.file())
        .output()
        .unwrap();
    let said = proxy.reload(&with_listener(&[&backend], &format!("{tls}    policies: []\n")));
    assert!(!said.contains("refused"), "it is in force already: {said}");
    assert!(!checked.status.success());
    assert!(String::from_utf8_lossy(&checked.stderr).contains("error[out-of-date]"));
}

#[test]
fn an_ocsp_response_is_stapled_if_it_is_about_the_certificate_and_in_time() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let (issued, other) = (authority.issue(&["shop.example"]), authority.issue(&["shop.example"]));
    let files = issued.write(&directory.0, "shop");
    replace(&directory.0.join("ca.pem"), &authority.pem);
    replace(&directory.0.join("ca.key"), &authority.key_pem);
    let index: String = [&issued, &other]
        .map(|one| format!("V\t491231235959Z\t\t{:04X}\tunknown\t/CN={}\n", one.serial, one.serial))
        .concat();
    std::fs::write(directory.0.join("index.txt"), index).unwrap();
    let respond = |serial: u64| {
        let made = Command::new("openssl")
            .args(["ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "ca.pem"])
            .args(["-rkey", "ca.key", "-issuer", "ca.pem", "-serial", &serial.to_string()])
            .args(["-noverify", "-ndays", "1", "-respout", "next.ocsp"])
            .current_dir(&directory.0)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::rename(directory.0.join("next.ocsp"), directory.0.join("shop.ocsp")).unwrap();
    };
    respond(issued.serial);
    let files = files.replace(" }", &format!(", ocsp: {}/shop.ocsp }}", directory.0.display()));
    let backend = Backend::named("a");
    let tls = format!("    tls: {{ certificates: [{files}] }}\n");
    let proxy = Proxy::start(&with_listener(&[&backend], &tls));
    let shown = Command::new("openssl")
        .args(["s_client", "-status", "-servername", "shop.example", "-CAfile", "ca.pem"])
        .args(["-connect", &proxy.addresses[0].to_string()])
        .current_dir(&directory.0)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("OCSP Response Status: successful"), "{shown}");
    respond(other.serial);
    wait_for("a word about it", || {
        proxy.log().iter().any(|line| line.contains("about another certificate"))
    });
}
