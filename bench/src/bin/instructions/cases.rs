//! What is counted: heads, bodies, paths, routes and choices of a server, all from fixed inputs and
//! seeds.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use evenkeel_balancer::algorithm as make;
use evenkeel_balancer::{
    Algorithm, Outcome, Pick, Pool, Rng, ServerSpec, SharedPool, SharedServer,
};
use evenkeel_codec::path::{EncodedSlash, Rules, normalise};
use evenkeel_codec::{
    ChunkedDecoder, HeadLimits, RequestContext, RequestHead, ResponseHead, TrailerLimits,
};
use evenkeel_config::model::{HostMatch, ListenerId, Match, PathMatch, Route};
use evenkeel_proxy::route::{RequestView, Table};

use crate::ROUNDS;

/// Repeated and counted; each call does the work once.
pub(crate) type Work = Box<dyn FnMut()>;

/// One line of the table.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Not counted.
    pub(crate) prepare: Box<dyn Fn() -> Work>,
}

const LIMITS: HeadLimits = HeadLimits { head: 1 << 15, line: 1 << 14, fields: 100 };
const FEW_AND_MANY: [(&str, usize); 2] = [("10", 10), ("10000", 10_000)];
const SEED: u64 = 7;

/// All of them, in the order in which they are printed.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, prepare: Box<dyn Fn() -> Work>| cases.push(Case { name, prepare });
    for (name, fields) in [("small", 2), ("12 fields", 12), ("64 fields", 64)] {
        add(format!("request head, {name}"), Box::new(move || request_head(fields)));
    }
    add("response head".into(), Box::new(response_head));
    for (name, size, chunk) in [("1 KiB", 1 << 10, 256), ("64 KiB", 64 << 10, 4096)] {
        add(format!("chunked body, {name}"), Box::new(move || chunked(size, chunk)));
    }
    for (name, path) in [
        ("plain", "/service/s7/v1/items/index.html"),
        ("not normal", "/service//s7/./v1/x/../items/%69ndex.html"),
    ] {
        add(format!("path, {name}"), Box::new(move || path_normalise(path)));
    }
    for (name, routes) in FEW_AND_MANY {
        add(format!("route of {name}"), Box::new(move || route_find(routes)));
    }
    for (name, algorithm) in ALGORITHMS {
        for servers in [4, 4000] {
            add(format!("{name}, {servers} servers"), Box::new(move || pick(algorithm, servers)));
        }
    }
    cases
}

/// As a browser sends them, then some of an application's own.
const REQUEST_FIELDS: [&str; 12] = [
    "Host: tenant-00042.example.com",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://tenant-00042.example.com/service/s7/v1/items/",
    "Cookie: session=4f0c9a1e7b2d4c6f8a; theme=dark; seen=1",
    "Connection: keep-alive",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "If-None-Match: \"5f2b-61c0a\"",
    "Cache-Control: max-age=0",
];

