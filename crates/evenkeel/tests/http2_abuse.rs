//! Catalogue group J: clients of HTTP/2 that make work for nothing, or that never take what they asked
//! for. Each is cut off, soon; it holds little; servers hear of little; and a client that does nothing
//! of the kind is served meanwhile.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use evenkeel_tools::frames::code::{ENHANCE_YOUR_CALM, PROTOCOL_ERROR};
use evenkeel_tools::frames::{
    Block, Client, Settled, continuation, data, flag, frame, headers, kind, ping, priority,
    rst_stream, setting, settings, window_update,
};
use support::admin::Admin;
use support::{Backend, Proxy, Then, wait_for, with_listener};

/// Streams that may be reset, or made to be reset, in a second (`codec/src/h2/budget.rs`).
const RESETS: usize = 256;
/// An attacker is cut off this soon after it has exceeded a budget: 100 ms, and what a busy machine
/// adds, ours and the attacker's.
const SOON: Duration = Duration::from_secs(15);
/// What one connection may hold, its tasks of a development build included.
const HELD_MAX: usize = 4 << 20;
/// What the allocator keeps of what has been given back, for a while: pieces of many sizes.
const KEPT: usize = 24 << 20;
/// Connections of each flood, one after the other.
const ATTACKERS: usize = 10;

fn proxy(backend: &Backend, more: &str) -> Proxy {
    Proxy::start(&with_listener(
        &[backend],
        &format!("    limits: {{ connections_per_ip: 20000 }}\n{more}"),
    ))
}

fn open(proxy: &Proxy) -> Client {
    Client::open(proxy.addresses[0], &[]).unwrap()
}

/// One client that asks on and on, and minds how long it takes.
struct Bystander {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Duration>>,
}

impl Bystander {
    fn start(proxy: &Proxy) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (address, stopped) = (proxy.addresses[0], stop.clone());
        let thread = std::thread::spawn(move || {
            let mut client = Client::open(address, &[]).unwrap();
            let mut took = Vec::new();
            while !stopped.load(Ordering::Relaxed) || took.len() < 50 {
                let begun = Instant::now();
                let stream = client.request(&Block::request("GET", "/good"));
                let answer = client.answer(stream);
                assert!(matches!(answer, Ok((200, _))), "a good client got {answer:?}");
                took.push(begun.elapsed());
            }
            took
        });
        Self { stop, thread }
    }

    /// The 99th percentile of what its requests took; each was answered.
    fn finish(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.thread.join().unwrap();
        took.sort();
        took[took.len() * 99 / 100]
    }
}

/// Sends until the connection takes no more; how long that took, and the code it ended with, if that
/// could still be read.
fn until_cut(
    client: &mut Client,
    mut more: impl FnMut(&mut Client) -> Vec<u8>,
) -> (Duration, Option<u32>) {
    let begun = Instant::now();
    loop {
        let bytes = more(client);
        if !client.send(&bytes) {
            break;
        }
        assert!(begun.elapsed() < support::LIMIT, "nobody minds");
    }
    let took = begun.elapsed();
    let end = client.until(|frame| frame.kind == kind::GOAWAY);
    (took, end.and_then(|frame| frame.code()))
}

/// A flood from several connections one after the other, beside a client that does nothing wrong:
/// cut off, soon, with this budget's name in the log, if there is one. Servers see no more than the resets allowed.
fn flood(name: &str, budget: &str, more: impl Fn(&mut Client) -> Vec<u8>) {
    let backend = Backend::named("only");
    let proxy = proxy(&backend, "");
    let bystander = Bystander::start(&proxy);
    std::thread::sleep(Duration::from_millis(200)); // some requests in peace
    let before = proxy.memory() as usize;
    let mut longest = Duration::ZERO;
    for _ in 0..ATTACKERS {
        let mut client = open(&proxy);
        let (took, code) = until_cut(&mut client, &more);
        // PROTOCOL_ERROR: trailers of a stream that was refused meanwhile.
        let codes = [ENHANCE_YOUR_CALM, PROTOCOL_ERROR];
        assert!(code.is_none_or(|code| codes.contains(&code)), "{name}: {code:?}");
        longest = longest.max(took);
    }
    let p99 = bystander.finish();
    let grown = (proxy.memory() as usize).saturating_sub(before);
    let heard = backend.received().iter().filter(|r| r.target() != "/good").count();
    println!("{name}: cut after {longest:?}, p99 of others {p99:?}, grown {grown}, heard {heard}");
    assert!(longest < SOON, "{name}: cut after {longest:?}");
    assert!(grown < KEPT + ATTACKERS * HELD_MAX, "{name}: grown by {grown}");
    assert!(heard <= ATTACKERS * RESETS, "{name}: {heard} requests reached the server");
    if budget.is_empty() {
        return;
    }
    // The h2 crate has bounds of its own, on what it has not handed over yet.
    let names = [format!("budget=\"{budget}\""), "budget=\"library\"".to_owned()];
    let said = || proxy.log().iter().any(|line| names.iter().any(|name| line.contains(name)));
    wait_for("a line that says which budget was exceeded", said);
    let status = Admin::of(&proxy).get("/v1/status").body;
    assert!(status["floods"].as_u64().unwrap() >= ATTACKERS as u64, "{name}: {status}");
}

