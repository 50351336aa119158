//! The tools tell the truth: each class of loss is produced and must be named, and nothing that is
//! well may be called lost.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // not the data path

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_tools::chaos::{self, Settings};
use evenkeel_tools::faultd::{Behaviour, Faultd, Options};
use evenkeel_tools::load::{Load, Outcome, Running, run};
use evenkeel_tools::websocket::Sessions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn load(address: SocketAddr, target: &str) -> Load {
    Load {
        address,
        host: "test".into(),
        target: target.into(),
        method: "GET".into(),
        body: 0,
        connections: 4,
        rate: 0.0,
        requests: 40,
        duration: Duration::from_secs(120),
        close: false,
        timeout: Duration::from_secs(60),
        ..Load::default()
    }
}

async fn against(target: &str) -> Outcome {
    let backend = Faultd::start(ANY, Options::default()).await.unwrap();
    run(load(backend.address, target)).await
}

#[tokio::test]
async fn what_is_well_is_ok() {
    for target in [
        "/echo",
        "/bytes/100000",
        "/chunked/5000/7",
        "/status/204",
        "/hints/2/echo",
        "/delay/5/echo",
    ] {
        let outcome = against(target).await;
        assert_eq!((outcome.ok(), outcome.failed()), (40, 0), "{target}: {:?}", outcome.classes);
    }
}

#[tokio::test]
async fn every_loss_has_its_name() {
    for (target, class) in [
        ("/reset", "reset_before_byte"),
        ("/eof", "eof_before_byte"),
        ("/truncate/1000/500", "truncated"),
        ("/status/503", "status_503"),
        ("/garbage", "malformed"),
    ] {
        let mut load = load(Faultd::start(ANY, Options::default()).await.unwrap().address, target);
        load.timeout = Duration::from_secs(if class == "malformed" { 2 } else { 60 });
        load.requests = 8;
        let outcome = run(load).await;
        let named = outcome.classes.get(class).copied().unwrap_or(0);
        let or_timeout = outcome.classes.get("timeout").copied().unwrap_or(0);
        assert_eq!(
            named + if class == "malformed" { or_timeout } else { 0 },
            8,
            "{target}: {:?}",
            outcome.classes
        );
    }
}

