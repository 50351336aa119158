//! Servers that are found while the process runs: by DNS and in files, with real sockets and a name
//! server that answers what it is told to.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types)] // test code

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use evenkeel_tools::names::{Answer, NameServer};
use support::{Backend, Client, Directory, Proxy, Received, Then, reply, wait_for};

const NAME: &str = "app.internal";

fn answering(name: String) -> impl Fn(&Received, &mut std::net::TcpStream) -> Then {
    move |_, stream| {
        let length = name.len();
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}"));
        Then::Keep
    }
}

/// Servers at one port of several addresses of this host, as those of a name are. Each answers with
/// its address.
fn servers(count: u8) -> (u16, Vec<Backend>) {
    for _ in 0..100 {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let others = (2..=count).map(|n| TcpListener::bind(format!("127.0.0.{n}:{port}")));
        if let Ok(others) = others.collect::<Result<Vec<_>, _>>() {
            let start = |listener: TcpListener| {
                let name = listener.local_addr().unwrap().ip().to_string();
                Backend::on(listener, answering(name))
            };
            return (port, std::iter::once(first).chain(others).map(start).collect());
        }
    }
    panic!("no port is free on all addresses");
}

/// One pool, whose servers are found like this.
fn discovering(source: &str) -> String {
    format!(
        "listeners: {{ web: {{ bind: 127.0.0.1:0 }} }}\nroutes: [{{ to: app }}]\npools:\n  app:\n    \
         discover: {source}\n    balance: round_robin\n"
    )
}

fn by_dns(server: &NameServer, rest: &str) -> String {
    let resolver = server.address;
    discovering(&format!("{{ dns: {{ name: {NAME}., resolvers: [\"{resolver}\"]{rest} }} }}"))
}