fn request(fields: usize) -> Vec<u8> {
    let mut text = "GET /service/s7/v1/items/7?order=asc HTTP/1.1\r\n".to_owned();
    for n in 0..fields {
        match REQUEST_FIELDS.get(n) {
            Some(field) => text.push_str(field),
            None => text.push_str(&format!("X-Application-Field-{n}: value number {n}")),
        }
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn request_head(fields: usize) -> Work {
    let bytes = request(fields);
    let mut head = RequestHead::default();
    Box::new(move || {
        head.clear();
        assert!(head.parse(black_box(&bytes), &LIMITS).is_ok());
    })
}

fn response_head() -> Work {
    let bytes =
        b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 09:00:00 GMT\r\n\
        Content-Type: text/html; charset=utf-8\r\nContent-Length: 5120\r\n\
        Last-Modified: Fri, 20 Nov 2026 18:00:00 GMT\r\nConnection: keep-alive\r\n\
        ETag: \"5f2b-61c0a\"\r\nCache-Control: max-age=3600\r\nAccept-Ranges: bytes\r\n\r\n";
    let mut head = ResponseHead::default();
    Box::new(move || {
        head.clear();
        assert!(head.parse(black_box(bytes), &LIMITS, &RequestContext::default()).is_ok());
    })
}

/// Decoding is done in place, so each round has a body of its own.
fn chunked(size: usize, chunk: usize) -> Work {
    let mut body = Vec::new();
    for _ in 0..size / chunk {
        body.extend_from_slice(format!("{chunk:x}\r\n").as_bytes());
        body.resize(body.len() + chunk, b'x');
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    // One more: the first round is not counted.
    let mut bodies = vec![body; ROUNDS + 1];
    let mut left = bodies.len();
    let mut decoder = ChunkedDecoder::new(TrailerLimits::default());
    Box::new(move || {
        left -= 1;
        decoder.reset();
        let decoded = decoder.decode(black_box(&mut bodies[left]));
        assert!(decoded.is_ok_and(|decoded| decoded.done && decoded.payload == size));
    })
}

fn path_normalise(path: &'static str) -> Work {
    let rules = Rules { encoded_slash: EncodedSlash::Reject, merge_slashes: true };
    let mut out = Vec::with_capacity(256);
    Box::new(move || {
        assert!(normalise(black_box(path.as_bytes()), &rules, black_box(&mut out)).is_ok());
    })
}

/// Hosts with ten path prefixes each; the request is for one in the middle.
fn route_find(routes: usize) -> Work {
    let host = |n: usize| format!("tenant-{:05}.example.com", n / 10);
    let prefix = |n: usize| format!("/service/s{}/v1", n % 10);
    let config = evenkeel_config::from_targets("127.0.0.1:1", &["127.0.0.1:2"]);
    let Ok(mut config) = config else { unreachable!("both are addresses") };
    let like = config.routes.remove(0);
    let route = |n: usize| Route {
        name: n.to_string(),
        matches: Match::All(vec![
            Match::Host(HostMatch::Exact(host(n))),
            Match::Path(PathMatch::Prefix(prefix(n))),
        ]),
        ..like.clone()
    };
    config.routes = (0..routes).map(route).collect();
    let table = Table::compile(&config);
    let wanted = routes / 20 * 10 + 5;
    let (host, path) = (host(wanted), format!("{}/items/7", prefix(wanted)));
    let bytes = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let mut head = RequestHead::default();
    assert!(head.parse(&bytes, &LIMITS).is_ok());
    Box::new(move || {
        let view = RequestView {
            listener: ListenerId(0),
            method: head.method_text.of(&bytes),
            host: head.host_name.of(&bytes),
            path: head.target.path.of(&bytes),
            query: None,
            head: &head,
            bytes: &bytes,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            claims: None,
            country: None,
        };
        let found = black_box(&table).find(black_box(&view));
        assert!(found.is_some_and(|found| found.route.0 as usize == wanted));
    })
}

/// Makes an algorithm as it is by default.
type Make = fn() -> Box<dyn Algorithm>;

const ALGORITHMS: [(&str, Make); 8] = [
    ("p2c_ewma", || Box::new(make::PeakEwma::new(Duration::from_secs(10), Duration::from_secs(1)))),
    ("p2c", || Box::new(make::PowerOfTwo)),
    ("least_connections", || Box::new(make::LeastConnections)),
    ("round_robin", || Box::new(make::RoundRobin::default())),
    ("weighted_round_robin", || Box::new(make::WeightedRoundRobin::default())),
    ("random", || Box::new(make::Random::default())),
    ("maglev", || Box::new(make::Maglev::new(None))),
    ("ring", || Box::new(make::RingHash::new(None))),
];

/// A request's part in balancing: a server is picked, and the answer is told to the pool. Sixteen
/// requests are in flight, a server's answer takes as long as its place in the list says.
fn pick(algorithm: Make, servers: usize) -> Work {
    let warm = 8 * servers;
    let mut now = Instant::now();
    let shared = SharedPool::new(now);
    let spec = |n: usize| ServerSpec {
        key: format!("10.0.{}.{}:8080", n / 250, n % 250).into(),
        weight: 1,
        priority: 0,
        shared: SharedServer::new(&shared),
    };
    let mut pool = Pool::new(shared.clone(), algorithm(), SEED);
    pool.set_servers((0..servers).map(spec), now);
    let mut keys = Rng::from_seed(SEED);
    let mut in_flight = [const { None }; 16];
    let mut oldest = 0;
    let mut work = move || {
        now += Duration::from_micros(100);
        let pick = Pick { key: Some(keys.next_u64()), ..Pick::new(now) };
        let Ok(lease) = pool.pick(black_box(pick)) else { unreachable!("all are healthy") };
        let place = &mut in_flight[oldest];
        oldest = (oldest + 1) % 16;
        if let Some(done) = place.replace(lease) {
            let latency = Duration::from_micros(1000 + u64::from(done.server.slot % 4) * 500);
            pool.finish(done, Outcome::Success { latency }, now);
        }
    };
    // Every server has answered, and the algorithm knows them.
    for _ in 0..warm {
        work();
    }
    Box::new(work)
}
