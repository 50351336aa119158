//! Servers that fail real requests: how soon they are left alone, what counts as a failure and what
//! does not, and how they come back. No client notices.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::{Backend, LIMIT, Proxy, Then, reply, wait_for, with_pool};

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

/// Answers that clients got, and when they are to stop.
#[derive(Default)]
struct Score {
    count: AtomicUsize,
    is_over: AtomicBool,
}

impl Score {
    /// So many more answers: at least a second's worth on any machine.
    fn await_more(&self, answers: usize) {
        let before = self.count.load(SeqCst);
        wait_for("more answers", || self.count.load(SeqCst) >= before + answers);
    }
}

/// Asks on `clients` connections while `test` goes on; how many answers there were, and those not
/// 200.
fn load(proxy: &Proxy, clients: usize, test: impl FnOnce(&Score)) -> (usize, Vec<(u16, String)>) {
    let score = Score::default();
    let one = || {
        let mut failed = Vec::new();
        let mut client = proxy.connect();
        while !score.is_over.load(SeqCst) {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let response = client.response();
            score.count.fetch_add(1, SeqCst);
            if response.status != 200 || !response.complete {
                failed.push((response.status, response.reason().to_owned()));
                client = proxy.connect();
            }
        }
        failed
    };
    let failed = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
        test(&score);
        score.is_over.store(true, SeqCst);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    (score.count.load(SeqCst), failed)
}

/// Long enough for times within the proxy to matter, however fast answers come.
fn a_while() {
    std::thread::sleep(Duration::from_millis(700));
}

#[test]
fn a_server_that_dies_under_load_is_left_alone_within_100_ms_and_no_get_is_lost() {
    let servers = [Moody::start(), Moody::start(), Moody::start()];
    let backends: Vec<&Backend> = servers.iter().map(|server| &server.backend).collect();
    let proxy = proxy(&backends, "");
    let (is_over, longest) = (AtomicBool::new(false), Mutex::new(Duration::ZERO));
    let (_, failed) = std::thread::scope(|scope| {
        scope.spawn(|| *longest.lock().unwrap() = longest_stall(&is_over));
        let ended = load(&proxy, 32, |score| {
            score.await_more(1000);
            a_while();
            servers[0].becomes(RESETS);
            score.await_more(1000);
            a_while();
        });
        is_over.store(true, SeqCst);
        ended
    });
    assert_eq!(failed, []);
    let misdeeds = servers[0].misdeeds();
    let (first, last) = (misdeeds.first().unwrap(), misdeeds.last().unwrap());
    let (took, count) = (last.duration_since(*first), misdeeds.len());
    // What was sent before the verdict waits for a core here and there until it is read.
    let stalled = *longest.lock().unwrap();
    let limit = Duration::from_millis(100) + stalled * 4;
    assert!(took <= limit, "{count} in {took:?}, on a machine that stalls for {stalled:?}");
}

/// How long this machine keeps a thread waiting that could run.
fn longest_stall(is_over: &AtomicBool) -> Duration {
    let nap = Duration::from_millis(1);
    let mut longest = Duration::ZERO;
    while !is_over.load(SeqCst) {
        let begun = Instant::now();
        std::thread::sleep(nap);
        longest = longest.max(begun.elapsed().saturating_sub(nap));
    }
    longest
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

/// A server that can be killed, listening socket and all, and started again at its address.
struct Mortal {
    address: SocketAddr,
    life: Option<Arc<Life>>,
}

#[derive(Default)]
struct Life {
    over: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

/// What a [`Mortal`] takes to answer.
const ANSWERS_AFTER: Duration = Duration::from_millis(30);

impl Mortal {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut mortal = Self { address: listener.local_addr().unwrap(), life: None };
        mortal.live(listener);
        mortal
    }

    fn live(&mut self, listener: TcpListener) {
        let life = Arc::<Life>::default();
        self.life = Some(life.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut streams = life.streams.lock().unwrap();
                if life.over.load(SeqCst) {
                    return; // and nobody listens any more
                }
                streams.push(stream.try_clone().unwrap());
                std::thread::spawn(move || serve(stream));
            }
        });
    }

    /// What is under way is reset, and connections are refused.
    fn die(&mut self) {
        let Some(life) = self.life.take() else { return };
        life.over.store(true, SeqCst);
        for stream in life.streams.lock().unwrap().drain(..) {
            support::reset(&stream);
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        drop(TcpStream::connect(self.address)); // wakes who accepts
        wait_for("it to be gone", || TcpStream::connect(self.address).is_err());
    }

    fn revive(&mut self) {
        let mut listener = None;
        wait_for("the address", || {
            listener = TcpListener::bind(self.address).ok();
            listener.is_some()
        });
        self.live(listener.unwrap());
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.die();
    }
}