/// A server that reads on and never answers.
fn silent() -> Backend {
    Backend::on_head(|_, stream| {
        let mut bytes = [0; 4096];
        while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
        Then::Close
    })
}

fn bad() -> Block {
    Block::request("GET", "/bad")
}

fn post() -> Block {
    Block::request("POST", "/bad")
}

#[test]
fn j1_rapid_reset_is_cut_off_and_hardly_heard_of() {
    // CVE-2023-44487
    flood("rapid reset", "resets", |client| {
        let mut bytes = Vec::new();
        for _ in 0..100 {
            let stream = client.new_stream();
            bytes.extend(headers(stream, true, &bad()));
            bytes.extend(rst_stream(stream, 8));
        }
        bytes
    });
}

#[test]
fn j1_rapid_reset_below_the_limit_of_streams_is_cut_off_too() {
    // What a client does that stays below the limit of concurrent streams: one at a time.
    flood("slow rapid reset", "resets", |client| {
        let stream = client.new_stream();
        [headers(stream, true, &bad()), rst_stream(stream, 8)].concat()
    });
}

/// CVE-2025-8671: the client has this side reset its streams. What it sends after each request.
fn made_you_reset(name: &str, content_length: Option<&str>, provoke: impl Fn(u32) -> Vec<u8>) {
    flood(name, "resets", |client| {
        let stream = client.new_stream();
        let mut block = post();
        if let Some(length) = content_length {
            block = block.field("content-length", length);
        }
        [headers(stream, false, &block), provoke(stream)].concat()
    });
}

#[test]
fn j2_made_you_reset_by_a_window_that_overflows() {
    made_you_reset("window overflow", None, |stream| {
        [window_update(stream, 0x7fff_ffff), window_update(stream, 0x7fff_ffff)].concat()
    });
}

#[test]
fn j2_made_you_reset_by_content_beyond_its_length() {
    made_you_reset("content beyond its length", Some("1"), |stream| data(stream, false, b"test"));
}

#[test]
fn j2_made_you_reset_by_trailers_that_do_not_end() {
    // Trailers of a stream that was refused end the connection at once, as if they were a request's on
    // an old stream: whichever comes first.
    flood("trailers that do not end", "", |client| {
        let stream = client.new_stream();
        let trailers = headers(stream, false, &Block::new().field("x", "y"));
        [headers(stream, false, &post()), trailers].concat()
    });
}

#[test]
fn j2_made_you_reset_by_streams_that_depend_on_themselves() {
    made_you_reset("self-dependency", None, |stream| priority(stream, stream, 1));
}

#[test]
fn j2_made_you_reset_by_malformed_requests() {
    flood("malformed requests", "resets", |client| {
        let stream = client.new_stream();
        headers(stream, true, &bad().field("connection", "close"))
    });
}

#[test]
fn j3_continuations_without_end_are_cut_off() {
    for (name, block) in
        [("empty", Vec::new()), ("full", Block::new().field("x", "y".repeat(8000)).to_vec())]
    {
        let backend = Backend::named("only");
        let proxy = proxy(&backend, "");
        let before = proxy.memory() as usize;
        let mut client = open(&proxy);
        client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &Block::get()));
        let (took, _) = until_cut(&mut client, |_| continuation(1, false, &block).repeat(10));
        assert!(took < SOON, "{name}: {took:?}");
        let grown = (proxy.memory() as usize).saturating_sub(before);
        assert!(grown < 8 << 20, "{name}: grown by {grown}");
        assert_eq!(backend.count(), 0);
    }
}

/// Requests with so many references to an entry of the table; how the connection took them.
fn bomb(proxy: &Proxy, entry: (&str, String), references: usize, streams: usize) -> Settled {
    let mut client =
        Client::open(proxy.addresses[0], &[(setting::INITIAL_WINDOW_SIZE, 0)]).unwrap();
    let first = client.request(&bad().indexed_field(entry.0, &entry.1));
    let _ = client.until(|frame| frame.stream == first);
    let block = bad().raw(&vec![0x80 | 62; references]);
    for _ in 0..streams {
        let stream = client.new_stream();
        if !client.send(&headers(stream, true, &block)) {
            break;
        }
    }
    client.settle()
}