/// Who answers, of so many requests.
fn who(proxy: &Proxy, requests: usize) -> Vec<String> {
    let mut all: Vec<String> = (0..requests)
        .map(|_| {
            let response = proxy.get("/");
            if response.status == 200 { response.text() } else { response.status.to_string() }
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The first answer after a change is taken: of questions for two families, asked again once a
/// second, no more than a few are on their way. A machine that is slow is slow here too.
fn assert_soon(dns: &NameServer, before: usize, changed: Instant) {
    let (asked, took) = (dns.count(NAME) - before, changed.elapsed());
    assert!(took < Duration::from_secs(2) || asked <= 4, "{took:?}, asked {asked} times");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_change_in_dns_is_served_within_its_ttl_and_a_second() {
    let dns = NameServer::start();
    let (port, _servers) = servers(3);
    dns.set_addresses(NAME, 1, &["127.0.0.1", "127.0.0.2"]);
    let proxy = Proxy::start(&by_dns(&dns, &format!(", port: {port}")));
    assert_eq!(who(&proxy, 20), ["127.0.0.1", "127.0.0.2"], "from the first request on");
    dns.set_addresses(NAME, 1, &["127.0.0.3"]);
    let (changed, before) = (Instant::now(), dns.count(NAME));
    wait_for("the new server", || who(&proxy, 3) == ["127.0.0.3"]);
    assert_soon(&dns, before, changed);
    assert_eq!(who(&proxy, 20), ["127.0.0.3"], "no new request to what is gone");
}

#[test]
fn no_answer_whatever_its_kind_fails_a_request() {
    let dns = NameServer::start();
    let (port, _servers) = servers(2);
    dns.set_addresses(NAME, 0, &["127.0.0.1", "127.0.0.2"]);
    let proxy = Proxy::start(&by_dns(&dns, &format!(", port: {port}")));
    let (done, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = {
        let (done, failed, address) = (done.clone(), failed.clone(), proxy.addresses[0]);
        std::thread::spawn(move || {
            let (mut client, mut count) = (Client::connect(address), 0_u32);
            while !done.load(Ordering::Relaxed) {
                client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
                let ok = client.response().status == 200;
                failed.fetch_add(usize::from(!ok), Ordering::Relaxed);
                count += 1;
            }
            count
        })
    };
    for answer in [
        Answer::NxDomain,
        Answer::ServFail,
        Answer::Empty,
        Answer::Garbage,
        Answer::Silence,
        Answer::Truncated(Box::new(Answer::Silence)),
        Answer::Late(Duration::from_secs(3), Box::new(Answer::NxDomain)),
    ] {
        let before = dns.count(NAME);
        dns.set(NAME, answer);
        wait_for("it to be asked", || dns.count(NAME) > before);
        std::thread::sleep(Duration::from_millis(100));
    }
    dns.set_addresses(NAME, 0, &["127.0.0.2"]);
    wait_for("the answer after all that", || who(&proxy, 3) == ["127.0.0.2"]);
    done.store(true, Ordering::Relaxed);
    let count = load.join().unwrap();
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {count}");
    assert!(count > 100, "{count}");
    let told = proxy.log().iter().filter(|line| line.contains("gives no answer")).count();
    assert!((1..=7).contains(&told), "told {told} times");
}

#[test]
fn a_start_without_dns_serves_503_until_the_first_answer() {
    let dns = NameServer::start();
    let (port, _servers) = servers(1);
    dns.set(NAME, Answer::Silence);
    let proxy = Proxy::start(&by_dns(&dns, &format!(", port: {port}")));
    let response = proxy.get("/");
    assert_eq!(response.status, 503, "{}", response.head);
    dns.set_addresses(NAME, 60, &["127.0.0.1"]);
    wait_for("the first answer", || proxy.get("/").status == 200);
}

#[test]
fn service_records_say_port_and_priority_rfc_2782() {
    let dns = NameServer::start();
    let (first, _one) = servers(1);
    let (second, _two) = servers(1);
    dns.set_addresses("host.internal", 60, &["127.0.0.1"]);
    let services = vec![(1, 10, first, "host.internal"), (2, 10, second, "host.internal")];
    dns.set(NAME, Answer::Services(1, services));
    let proxy = Proxy::start(&by_dns(&dns, ""));
    assert_eq!(who(&proxy, 10), ["127.0.0.1"]);
    assert_eq!(_two[0].count(), 0, "the other priority is for when the first is gone");
    dns.set(NAME, Answer::Services(1, vec![(2, 10, second, "host.internal")]));
    wait_for("the other one", || proxy.get("/").status == 200 && _two[0].count() > 0);
}

#[test]
fn a_file_of_servers_is_taken_over_when_it_changes_and_kept_when_it_is_wrong() {
    let (port, _servers) = servers(3);
    let place = Directory::new();
    let (file, next) = (place.0.join("servers.yaml"), place.0.join("next"));
    let line = |n: u8| format!("- 127.0.0.{n}:{port}\n");
    std::fs::write(&file, line(1)).unwrap();
    let proxy = Proxy::start(&discovering(&format!("{{ file: {} }}", file.display())));
    assert_eq!(who(&proxy, 5), ["127.0.0.1"]);
    // In place.
    std::fs::write(&file, line(1) + &line(2)).unwrap();
    wait_for("both", || who(&proxy, 20).len() == 2);
    // By a rename.
    std::fs::write(&next, format!("[{{ address: \"127.0.0.3:{port}\", weight: 2 }}]")).unwrap();
    std::fs::rename(&next, &file).unwrap();
    wait_for("the third", || who(&proxy, 3) == ["127.0.0.3"]);
    // What is wrong changes nothing.
    std::fs::write(&file, "- 127.0.0.1:99999\n").unwrap();
    let told = || proxy.log().iter().any(|line| line.contains("99999"));
    wait_for("it to be told of", told);
    assert_eq!(who(&proxy, 10), ["127.0.0.3"]);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, line(2)).unwrap();
    wait_for("the second", || who(&proxy, 3) == ["127.0.0.2"]);
}

#[test]
fn a_server_with_a_name_is_followed_and_a_start_without_its_address_is_no_error() {
    let dns = NameServer::start();
    let (port, _servers) = servers(2);
    let config = format!(
        "resolvers: \"{}\"\nlisteners: {{ web: {{ bind: 127.0.0.1:0 }} }}\nroutes: [{{ to: app }}]\n\
         pools: {{ app: {{ servers: [\"{NAME}:{port}\"] }} }}\n",
        dns.address
    );
    let proxy = Proxy::start(&config); // which says that there is no such name
    assert_eq!(proxy.get("/").status, 503);
    assert!(proxy.log().iter().any(|line| line.contains("has no address yet")));
    dns.set_addresses(NAME, 1, &["127.0.0.1"]);
    wait_for("its address", || who(&proxy, 3) == ["127.0.0.1"]);
    let mut kept = Client::connect(proxy.addresses[0]);
    let mut ask = || {
        kept.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        kept.response().text()
    };
    assert_eq!(ask(), "127.0.0.1");
    dns.set_addresses(NAME, 1, &["127.0.0.2"]);
    let (changed, before) = (Instant::now(), dns.count(NAME));
    wait_for("another one", || who(&proxy, 3) == ["127.0.0.2"]);
    assert_soon(&dns, before, changed);
    assert_eq!(ask(), "127.0.0.2", "kept connections to the old address are not used");
    dns.set(NAME, Answer::ServFail);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(ask(), "127.0.0.2", "the last good answer stays");
}
