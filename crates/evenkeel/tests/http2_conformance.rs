//! HTTP/2 as RFC 9113 and RFC 7541 have it, case by case: those of the well-known list of h2spec and
//! more, each on a connection of its own. What deviates is listed with its reason, and must go on to
//! deviate in that way alone. With `H2SPEC` naming the tool itself, that is run as well.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod http2_cases;
mod support;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel_tools::frames::Client;
use http2_cases::{Case, Expect, all, came};
use support::{Backend, Proxy, with_listener};

fn proxy(backend: &Backend) -> Proxy {
    Proxy::start(&with_listener(&[backend], ""))
}

fn backend() -> Backend {
    Backend::replying("HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz")
}

/// What is wrong with a case, if anything.
fn judge(case: &Case, proxy: &Proxy) -> Option<String> {
    let attempt = |expect: Expect| {
        let mut client = Client::open(proxy.addresses[0], &[]).map_err(|e| e.to_string())?;
        let stream = (case.script)(&mut client);
        came(&mut client, stream, expect)
    };
    let name = format!("§{} {}", case.section, case.says);
    match (attempt(case.expect), &case.known) {
        (Ok(()), None) => None,
        (Ok(()), Some(_)) if case.is_sometimes => None,
        (Ok(()), Some((_, why))) => {
            Some(format!("{name}: does not deviate any more ({why}): say so"))
        }
        (Err(came), None) => Some(format!("{name}: must be {:?}: {came}", case.expect)),
        (Err(_), Some((instead, why))) => {
            let came = attempt(*instead).err()?;
            Some(format!("{name}: deviates not as known ({why}, {instead:?}): {came}"))
        }
    }
}

#[test]
fn every_case_ends_as_the_standard_says() {
    let backend = backend();
    let proxy = proxy(&backend);
    let cases = all();
    assert!(cases.len() >= 120, "{} cases", cases.len());
    let next = AtomicUsize::new(0);
    let complaints: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let take = || cases.get(next.fetch_add(1, Ordering::Relaxed));
                    std::iter::from_fn(take).filter_map(|case| judge(case, &proxy)).collect()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| -> Vec<String> { worker.join().unwrap() }).collect()
    });
    assert!(
        complaints.is_empty(),
        "{} of {}:\n{}",
        complaints.len(),
        cases.len(),
        complaints.join("\n")
    );
    let forwarded = backend.received().into_iter().filter(|r| r.target().contains("malformed"));
    let whole: Vec<_> = forwarded.filter(|request| request.line().starts_with("GET")).collect();
    assert!(whole.is_empty(), "malformed requests reached the server: {whole:?}");
    assert_eq!(proxy.get("/").status, 200, "and HTTP/1.1 is served beside it");
}

#[test]
fn what_is_no_preface_is_no_http2() {
    // RFC 9113 §3.4
    use evenkeel_tools::frames::settings;
    let backend = backend();
    let proxy = proxy(&backend);
    let mut client = Client::connect(proxy.addresses[0]).unwrap();
    client.send(b"INVALID CONNECTION PREFACE\r\n\r\n");
    let _ = client.until(|_| false);
    let mut client = Client::connect(proxy.addresses[0]).unwrap();
    client.send(&[b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", settings(&[]).as_slice()].concat());
    assert!(client.until(|frame| frame.kind == 1).is_none());
    assert_eq!(backend.count(), 0);
}

/// `H2SPEC=/path/to/h2spec`: the tool's own verdict.
#[test]
fn h2spec_agrees_where_it_can_be_had() {
    let Ok(tool) = std::env::var("H2SPEC") else { return };
    let backend = backend();
    let proxy = proxy(&backend);
    let port = proxy.addresses[0].port().to_string();
    let arguments = ["-h", "127.0.0.1", "-p", &port, "-o", "10"];
    let output = Command::new(tool).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(text.contains("146 tests"), "{text}");
}