#[test]
fn j4_j5_header_bombs_are_refused_while_they_are_decoded() {
    // CVE-2016-6581, CVE-2026-49975: a byte for 4 KiB; a byte for a field, or for a crumb of a cookie.
    let bombs = [
        ("large entries", "x-bomb", "y".repeat(4000), 16_000),
        ("small entries", "x", String::new(), 16_000),
        ("crumbs", "cookie", String::new(), 16_000),
        ("as many crumbs as fit the list", "cookie", String::new(), 800),
    ];
    for (name, field, value, references) in bombs {
        let backend = Backend::named("only");
        let proxy = proxy(&backend, "");
        let before = proxy.memory() as usize;
        for _ in 0..10 {
            let settled = bomb(&proxy, (field, value.clone()), references, 100);
            assert_ne!(settled, Settled::Silence, "{name}");
        }
        let grown = (proxy.memory() as usize).saturating_sub(before);
        println!("{name}: grown by {grown}");
        assert!(grown < KEPT + 10 * HELD_MAX, "{name}: grown by {grown}");
        let longest = backend.received().iter().map(|r| r.head.len()).max().unwrap_or_default();
        assert!(longest < 80 * 1024, "{name}: {longest} bytes to a server");
    }
}

#[test]
fn j6_floods_of_control_frames_are_cut_off() {
    let ack = frame(kind::PING, flag::ACK, 0, &[0; 8]);
    let floods: [(&str, &str, Vec<u8>); 8] = [
        ("PING, answers never read", "pings", ping([7; 8])),
        ("acknowledged PING", "pings", ack),
        ("SETTINGS", "settings", settings(&[(setting::INITIAL_WINDOW_SIZE, 1)])),
        ("PRIORITY", "priorities", priority(5, 3, 1)),
        ("WINDOW_UPDATE by 1", "window_updates", window_update(0, 1)),
        ("unknown frames", "unknown_frames", frame(0x42, 0, 0, b"x")),
        ("PRIORITY_UPDATE", "unknown_frames", frame(0x10, 0, 0, b"\0\0\0\x01u=1")),
        ("GOAWAY", "goaways", frame(kind::GOAWAY, 0, 0, &[0; 8])),
    ];
    for (name, budget, bytes) in floods {
        flood(name, budget, |_| bytes.repeat(100));
    }
}

#[test]
fn j6_empty_data_is_cut_off() {
    // CVE-2019-9518, RUSTSEC-2026-0258
    let backend = silent();
    let proxy = proxy(&backend, "");
    for padding in [false, true] {
        let mut client = open(&proxy);
        let stream = client.begin(&post());
        let mut padded = vec![9];
        padded.extend([0; 9]);
        let one = match padding {
            true => frame(kind::DATA, flag::PADDED, stream, &padded),
            false => data(stream, false, b""),
        };
        let (took, code) = until_cut(&mut client, |_| one.repeat(10));
        assert!(took < SOON, "{took:?}");
        assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
    }
}

#[test]
fn j6_fields_without_a_name_are_an_error() {
    // CVE-2019-9516
    let backend = Backend::named("only");
    let proxy = proxy(&backend, "");
    let mut client = open(&proxy);
    client.request(&bad().raw(&[0, 0, 0].repeat(100)));
    assert!(matches!(client.settle(), Settled::Goaway(PROTOCOL_ERROR) | Settled::Closed));
    assert_eq!(backend.count(), 0);
}

#[test]
fn j7_requests_that_are_refused_while_the_window_is_shut_do_not_pile_up() {
    // RUSTSEC-2024-0003: answers of our own that nobody takes.
    let backend = Backend::named("only");
    let proxy = proxy(&backend, "");
    let before = proxy.memory() as usize;
    let clients: Vec<Client> = (0..10)
        .map(|_| {
            let own = [(setting::INITIAL_WINDOW_SIZE, 0)];
            let mut client = Client::open(proxy.addresses[0], &own).unwrap();
            for _ in 0..500 {
                let stream = client.new_stream();
                client.send(&headers(stream, true, &Block::request("GET", "/a/../%zz")));
            }
            client.settle();
            client
        })
        .collect();
    let grown = (proxy.memory() as usize).saturating_sub(before);
    println!("refused with shut windows: {} for each connection", grown / clients.len());
    assert!(grown < clients.len() * HELD_MAX, "grown by {grown}");
}

/// A server whose answers are long.
fn long_answers() -> Backend {
    let mut response = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n".to_vec();
    response.resize(response.len() + (10 << 20), b'x');
    Backend::replying(response)
}