#[tokio::test]
async fn answers_to_others_and_changed_bodies_are_noticed() {
    // An answer without the id is somebody else's.
    let outcome = against("/extra").await;
    assert_eq!(outcome.ok(), 0, "{:?}", outcome.classes);
    let backend = Faultd::start(ANY, Options::default()).await.unwrap();
    let outcome =
        run(Load { method: "POST".into(), body: 70_000, ..load(backend.address, "/echo") }).await;
    assert_eq!((outcome.ok(), outcome.failed()), (40, 0), "{:?}", outcome.classes);
    assert!(backend.by_id().values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_close_between_requests_is_not_a_loss() {
    let backend = Faultd::start(ANY, Options::default()).await.unwrap();
    let outcome = run(Load { rate: 20.0, ..load(backend.address, "/close/echo") }).await;
    assert_eq!((outcome.ok(), outcome.failed()), (40, 0), "{:?}", outcome.classes);
    assert!(outcome.closed_while_idle > 20, "{}", outcome.closed_while_idle);
}

#[tokio::test]
async fn an_open_loop_counts_from_when_a_request_was_due() {
    // One connection, 20 ms an answer, 100 a second asked for: the queue shows in the latency.
    let backend = Faultd::start(ANY, Options::default()).await.unwrap();
    let outcome =
        run(Load { rate: 100.0, connections: 1, ..load(backend.address, "/delay/20/echo") }).await;
    assert!(outcome.latency.at(0.9) > Duration::from_millis(200), "{:?}", outcome.latency.at(0.9));
}

#[tokio::test]
async fn a_bad_network_splits_delays_and_resets() {
    let backend = Faultd::start(ANY, Options::default()).await.unwrap();
    let split = Settings { split: 7, ..Settings::default() };
    let relay = chaos::start(ANY, backend.address, split).await.unwrap();
    assert_eq!(run(load(relay, "/bytes/2000")).await.failed(), 0);
    let late = Settings { delay: Duration::from_millis(30), ..Settings::default() };
    let relay = chaos::start(ANY, backend.address, late).await.unwrap();
    assert!(run(load(relay, "/echo")).await.latency.at(0.1) >= Duration::from_millis(55));
    let broken = Settings { reset_after: Some(300), ..Settings::default() };
    let relay = chaos::start(ANY, backend.address, broken).await.unwrap();
    assert!(run(load(relay, "/bytes/100000")).await.failed() > 0);
}

#[tokio::test]
async fn raw_answers_are_given_byte_for_byte_in_any_pieces() {
    // "HTTP/1.1 204 X" and an empty line
    let hex = "485454502f312e31203230342058\
               0d0a0d0a";
    for how in ["whole", "bytes", "7"] {
        let backend = Faultd::start(ANY, Options::default()).await.unwrap();
        let mut stream = tokio::net::TcpStream::connect(backend.address).await.unwrap();
        let request = format!("GET /raw/{how}/close/{hex} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 204 X\r\n\r\n", "{how}");
        assert_eq!((backend.count(), backend.answered()), (1, 1));
    }
}

/// RFC 6455: sessions that live are counted, and so are those that end.
#[tokio::test]
async fn websockets_repeat_frames_and_a_lost_one_is_counted() {
    let backend = Faultd::start(ANY, Options::default()).await.unwrap();
    let relay = chaos::start(ANY, backend.address, Settings::default()).await.unwrap();
    let sessions = Sessions::open(relay, "/socket", 5).await;
    let lived = sessions.finish().await;
    assert_eq!((lived.opened, lived.refused, lived.dropped), (5, 0, 0));
    assert!(lived.echoes >= 5);

    let cut = Settings { reset_after: Some(300), ..Settings::default() };
    let relay = chaos::start(ANY, backend.address, cut).await.unwrap();
    let sessions = Sessions::open(relay, "/socket", 3).await;
    let opened = sessions.lived().opened;
    while sessions.lived().dropped < opened {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lived = sessions.finish().await;
    assert_eq!(lived.dropped + lived.refused, 3);
}

#[tokio::test]
async fn a_server_behaves_otherwise_from_one_request_to_the_next() {
    let behaviour = Behaviour::default();
    let options = Options { behaviour: behaviour.clone(), ..Options::default() };
    let backend = Faultd::start(ANY, options).await.unwrap();
    for (steps, class) in [("status/503", "status_503"), ("delay/1", "ok"), ("", "ok")] {
        behaviour.set(steps);
        let outcome = run(load(backend.address, "/echo")).await;
        assert_eq!(outcome.classes.get(class), Some(&40), "{steps}: {:?}", outcome.classes);
    }
}

#[tokio::test]
async fn a_cut_response_never_looks_whole_to_the_client() {
    for target in ["/cut/300", "/cut-chunked/300", "/cut/20000"] {
        let outcome = against(target).await;
        assert_eq!((outcome.ok(), outcome.failed()), (0, 40), "{target}: {:?}", outcome.classes);
    }
}

#[tokio::test]
async fn the_journal_has_a_line_for_each_request() {
    let path = std::env::temp_dir().join(format!("faultd-{}.log", std::process::id()));
    let options = Options { log: Some(path.clone()), ..Options::default() };
    let backend = Faultd::start(ANY, options).await.unwrap();
    run(load(backend.address, "/echo")).await;
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut ids: Vec<_> = text.lines().filter_map(|line| line.split(' ').nth(3)).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 40);
}

#[tokio::test]
async fn a_load_can_be_stopped_and_tells_when_what_failed() {
    let backend = Faultd::start(ANY, Options::default()).await.unwrap();
    let endless = Load { requests: u64::MAX, rate: 500.0, ..load(backend.address, "/status/500") };
    let running = Running::start(endless);
    while running.failed() < 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.stop();
    let outcome = running.finish().await;
    assert!(outcome.failures.iter().all(|failure| failure.class == "status_500"));
    assert_eq!(outcome.slots.iter().map(|slot| slot.failed).sum::<u64>(), outcome.failed());
}
