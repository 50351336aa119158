//! Servers that fail real requests: how soon they are left alone, what counts as a failure and what
//! does not, and how they come back. No client notices.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::{Backend, Proxy, Then, reply, wait_for, with_pool};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A backend whose behaviour can be changed, and which remembers when it misbehaved.
struct Moody {
    backend: Backend,
    mood: Arc<AtomicU8>,
    misdeeds: Arc<Mutex<Vec<Instant>>>,
}

const GOOD: u8 = 0;
const RESETS: u8 = 1;
const TRUNCATES: u8 = 2;
const GARBAGE: u8 = 3;
const BAD_GATEWAY: u8 = 4;
const APPLICATION_ERROR: u8 = 5;

impl Moody {
    fn start() -> Self {
        let mood = Arc::new(AtomicU8::new(GOOD));
        let misdeeds = Arc::<Mutex<Vec<Instant>>>::default();
        let (now, done) = (mood.clone(), misdeeds.clone());
        let backend = Backend::start(move |_, stream| {
            let mood = now.load(SeqCst);
            if mood != GOOD {
                done.lock().unwrap().push(Instant::now());
            }
            match mood {
                RESETS => return Then::Reset,
                TRUNCATES => {
                    reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
                    return Then::Close;
                }
                GARBAGE => reply(stream, "rubbish\r\n\r\n"),
                BAD_GATEWAY => reply(stream, "HTTP/1.1 502 B\r\nContent-Length: 0\r\n\r\n"),
                APPLICATION_ERROR => reply(stream, "HTTP/1.1 500 E\r\nContent-Length: 0\r\n\r\n"),
                _ => reply(stream, OK),
            }
            Then::Keep
        });
        Self { backend, mood, misdeeds }
    }

    fn becomes(&self, mood: u8) {
        self.mood.store(mood, SeqCst);
    }

    fn misdeeds(&self) -> Vec<Instant> {
        self.misdeeds.lock().unwrap().clone()
    }
}

fn proxy(backends: &[&Backend], pool: &str) -> Proxy {
    let config = with_pool(backends, pool);
    Proxy::start(&config.replace("listeners:", "workers: 2\nlisteners:"))
}

/// Asks on `clients` connections until `until`; how many answers there were, and those not 200.
fn load(proxy: &Proxy, clients: usize, until: Instant) -> (usize, Vec<(u16, String)>) {
    let one = || {
        let (mut count, mut failed) = (0, Vec::new());
        let mut client = proxy.connect();
        while Instant::now() < until {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let response = client.response();
            count += 1;
            if response.status != 200 || !response.complete {
                failed.push((response.status, response.reason().to_owned()));
                client = proxy.connect();
            }
        }
        (count, failed)
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).fold(
            (0, Vec::new()),
            |(count, mut all), (n, failed)| {
                all.extend(failed);
                (count + n, all)
            },
        )
    })
}

#[test]
fn a_server_that_dies_under_load_is_left_alone_within_100_ms_and_no_get_is_lost() {
    let servers = [Moody::start(), Moody::start(), Moody::start()];
    let backends: Vec<&Backend> = servers.iter().map(|server| &server.backend).collect();
    let proxy = proxy(&backends, "");
    let begun = Instant::now();
    let failed = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&proxy, 8, begun + Duration::from_secs(2)));
        std::thread::sleep(Duration::from_millis(700));
        servers[0].becomes(RESETS);
        load.join().unwrap()
    });
    assert_eq!(failed.1, []);
    let misdeeds = servers[0].misdeeds();
    let (first, last) = (misdeeds.first().unwrap(), misdeeds.last().unwrap());
    let took = last.duration_since(*first);
    assert!(took <= Duration::from_millis(100), "{took:?}, {} of {}", misdeeds.len(), failed.0);
}

#[test]
fn each_kind_of_failure_counts_and_an_applications_own_does_not() {
    for (mood, counts) in [
        (RESETS, true),
        (TRUNCATES, true),
        (GARBAGE, true),
        (BAD_GATEWAY, true),
        (APPLICATION_ERROR, false),
    ] {
        let (bad, good) = (Moody::start(), Moody::start());
        bad.becomes(mood);
        let pool = "    balance: round_robin\n    outlier: { consecutive: 3, rate: false }\n";
        let proxy = proxy(&[&bad.backend, &good.backend], pool);
        for _ in 0..40 {
            proxy.get("/");
        }
        let times = bad.misdeeds().len();
        assert_eq!(times < 10, counts, "{mood}: {times} of 40");
    }
}

#[test]
fn a_server_comes_back_once_it_answers_again() {
    let (moody, good) = (Moody::start(), Moody::start());
    moody.becomes(RESETS);
    let pool = "    balance: round_robin\n    outlier: { consecutive: 3, eject: 200ms }\n    slow_start: 0s\n";
    let proxy = proxy(&[&moody.backend, &good.backend], pool);
    for _ in 0..30 {
        assert_eq!(proxy.get("/").status, 200);
    }
    // On trial it fails again, and no client notices that either.
    let misdeeds = moody.misdeeds().len();
    wait_for("it to be tried again", || {
        assert_eq!(proxy.get("/").status, 200);
        moody.misdeeds().len() > misdeeds
    });
    moody.becomes(GOOD);
    let before = moody.backend.count();
    wait_for("it to be asked like the other", || {
        assert_eq!(proxy.get("/").status, 200);
        moody.backend.count() > before + 50
    });
}

#[test]
fn a_refused_connection_can_mark_a_server_down_at_once() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let good = Moody::start();
    let pool =
        "    balance: round_robin\n    outlier: { consecutive: 0, rate: false, mark_down: 60s }\n";
    let config =
        with_pool(&[&good.backend], pool).replace("servers: [", &format!("servers: [{nobody}, "));
    let proxy = Proxy::start(&config);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
    let told = proxy.log().iter().filter(|line| line.contains("connect_refused")).count();
    assert_eq!(told, 1, "it was asked once");
}

#[test]
fn what_clients_do_says_nothing_about_servers() {
    let slow = Backend::start(|request, stream| {
        if request.target() == "/slow" {
            std::thread::sleep(Duration::from_millis(300));
        }
        reply(stream, OK);
        Then::Keep
    });
    let other = Moody::start();
    let pool = "    balance: round_robin\n    outlier: { consecutive: 3 }\n";
    let proxy = proxy(&[&slow, &other.backend], pool);
    for _ in 0..20 {
        let count = slow.count() + other.backend.count();
        let mut client = proxy.connect();
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for("the request", || slow.count() + other.backend.count() > count);
        support::reset(&client.stream);
    }
    let before = slow.count();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 200);
    }
    assert!(slow.count() - before >= 5, "{}", slow.count() - before);
}