#[test]
fn j8_answers_that_are_never_taken_hold_little_and_end() {
    // CVE-2019-9517: a hundred times 10 MiB, and no window for them.
    let backend = long_answers();
    let proxy = proxy(&backend, "    timeouts: { send_idle: 2s }\n");
    let before = proxy.memory() as usize;
    let clients = 4;
    let mut held: Vec<Client> = (0..clients)
        .map(|_| {
            let own = [(setting::INITIAL_WINDOW_SIZE, 0)];
            let mut client = Client::open(proxy.addresses[0], &own).unwrap();
            for _ in 0..100 {
                client.request(&bad());
            }
            client.settle();
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let grown = (proxy.memory() as usize).saturating_sub(before);
    println!("never taken: {} for each connection", grown / clients);
    for client in &mut held {
        let mut ended = 0;
        client.until(|frame| {
            ended += usize::from(frame.kind == kind::RST_STREAM);
            ended == 100 || frame.kind == kind::GOAWAY
        });
        assert!(ended == 100 || !matches!(client.settle(), Settled::Alive), "{ended} ended");
    }
    assert!(grown < clients * 2 * HELD_MAX, "grown by {grown}"); // a hundred exchanges each
}

#[test]
fn j8_answers_that_are_taken_byte_by_byte_end() {
    let backend = long_answers();
    let proxy = proxy(&backend, "    timeouts: { send_rate_min: 100000 }\n");
    let own = [(setting::INITIAL_WINDOW_SIZE, 1)];
    let mut client = Client::open(proxy.addresses[0], &own).unwrap();
    let stream = client.request(&bad());
    let begun = Instant::now();
    let ended = loop {
        client.send(&window_update(stream, 1));
        client.patience = Duration::from_millis(100);
        if client
            .until(|frame| frame.kind == kind::RST_STREAM || frame.kind == kind::GOAWAY)
            .is_some()
        {
            break true;
        }
        if begun.elapsed() > support::LIMIT {
            break false;
        }
    };
    assert!(ended, "a byte a time, for ever");
}

#[test]
fn j12_the_connections_window_never_leaks() {
    // h2 0.4.14, 0.4.15: content and padding of streams that were reset.
    let backend = Backend::named("only");
    let proxy = proxy(&backend, "");
    let mut client = open(&proxy);
    let mut padded = vec![200];
    padded.extend([0; 1000]);
    for turn in 0..600 {
        let stream = client.begin(&post());
        client.send(&frame(kind::DATA, flag::PADDED, stream, &padded));
        client.send(&rst_stream(stream, 8));
        let good = client.begin(&Block::request("POST", "/good"));
        client.send(&data(good, true, b"x"));
        let answer = client.answer(good);
        assert!(matches!(answer, Ok((200, _))), "turn {turn}: {answer:?}");
    }
    // Not a window's worth is missing: each of these is as much as a stream may send unasked.
    for _ in 0..20 {
        let stream = client.begin(&Block::request("POST", "/good"));
        for _ in 0..4 {
            client.send(&data(stream, false, &[b'x'; 16_384]));
        }
        client.send(&data(stream, true, b""));
        assert!(matches!(client.answer(stream), Ok((200, _))));
    }
}

#[test]
fn j17_ten_thousand_streams_and_half_of_them_reset_are_no_flood() {
    let backend = Backend::named("only");
    let proxy = proxy(&backend, "");
    let mut client = open(&proxy);
    for _ in 0..2000 {
        let given_up = client.request(&bad());
        client.send(&rst_stream(given_up, 8));
        let stream = client.request(&Block::request("GET", "/good"));
        assert!(matches!(client.answer(stream), Ok((200, _))));
    }
    assert_eq!(client.settle(), Settled::Alive);
}

#[test]
fn s6_heads_of_all_streams_at_once_hold_little() {
    let backend = silent();
    let proxy = proxy(&backend, "");
    let before = proxy.memory() as usize;
    let clients: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = open(&proxy);
            for _ in 0..128 {
                client.begin(&post().field("x-long", "y".repeat(15_000)));
            }
            client.settle();
            client
        })
        .collect();
    let grown = (proxy.memory() as usize).saturating_sub(before) / clients.len();
    println!("128 heads of 15 KB: {grown} for each connection");
    assert!(grown < HELD_MAX, "{grown}");
}

#[test]
fn s6_tables_hold_no_more_than_they_say() {
    // Each entry's text is a slice of a frame of 16 KiB, if that is what is kept.
    let backend = Backend::named("only");
    let proxy = proxy(&backend, "");
    let before = proxy.memory() as usize;
    let clients: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = open(&proxy);
            for turn in 0..100 {
                // A new entry of 40 bytes in a frame of 15 KiB.
                let block = Block::new()
                    .field(":method", "GET")
                    .field(":scheme", "http")
                    .indexed_field(":path", format!("/{turn:03}"))
                    .field(":authority", "test")
                    .field("x-long", "y".repeat(15_000));
                let stream = client.request(&block);
                let _ = client.answer(stream);
            }
            client
        })
        .collect();
    let grown = (proxy.memory() as usize).saturating_sub(before) / clients.len();
    println!("a table of slices: {grown} for each connection");
    assert!(grown < HELD_MAX, "{grown}");
}
