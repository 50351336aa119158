//! Attackers: messages of past attacks, in any pieces, and clients that are slow on purpose. Each
//! knows which answers are right and whether its message may reach a server at all.

use std::time::Duration;

use evenkeel_runtime as runtime;

use crate::chance::Chance;
use crate::message::{Ending, Peer};
use crate::oracle::Oracle;
use crate::scenario::front;

/// One message and what must become of it.
struct Attack {
    /// Row of the catalogue; `/a/NAME` is its target where it has one.
    name: &'static str,
    bytes: &'static str,
    /// Statuses of which the first answer must have one.
    statuses: &'static [u16],
    reaches: bool,
}

const fn refused(name: &'static str, bytes: &'static str) -> Attack {
    Attack { name, bytes, statuses: &[400, 501], reaches: false }
}

const fn passed(name: &'static str, bytes: &'static str) -> Attack {
    Attack { name, bytes, statuses: &[200], reaches: true }
}

const ATTACKS: &[Attack] = &[
    refused(
        "A1",
        "POST /a/A1 HTTP/1.1\r\nHost: w\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: w\r\n\r\n",
    ),
    refused(
        "A2a",
        "POST /a/A2a HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: w\r\n\r\n",
    ),
    refused(
        "A2b",
        "POST /a/A2b HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    refused(
        "A3",
        "POST /a/A3 HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    refused("A5", "POST /a/A5 HTTP/1.0\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused(
        "A6",
        "POST /a/A6 HTTP/1.1\r\nHost: w\r\nContent-Length: 3\r\nContent-Length: 40\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: w\r\n\r\n",
    ),
    refused(
        "A7",
        "POST /a/A7 HTTP/1.1\r\nHost: w\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    ),
    refused("A9", "POST /a/A9 HTTP/1.1\r\nHost: w\r\nContent-Length: +3\r\n\r\nabc"),
    Attack {
        name: "A10",
        bytes: "POST /a/A10 HTTP/1.1\r\nHost: w\r\nContent-Length: 18446744073709551617\r\n\r\nxGET /smuggled HTTP/1.1\r\nHost: w\r\n\r\n",
        statuses: &[400, 413],
        reaches: false,
    },
    refused(
        "A12",
        "POST /a/A12 HTTP/1.1\r\nHost: w\r\nContent-Length : 36\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: w\r\n\r\n",
    ),
    passed(
        "A22",
        "POST /a/A22 HTTP/1.1\r\nHost: w\r\nContent-Length: 3\r\n\r\nabcGET /a/A22 HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n",
    ),
    refused(
        "B1",
        "POST /a/B1 HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n",
    ),
    refused(
        "B2",
        "POST /a/B2 HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "B5",
        "POST /a/B5 HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "B6",
        "POST /a/B6 HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n",
    ),
    refused(
        "B8",
        "POST /a/B8 HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
    ),
    passed(
        "B10",
        "POST /a/B10 HTTP/1.1\r\nHost: w\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=\"v\"\r\nabc\r\n0\r\n\r\n",
    ),
    passed(
        "B12",
        "POST /a/B12 HTTP/1.1\r\nHost: w\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nContent-Length: 9\r\nHost: evil\r\n\r\n",
    ),
    refused("C1", "GET /a/C1 HTTP/1.1\r\nHost: w\nX: y\r\n\r\n"),
    refused("C2", "GET /a/C2 HTTP/1.1\r\nHost: w\r\nX: a\rb\r\n\r\n"),
    refused("C3", "GET /a/C3 HTTP/1.1\r\nHost: w\r\nX: a\0b\r\n\r\n"),
    refused("C4", "GET /a/C4 HTTP/1.1\r\nHost: w\r\n: x\r\n\r\n"),
    refused("C7", "GET /a/C7 HTTP/1.1\r\nHost: w\r\nX: a\r\n b\r\n\r\n"),
    refused("C8", "GET /a/C8 HTTP/1.1\r\nHost: w\r\ngarbage\r\n\r\n"),
    refused("C14", "GET  /a/C14 HTTP/1.1\r\nHost: w\r\n\r\n"),
    refused("D1", "GET /a/D1 HTTP/1.1\r\n\r\n"),
    refused("D1b", "GET /a/D1b HTTP/1.1\r\nHost: w\r\nHost: v\r\n\r\n"),
    refused("D2", "GET /a/D2 HTTP/1.1\r\nHost: w, v\r\n\r\n"),
    refused("D4", "GET http://w/a/D4 HTTP/1.1\r\nHost: v\r\n\r\n"),
    refused("D8", "GET /a/D8#/../admin HTTP/1.1\r\nHost: w\r\n\r\n"),
    Attack {
        name: "E1",
        bytes: "GET /a/E1/../../admin HTTP/1.1\r\nHost: w\r\n\r\n",
        statuses: &[403],
        reaches: false,
    },
    Attack {
        name: "E1b",
        bytes: "GET /a/%2e%2e/admin HTTP/1.1\r\nHost: w\r\n\r\n",
        statuses: &[403],
        reaches: false,
    },
    Attack {
        name: "E1c",
        bytes: "GET //admin HTTP/1.1\r\nHost: w\r\n\r\n",
        statuses: &[403],
        reaches: false,
    },
    refused("E2", "GET /a/E2%2f..%2fadmin HTTP/1.1\r\nHost: w\r\n\r\n"),
    refused("E7", "GET /a/E7%zz HTTP/1.1\r\nHost: w\r\n\r\n"),
    passed(
        "F1",
        "GET /a/F1 HTTP/1.1\r\nHost: w\r\nConnection: close, x-secret, x-forwarded-for\r\nX-Secret: s\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    ),
    refused(
        "F2",
        "POST /a/F2 HTTP/1.1\r\nHost: w\r\nConnection: content-length\r\nContent-Length: 3\r\n\r\nabc",
    ),
    passed(
        "F8",
        "GET /a/F8 HTTP/1.1\r\nHost: w\r\nConnection: upgrade, http2-settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    ),
    Attack {
        name: "F12",
        bytes: "TRACE /a/F12 HTTP/1.1\r\nHost: w\r\n\r\n",
        statuses: &[405],
        reaches: false,
    },
    passed(
        "G12",
        "GET /a/G12 HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: w\r\n\r\n",
    ),
    passed(
        "I1",
        "GET /a/I1 HTTP/1.1\r\nHost: w\r\nConnection: close\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\n",
    ),
    Attack {
        name: "A11",
        bytes: "POST /admin HTTP/1.1\r\nHost: w\r\nContent-Length: 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: w\r\n\r\nxx\n",
        statuses: &[403],
        reaches: false,
    },
];

/// What [`reads_nothing`] asks for: an answer that fits into no window.
pub(crate) const BIG: &str = "BIG";

/// Whether an attack of this name may be seen by a server.
pub(crate) fn may_reach(name: &str) -> bool {
    name == BIG || ATTACKS.iter().any(|attack| attack.reaches && attack.name == name)
}

/// One attacker's day.
pub(crate) async fn run(
    oracle: Oracle,
    mut chance: Chance,
    network_is_sound: bool,
    servers_are_sound: bool,
) {
    for _ in 0..chance.within(2..12) {
        runtime::sleep(chance.millis(0..20)).await;
        let patience = Duration::from_secs(100);
        let Some(mut peer) = Peer::connect(front(), patience).await else { continue };
        match chance.within(0..10) {
            0 => slow_head(&oracle, &mut peer).await,
            1 => slow_body(&oracle, &mut peer).await,
            2 => reads_nothing(&oracle, &mut peer).await,
            _ => {
                let attack = chance.one_of(ATTACKS);
                let status = send(&mut peer, attack, &mut chance).await;
                let right = |status| {
                    // A server may fail at what has reached it so far.
                    attack.statuses.contains(&status) || (!servers_are_sound && status >= 502)
                };
                let sound = network_is_sound && (servers_are_sound || !attack.reaches);
                if sound && !status.is_some_and(right) {
                    oracle.object(format!("attack {} was answered by {status:?}", attack.name));
                }
            }
        }
    }
}

/// The status of the first answer.
async fn send(peer: &mut Peer, attack: &Attack, chance: &mut Chance) -> Option<u16> {
    let until = runtime::now() + Duration::from_secs(100);
    let pieces = chance.within(0..3);
    let mut left = attack.bytes.as_bytes();
    while !left.is_empty() {
        let take = match pieces {
            0 => left.len(),
            1 => 1,
            _ => 1 + chance.within(0..left.len() as u64) as usize,
        };
        let (piece, rest) = left.split_at(take.min(left.len()));
        if peer.write(piece, until).await.is_err() {
            break;
        }
        left = rest;
    }
    let mut status = None;
    loop {
        match peer.head(false, until).await {
            Ok(head) if head.status < 200 => {}
            Ok(head) => {
                status.get_or_insert(head.status);
                let framing = head.response_framing("GET").ok()?;
                if peer.content(framing, &mut Vec::new(), until).await.is_err() || head.says_close()
                {
                    return status;
                }
            }
            Err(_) => return status,
        }
    }
}

/// Sends a head so slowly that it never ends.
async fn slow_head(oracle: &Oracle, peer: &mut Peer) {
    let head = b"GET /a/slow HTTP/1.1\r\nHost: w\r\nX: ";
    drip(oracle, peer, head, "head", Duration::from_secs(15)).await;
}

/// Promises a body and lets it drip.
async fn slow_body(oracle: &Oracle, peer: &mut Peer) {
    let head = b"POST /a/A22 HTTP/1.1\r\nHost: w\r\nContent-Length: 1000000\r\n\r\n";
    drip(oracle, peer, head, "body", Duration::from_secs(60)).await;
}

async fn drip(oracle: &Oracle, peer: &mut Peer, first: &[u8], what: &str, allowed: Duration) {
    let begun = runtime::now();
    if peer.write(first, begun + allowed).await.is_err() {
        return;
    }
    loop {
        let now = runtime::now();
        if now > begun + allowed {
            return oracle.object(format!("a dripping {what} was borne for {:?}", now - begun));
        }
        if peer.write(b"x", now + allowed).await.is_err() {
            return;
        }
        // An answer, or the end, sets the attacker free.
        match peer.fill(runtime::now() + Duration::from_millis(700)).await {
            Err(Ending::TooLate) => {}
            _ => return,
        }
    }
}

/// Asks for much and takes none of it.
async fn reads_nothing(oracle: &Oracle, peer: &mut Peer) {
    let begun = runtime::now();
    let ask = format!("GET /a/{BIG} HTTP/1.1\r\nHost: w\r\n\r\n").repeat(9);
    let allowed = Duration::from_secs(100);
    let _ = peer.write(ask.as_bytes(), begun + allowed).await;
    // Once it is shown out, what it writes meets nobody.
    while peer.write(b"x", begun + allowed).await.is_ok() {
        runtime::sleep(Duration::from_millis(900)).await;
        if runtime::now() > begun + allowed {
            return oracle.object("a client that reads nothing was borne for ever");
        }
    }
}
