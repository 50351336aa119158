//! Changes of a process that serves: its workers and its control plane, with servers that do what a
//! path says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use evenkeel_runtime::now;
use serde_json::json;

use super::{CommandLine, Op, Refused, op};
use crate::control::origin::Origin;
use crate::control::{Applied, Change, Handle, Kept, Reply, Rollback};
use crate::supervisor::{self, Running, Start};
use crate::upgrade::Inherited;

const LIMIT: Duration = Duration::from_secs(20);

/// A server: answers with its name; `/slow` takes a second for the second half of its body, `/stuck`
/// for ever.
fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(first)) = lines.next() {
                    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {
                    }
                    let head = "HTTP/1.1 200 OK\r\nContent-Length:";
                    let sent = match first.split(' ').nth(1) {
                        Some("/slow") => {
                            stream.write_all(format!("{head} 4\r\n\r\nha").as_bytes()).unwrap();
                            wait(Duration::from_secs(1));
                            stream.write_all(b"lf")
                        }
                        Some("/stuck") => {
                            stream.write_all(format!("{head} 4\r\n\r\nha").as_bytes()).unwrap();
                            wait(LIMIT);
                            return;
                        }
                        _ => stream.write_all(format!("{head} 1\r\n\r\n{name}").as_bytes()),
                    };
                    if sent.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[allow(clippy::disallowed_methods, reason = "a server of a test, on its own thread")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

struct Live {
    running: Running,
    handle: Handle,
    address: SocketAddr,
    runtime: tokio::runtime::Runtime,
}

fn live(text: &str) -> Live {
    let name = format!("evenkeel-live-{}-{:?}", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name.replace(['(', ')'], ""));
    std::fs::write(&path, text).unwrap();
    let origin = Origin::Path(path);
    let start = Start::of(origin, CommandLine::default(), None).unwrap();
    let (events, _) = supervisor::events();
    let running = supervisor::start(start, events, &mut Inherited::default()).unwrap();
    running.accept().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Live { handle: running.handle(), address: running.addresses()[0], running, runtime }
}

impl Live {
    fn change(&self, ops: Vec<Op>) -> Reply {
        let author = "test".to_owned();
        let change = Change { ops, if_version: None, dry_run: false, author };
        self.runtime.block_on(self.handle.change(change))
    }

    fn apply(&self, value: serde_json::Value) -> Applied {
        self.change(vec![op(value)]).unwrap()
    }

    fn ask(&self, path: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        BufReader::new(stream)
    }

    /// Status and body; an empty body if it was cut.
    fn get(&self, path: &str) -> (u16, String) {
        whole(self.ask(path))
    }
}

fn whole(mut from: BufReader<TcpStream>) -> (u16, String) {
    let mut text = String::new();
    let _ = from.read_to_string(&mut text);
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

/// A response of which the head has come.
fn begun(live: &Live, path: &str) -> BufReader<TcpStream> {
    let mut from = live.ask(path);
    assert!(!from.fill_buf().unwrap().is_empty());
    from
}

fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let give_up: Instant = now() + LIMIT;
    while !happened() {
        assert!(now() < give_up, "waited in vain for {what}");
        wait(Duration::from_millis(5));
    }
}

fn config(servers: &[SocketAddr], more: &str) -> String {
    let servers: Vec<String> = servers.iter().map(|server| server.to_string()).collect();
    format!(
        "listeners: {{ web: {{ bind: 127.0.0.1:0 }} }}\nroutes: [{{ to: app }}]\n\
         pools: {{ app: {{ balance: round_robin, servers: [{}] }} }}\n\
         shutdown: {{ drain: 5s }}\nworkers: 2\n{more}",
        servers.join(", ")
    )
}

#[test]
fn a_drained_server_finishes_what_it_has_gets_nothing_new_and_comes_back() {
    let (a, b) = (server("a"), server("b"));
    let live = live(&config(&[a], ""));
    let slow = begun(&live, "/slow");
    live.apply(json!({"op":"add_servers","pool":"app","servers":[b.to_string()]}));
    let target = json!({"server":{"pool":"app","server":a.to_string()}});
    let applied = live.apply(json!({"op":"drain","target":target}));
    assert_eq!(applied.changes, [format!("pool `app`: server `{a}` drained")]);
    let view = live.handle.view();
    assert_eq!((view.drains.len(), view.drains[0].left), (1, 1));
    assert!(view.drains[0].requests_in.unwrap() <= Duration::from_secs(5));
    for _ in 0..20 {
        assert_eq!(live.get("/"), (200, "b".into()));
    }
    assert_eq!(whole(slow), (200, "half".into()));
    until("the drain to end", || live.handle.view().drains.is_empty());
    live.apply(json!({"op":"enable","target":target}));
    until("it to serve again", || live.get("/").1 == "a");
}

#[test]
fn what_is_left_is_cut_at_the_deadline_and_at_once_if_forced() {
    let (a, b) = (server("a"), server("b"));
    for (mode, least, most) in [("graceful", 900, 10_000), ("forced", 0, 5000)] {
        let live = live(&config(&[a], ""));
        let stuck = begun(&live, "/stuck");
        live.apply(json!({"op":"add_servers","pool":"app","servers":[b.to_string()]}));
        let asked = now();
        let target = json!({"server":{"pool":"app","server":a.to_string()}});
        live.apply(json!({"op":"drain","target":target,"mode":mode,"deadline":"1s"}));
        whole(stuck);
        let took = now().duration_since(asked).as_millis();
        assert!((least..most).contains(&took), "{mode}: {took} ms");
        assert_eq!(live.get("/"), (200, "b".into()));
    }
}

#[test]
fn a_removed_server_gets_nothing_once_the_answer_is_there() {
    let (a, b) = (server("a"), server("b"));
    let live = live(&config(&[a, b], ""));
    live.apply(json!({"op":"remove_server","pool":"app","server":a.to_string()}));
    for _ in 0..50 {
        assert_eq!(live.get("/"), (200, "b".into()));
    }
}

#[test]
fn a_drained_pool_answers_503_and_a_drained_listener_not_at_all() {
    let a = server("a");
    let live = live(&config(&[a], ""));
    live.apply(json!({"op":"drain","target":{"pool":"app"}}));
    assert_eq!(live.get("/").0, 503);
    live.apply(json!({"op":"enable","target":{"pool":"app"}}));
    assert_eq!(live.get("/"), (200, "a".into()));
    live.apply(json!({"op":"drain","target":{"listener":"web"}}));
    until("it to be closed", || TcpStream::connect(live.address).is_err());
    assert!(live.handle.view().listeners[0].closed);
    live.apply(json!({"op":"enable","target":{"listener":"web"}}));
    let address = live.running.addresses()[0];
    TcpStream::connect(address).unwrap();
}

#[test]
fn two_writers_of_the_same_version_do_not_both_win() {
    let a = server("a");
    let live = live(&config(&[a], ""));
    let weight = |weight: u32, dry_run| {
        let op = op(json!({"op":"weight","pool":"app","server":a.to_string(),"weight":weight}));
        let author = "test".into();
        let change = Change { ops: vec![op], if_version: Some(1), dry_run, author };
        live.runtime.block_on(live.handle.change(change))
    };
    assert_eq!(weight(5, true).unwrap().version, 1, "a dry run changes nothing");
    assert_eq!(weight(5, false).unwrap().version, 2);
    assert!(matches!(weight(6, false), Err(Refused::Conflict { version: 2 })));
    assert_eq!(live.handle.view().pools[0].servers[0].config.weight, 5);
    let author = "test".into();
    let rollback = Rollback { to: 1, if_version: None, dry_run: false, author };
    assert_eq!(live.runtime.block_on(live.handle.rollback(rollback)).unwrap().version, 3);
    assert_eq!(live.handle.view().pools[0].servers[0].config.weight, 1);
}

#[test]
fn a_registration_that_is_not_renewed_ends() {
    let (a, b) = (server("a"), server("b"));
    let live = live(&config(&[a], ""));
    let register = json!({
        "op":"register","pool":"shop","server":b.to_string(),"ttl":"1s","owner":"shop",
        "routes":[{"match":{"path":"/shop"}}],
    });
    let version = live.apply(register.clone()).version;
    assert_eq!(live.apply(register.clone()).version, version, "a renewal is no change");
    assert_eq!(live.get("/shop"), (200, "b".into()));
    until("the registration to end", || live.get("/shop").1 == "a");
    until("its pool to go", || live.handle.view().pools.len() == 1);
}

#[test]
fn a_restart_finds_what_was_changed() {
    let (a, b) = (server("a"), server("b"));
    let state = std::env::temp_dir().join(format!("evenkeel-live-{}.state", std::process::id()));
    let _ = std::fs::remove_file(&state);
    let text = config(&[a], &format!("admin: {{ bind: off, state: {} }}\n", state.display()));
    let first = live(&text);
    let applied =
        first.apply(json!({"op":"replace_servers","pool":"app","servers":[b.to_string()]}));
    assert_eq!((applied.version, applied.kept), (2, Kept::Surely));
    drop(first);
    let second = live(&text);
    assert_eq!(second.get("/"), (200, "b".into()));
    assert_eq!(second.handle.view().stand.version, 3, "versions go on");
    std::fs::write(&state, "{ half a").unwrap();
    let third = live(&text);
    assert_eq!(third.get("/"), (200, "a".into()), "the file alone");
    assert!(state.with_extension("state.broken").exists());
}