fn serve(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut block = [0; 4096];
    loop {
        match stream.read(&mut block) {
            Ok(0) | Err(_) => return support::reset(&stream),
            Ok(n) => head.extend_from_slice(&block[..n]),
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            std::thread::sleep(ANSWERS_AFTER);
            if stream.write_all(OK.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn proxy_of(mortals: &[Mortal]) -> Proxy {
    let servers: Vec<String> = mortals.iter().map(|m| m.address.to_string()).collect();
    let servers = format!("servers: [{}]", servers.join(", "));
    let config = with_pool(&[], "").replace("servers: []", &servers);
    Proxy::start(&config.replace("listeners:", "workers: 2\nlisteners:"))
}

#[test]
fn a_server_that_is_killed_with_many_requests_under_way_costs_no_get() {
    let mut servers = [Mortal::start(), Mortal::start(), Mortal::start()];
    let proxy = proxy_of(&servers);
    let (count, failed) = load(&proxy, 64, |score| {
        score.await_more(2000);
        servers[0].die();
        score.await_more(2000);
        a_while();
    });
    assert_eq!(failed, [], "of {count}");
}

#[test]
fn two_servers_that_restart_one_after_the_other_cost_no_get() {
    let mut servers = [Mortal::start(), Mortal::start()];
    let proxy = proxy_of(&servers);
    let (count, failed) = load(&proxy, 8, |score| {
        for server in &mut servers {
            // The first is back long before its ejection is over when the second goes.
            score.await_more(100);
            a_while();
            server.die();
            score.await_more(50);
            a_while();
            server.revive();
        }
        score.await_more(100);
        a_while();
    });
    assert_eq!(failed, [], "of {count}");
}

#[test]
fn a_server_that_streams_comes_back_before_its_streams_end() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = fails.clone();
    let stream = move |is_moody: bool| {
        let failing = failing.clone();
        Backend::start(move |request, stream| {
            if is_moody && failing.load(SeqCst) {
                return Then::Reset;
            }
            if request.target() == "/stream" {
                reply(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
                std::thread::sleep(10 * LIMIT);
            }
            reply(stream, OK);
            Then::Keep
        })
    };
    let (moody, good) = (stream(true), stream(false));
    let pool = "    balance: round_robin\n    outlier: { consecutive: 3, eject: 200ms }\n    slow_start: 0s\n";
    let proxy = Proxy::start(&with_pool(&[&moody, &good], pool));
    for _ in 0..30 {
        assert_eq!(proxy.get("/").status, 200);
    }
    fails.store(false, SeqCst);
    let (before, begun) = (moody.count(), Instant::now());
    let mut clients = Vec::new();
    while moody.count() < before + 10 {
        let mut client = proxy.connect();
        client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
        clients.push(client);
        std::thread::sleep(Duration::from_millis(20));
        // By the ends of streams it would take ten times as long.
        assert!(begun.elapsed() < LIMIT, "{} streams", moody.count() - before);
    }
}
