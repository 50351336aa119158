//! Sessions that are resumed: across reloads and processes, and nowhere else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::authority::{Authority, Issued, replace};
use crate::client::{ONLY_12, ONLY_13, TlsClient, config};
use crate::support::{Backend, Directory, Proxy, wait_for, with_listener};

/// One request on a new connection; whether its session was resumed. What the server says after the
/// handshake (tickets) has come with the response.
fn resumes(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<bool> {
    let mut client = TlsClient::connect(address, "shop.example", config)?;
    client.get()?;
    Ok(client.is_resumed())
}

fn start(certificate: &Issued, directory: &Directory, more: &str) -> (Proxy, Backend, String) {
    let backend = Backend::named("a");
    let files = certificate.write(&directory.0, "shop");
    let tls = format!("    tls: {{ certificates: [{files}]{more} }}\n");
    let text = with_listener(&[&backend], &tls);
    (Proxy::start(&text), backend, text)
}

#[test]
fn l3_sessions_are_resumed_across_reloads_and_new_certificates() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let (proxy, _backend, text) = start(&authority.issue(&["shop.example"]), &directory, "");
    for versions in [ONLY_13, ONLY_12] {
        let config = Arc::new(config(&authority, versions, None));
        assert!(!resumes(proxy.addresses[0], &config).unwrap());
        assert!(resumes(proxy.addresses[0], &config).unwrap());
        for round in 0..10 {
            proxy.reload(&format!("{}\nwatch: {}\n", text.trim_end(), round % 2 == 0));
            assert!(resumes(proxy.addresses[0], &config).unwrap(), "after reload {round}");
        }
        let next = authority.issue(&["shop.example"]);
        next.write(&directory.0, "shop");
        wait_for("the new certificate", || {
            let fresh = Arc::new(crate::client::config(&authority, versions, None));
            let client = TlsClient::connect(proxy.addresses[0], "shop.example", &fresh).unwrap();
            client.shown() == next.der.to_vec()
        });
        assert!(resumes(proxy.addresses[0], &config).unwrap(), "after a new certificate");
    }
}

#[test]
fn l3_processes_that_share_a_file_of_keys_resume_each_others_sessions() {
    let authority = Authority::new("ca");
    let certificate = authority.issue(&["shop.example"]);
    let (one, two) = (Directory::new(), Directory::new());
    let keys = one.0.join("ticket.keys");
    let key = |digit: &str| digit.repeat(64);
    replace(&keys, &format!("# the first seals\n{}\n", key("a")));
    let more = format!(", tickets: {{ keys: {} }}", keys.display());
    let (first, _a, _) = start(&certificate, &one, &more);
    let (second, _b, _) = start(&certificate, &two, &more);
    for (versions, old, new, last) in [(ONLY_13, "a", "b", "c"), (ONLY_12, "d", "e", "f")] {
        replace(&keys, &format!("{}\n", key(old)));
        let config = Arc::new(config(&authority, versions, None));
        wait_for("a session of the first at the second", || {
            resumes(first.addresses[0], &config).unwrap();
            resumes(second.addresses[0], &config).unwrap()
        });
        // A new key seals, the old one still opens.
        replace(&keys, &format!("{}\n{}\n", key(new), key(old)));
        assert!(resumes(first.addresses[0], &config).unwrap());
        // Both are gone: what they sealed is worth nothing, and nobody is refused for it.
        replace(&keys, &format!("{}\n", key(last)));
        wait_for("the old keys to be forgotten", || !resumes(first.addresses[0], &config).unwrap());
        assert!(resumes(first.addresses[0], &config).unwrap());
    }
}

#[test]
fn l2_a_session_is_good_at_its_own_listener_alone() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let certificate = authority.issue(&["shop.example"]);
    let files = certificate.write(&directory.0, "shop");
    let keys = directory.0.join("ticket.keys");
    replace(&keys, &format!("{}\n", "a".repeat(64)));
    let ca = directory.0.join("ca.pem");
    replace(&ca, &authority.pem);
    let tickets = format!("tickets: {{ keys: {} }}", keys.display());
    let backend = Backend::named("a");
    let proxy = Proxy::start(&format!(
        "listeners:\n  open:\n    bind: 127.0.0.1:0\n    tls: {{ certificates: [{files}], {tickets} }}\n  \
         closed:\n    bind: 127.0.0.1:0\n    tls: {{ certificates: [{files}], {tickets}, client_auth: {{ ca: {} }} }}\n\
         routes:\n  - to: app\npools:\n  app: {{ servers: [\"{}\"] }}\n",
        ca.display(),
        backend.address,
    ));
    let (open, closed) = (proxy.addresses[0], proxy.addresses[1]);
    for versions in [ONLY_13, ONLY_12] {
        let nobody = Arc::new(config(&authority, versions, None));
        assert!(!resumes(open, &nobody).unwrap());
        assert!(resumes(open, &nobody).unwrap(), "or this proves nothing");
        assert!(resumes(closed, &nobody).is_err(), "no certificate, no entry");
        let somebody = authority.issue(&["somebody"]);
        let somebody = Arc::new(config(&authority, versions, Some(&somebody)));
        assert!(!resumes(open, &somebody).unwrap());
        assert!(!resumes(closed, &somebody).unwrap(), "a full handshake, with the certificate");
        assert!(resumes(closed, &somebody).unwrap());
    }
}

#[test]
fn without_tickets_every_handshake_is_a_full_one() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let issued = authority.issue(&["shop.example"]);
    let (proxy, _backend, _) = start(&issued, &directory, ", tickets: false");
    for versions in [ONLY_13, ONLY_12] {
        let config = Arc::new(config(&authority, versions, None));
        for _ in 0..3 {
            assert!(!resumes(proxy.addresses[0], &config).unwrap());
        }
    }
}

#[test]
fn l8_sessions_are_resumed_by_a_process_that_took_over() {
    let authority = Authority::new("ca");
    let directory = Directory::new();
    let (proxy, _backend, _) = start(&authority.issue(&["shop.example"]), &directory, "");
    for versions in [ONLY_13, ONLY_12] {
        let config = Arc::new(config(&authority, versions, None));
        resumes(proxy.addresses[0], &config).unwrap();
        assert!(resumes(proxy.addresses[0], &config).unwrap(), "or this proves nothing");
    }
    let config = Arc::new(config(&authority, ONLY_13, None));
    resumes(proxy.addresses[0], &config).unwrap();
    proxy.signal("-USR2");
    let mut line = None;
    wait_for("the new process", || {
        line = proxy.log().into_iter().find(|line| line.contains("upgraded: the new process"));
        line.is_some()
    });
    let line = line.unwrap();
    let pid = line.split("pid=").nth(1).unwrap();
    let pid: String = pid.chars().take_while(char::is_ascii_digit).collect();
    let _new = Other(pid);
    wait_for("the old process to be gone", || {
        !std::path::Path::new(&format!("/proc/{}", proxy.id())).exists()
            || std::fs::read_to_string(format!("/proc/{}/stat", proxy.id()))
                .is_ok_and(|stat| stat.contains(") Z "))
    });
    assert!(resumes(proxy.addresses[0], &config).unwrap());
}

/// A process that is ended with the test.
struct Other(String);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-KILL", &self.0]).status();
    }
}
