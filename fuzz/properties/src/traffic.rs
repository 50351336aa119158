//! Seeded streams of requests: pipelined, with bodies that look like requests, and most of them
//! damaged in a few places.

use crate::mutate::{Random, mutate};

/// What one client sends.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// Method and body of each request, if nothing was damaged.
    pub meant: Option<Vec<(String, Vec<u8>)>>,
}

const METHODS: &[&str] = &["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "SEARCH"];
const TARGETS: &[&str] = &[
    "/",
    "/a/b",
    "/a?b=c",
    "/a//b/../c",
    "/%2e/x",
    "/x;y=z",
    "http://test/abs",
    "http://test?q",
    "/a%20b",
    "/?/../http://x",
];
const FIELDS: &[&str] = &[
    "X-Y: z\r\n",
    "Accept:*/*\r\n",
    "Cookie: a=b; c=d\r\n",
    "TE: trailers\r\nConnection: te\r\n",
    "Connection: keep-alive, x-hop\r\nX-Hop: 1\r\n",
    "User-Agent: \t t \r\n",
    "Content-Type: text/plain\r\n",
    "X_Under: score\r\n",
    "Keep-Alive: timeout=1\r\n",
    "Expect: 100-continue\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "X-Forwarded-For: 10.0.0.1\r\n",
    "X: \u{e9}\u{ff}\r\n",
];
const BODIES: &[&str] = &[
    "",
    "x",
    "hello",
    "0\r\n\r\n",
    "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n",
    "\r\n0\r\n\r\nPOST /hidden HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n",
    "5\r\nhello\r\n",
];

/// The stream of this seed. Three of four are damaged.
pub fn generate(seed: u64) -> Traffic {
    let mut random = Random::new(seed);
    let mut bytes = Vec::new();
    let mut meant = Some(Vec::new());
    for _ in 0..=random.below(4) {
        // What an old client may send, and whether it may go on, is another matter.
        let is_old = random.one_in(16);
        meant = meant.filter(|_| !is_old);
        let version = if is_old { "HTTP/1.0\r\nConnection: keep-alive" } else { "HTTP/1.1" };
        let request = request(&mut bytes, version, &mut random);
        if let Some(meant) = &mut meant {
            meant.push(request);
        }
    }
    if random.one_in(4) {
        return Traffic { bytes, meant };
    }
    mutate(&mut bytes, &mut random);
    Traffic { bytes, meant: None }
}

fn request(out: &mut Vec<u8>, version: &str, random: &mut Random) -> (String, Vec<u8>) {
    let (method, target) = (random.pick(METHODS), random.pick(TARGETS));
    out.extend_from_slice(format!("{method} {target} {version}\r\nHost: test\r\n").as_bytes());
    let begin = random.below(FIELDS.len());
    for step in 0..3 {
        if random.one_in(3) {
            let field = FIELDS[(begin + 4 * step) % FIELDS.len()]; // never one twice
            out.extend(field.chars().map(|c| c as u8)); // Latin-1
        }
    }
    let body = body(random);
    match random.below(3) {
        0 if body.is_empty() => out.extend_from_slice(b"\r\n"),
        0 | 1 => {
            out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            out.extend_from_slice(&body);
        }
        _ => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            chunks(out, &body, random);
        }
    }
    (method.to_owned(), body)
}

fn body(random: &mut Random) -> Vec<u8> {
    let text = random.pick(BODIES).as_bytes();
    match random.below(12) {
        // Long enough that the kernel moves it.
        0 if random.one_in(8) => vec![b'\n'; 40_000 + random.below(60_000)],
        0 => text.repeat(1 + random.below(200)),
        1 => (0..random.below(3_000)).map(|_| random.number() as u8).collect(),
        2..6 => Vec::new(),
        _ => text.to_vec(),
    }
}

fn chunks(out: &mut Vec<u8>, body: &[u8], random: &mut Random) {
    let size = body.len() / 50 + 1 + random.below(body.len() + 3); // not too many
    for piece in body.chunks(size) {
        let extension = random.pick(&["", "", "", ";a", ";a=b", " ; a = \"b;\\\"\"", "\t;a"]);
        let length = match random.below(3) {
            0 => format!("{:X}", piece.len()),
            1 => format!("{:04x}", piece.len()),
            _ => format!("{:x}", piece.len()),
        };
        out.extend_from_slice(format!("{length}{extension}\r\n").as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    let trailers = random.pick(&["", "", "X-Sum: 1\r\n", "Content-Length: 9\r\n", "Host: b\r\n"]);
    out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
}
