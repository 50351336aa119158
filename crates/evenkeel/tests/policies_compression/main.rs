//! `compress` and `decompress`, end to end over every version of HTTP: which answers are coded for whom,
//! what their fields say, and that nothing waits for more than it must.
#![cfg(feature = "compression")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/quic.rs"]
mod quic;

#[path = "../support/spoken.rs"]
mod spoken;

mod codings;
mod conditions;
mod decompress;
mod streams;

use std::io::Read as _;

use spoken::Polyglot;
use support::{Backend, Then, reply};

/// A proxy whose answers are compressed, with these settings.
fn compressing(backend: &Backend, settings: &str) -> Polyglot {
    Polyglot::start(
        backend,
        "    policies: shrink\n",
        &format!("routes: [ {{ to: app }} ]\npolicies:\n  shrink: {{ compress: {settings} }}\n"),
    )
}

/// A backend that answers 200 with these fields (complete lines) and this content.
fn holding(fields: &str, body: &[u8]) -> Backend {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    let body = body.to_vec();
    Backend::start(move |request, stream| {
        reply(stream, &head);
        if !request.line().starts_with("HEAD") {
            reply(stream, &body);
        }
        Then::Keep
    })
}

/// Text that becomes much shorter.
fn text(length: usize) -> Vec<u8> {
    (0..)
        .flat_map(|n: u32| format!("line {} of it\n", n % 4001).into_bytes())
        .take(length)
        .collect()
}

fn decode(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    match coding {
        "gzip" => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut all).unwrap()),
        "br" => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut all).unwrap()),
        "zstd" => all = zstd::decode_all(bytes).unwrap(),
        "" => all = bytes.to_vec(),
        other => panic!("{other}"),
    }
    all
}

fn encode(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    match coding {
        "gzip" => {
            let level = flate2::Compression::default();
            flate2::read::GzEncoder::new(bytes, level).read_to_end(&mut all).unwrap();
        }
        "br" => drop(brotli::CompressorReader::new(bytes, 4096, 5, 22).read_to_end(&mut all)),
        _ => all = zstd::encode_all(bytes, 3).unwrap(),
    }
    all
}
