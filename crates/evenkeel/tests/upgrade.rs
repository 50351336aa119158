//! A process hands over to another while clients are served: no request fails, nothing that is
//! running is cut, and whatever goes wrong with the new process changes nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests may wait and share")]

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use evenkeel_tools::load::{Load, Outcome, Running};
use support::{
    Backend, Client, Directory, Gate, LIMIT, Then, collect, reply, simple, wait_for, with_pool,
};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

/// A service: the process that was started first, and those that took over from it.
struct Service {
    directory: Directory,
    config: String,
    first: Child,
    /// Who serves.
    pid: u32,
    lines: Arc<Mutex<Vec<String>>>,
    address: SocketAddr,
}

impl Service {
    /// Its program is a link in a directory of its own, so that "the package" can be replaced.
    fn start(config: &str) -> Self {
        let directory = Directory::new();
        let program = directory.0.join("evenkeel");
        std::os::unix::fs::symlink(BINARY, &program).unwrap();
        std::fs::write(directory.0.join("evenkeel.yaml"), config).unwrap();
        let mut first = Command::new(&program)
            .args(["run", "-c", "evenkeel.yaml"])
            .current_dir(&directory.0)
            .env("EVENKEEL_UPGRADE_TIMEOUT_MS", "3000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = collect(first.stderr.take().unwrap());
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let (pid, config) = (first.id(), config.to_owned());
        let mut service = Self { directory, config, first, pid, lines, address };
        let line = service.wait_line(0, &["listening on http://"]);
        let at = line.rsplit("http://").next().unwrap();
        service.address = at.split(' ').next().unwrap().parse().unwrap();
        service.wait_line(0, &["serving"]);
        service
    }

    /// The configuration from the next upgrade on.
    fn configure(&self, config: &str) {
        std::fs::write(self.directory.0.join("evenkeel.yaml"), config).unwrap();
    }

    fn with_workers(&self, workers: u32) {
        self.configure(&format!("{}\nworkers: {workers}\n", self.config));
    }

    /// The program from the next upgrade on: a script, or what it was.
    fn package(&self, script: Option<&str>) {
        let (program, next) = (self.directory.0.join("evenkeel"), self.directory.0.join("next"));
        match script {
            None => std::os::unix::fs::symlink(BINARY, &next).unwrap(),
            Some(script) => {
                use std::os::unix::fs::PermissionsExt;
                std::fs::write(&next, format!("#!/bin/sh\n{script}\n")).unwrap();
                std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        std::fs::rename(next, program).unwrap();
    }

    fn lines(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// The first line from `since` on that has one of these.
    fn wait_line(&self, since: usize, any: &[&str]) -> String {
        let mut found = None;
        wait_for(&format!("a line with {any:?}"), || {
            let lines = self.lines.lock().unwrap();
            let is = |line: &&String| any.iter().any(|part| line.contains(part));
            found = lines.iter().skip(since).find(is).cloned();
            found.is_some()
        });
        found.unwrap()
    }

    fn signal(&self, signal: &str, pid: u32) {
        assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
    }

    /// Asks for an upgrade and waits for what becomes of it.
    fn upgrade(&mut self) -> Result<u32, String> {
        let since = self.lines();
        self.signal("-USR2", self.pid);
        let ends = ["upgraded: the new process", "upgrade failed", "upgrade refused"];
        let line = self.wait_line(since, &ends);
        if !line.contains("upgraded") {
            return Err(line);
        }
        // Upgrades of one that is not yet in charge are refused.
        self.wait_line(since, &["in charge"]);
        self.pid = pid(&line);
        Ok(self.pid)
    }

    /// Asks it to end, and waits until nobody is left.
    fn end(mut self) {
        self.signal("-TERM", self.pid);
        wait_for("all processes to end", || {
            let _ = self.first.try_wait();
            self.living().is_empty()
        });
    }

    /// Every process that ever served or tried to, and still is there.
    fn living(&self) -> Vec<u32> {
        let lines = self.lines.lock().unwrap();
        let started = lines.iter().filter(|line| line.contains("upgrade: started"));
        let all = started.map(|line| pid(line)).chain([self.first.id()]);
        all.filter(|pid| is_ours(*pid)).collect()
    }

    fn assert_serves(&self) {
        let mut client = Client::connect(self.address);
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for pid in self.living() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        let _ = self.first.wait();
        if std::thread::panicking() {
            eprintln!("process log: {:#?}", self.lines.lock().unwrap());
        }
    }
}

fn pid(line: &str) -> u32 {
    let after = line.split("pid=").nth(1).unwrap();
    after.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Whether a process is a proxy of this build.
fn is_ours(pid: u32) -> bool {
    let binary = Path::new(BINARY).canonicalize().unwrap();
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == binary)
}

/// Clients that never stop, until they are told to.
struct Clients {
    stop: Gate,
    ended: JoinHandle<Outcome>,
}

impl Clients {
    fn start(address: SocketAddr, close: bool) -> Self {
        let load = Load {
            address,
            connections: 4,
            rate: 200.0,
            close,
            timeout: LIMIT,
            check_id: false,
            ..Load::default()
        };
        let stop = Gate::default();
        let told = stop.clone();
        let ended = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                let running = Running::start(load);
                while !told.is_open() || running.ended() <= ENOUGH {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                running.stop();
                running.finish().await
            })
        });
        Self { stop, ended }
    }

    fn stop(self) -> Outcome {
        self.stop.open();
        self.ended.join().unwrap()
    }
}

/// Fewer requests say nothing.
const ENOUGH: u64 = 100;

fn assert_unharmed(outcome: &Outcome) {
    assert_eq!(outcome.failed(), 0, "{:#}", outcome.to_json());
    assert!(outcome.ok() > ENOUGH, "{:#}", outcome.to_json());
}

#[test]
fn no_request_fails_while_processes_and_numbers_of_workers_change() {
    let backend = Backend::named("a");
    let mut service = Service::start(&format!("{}\nworkers: 2\n", simple(&[&backend])));
    service.config = simple(&[&backend]);
    let kept = Clients::start(service.address, false);
    let fresh = Clients::start(service.address, true);
    let mut pids = vec![service.pid];
    for workers in [1, 2, 3, 1, 2, 3] {
        service.with_workers(workers);
        pids.push(service.upgrade().unwrap());
    }
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 7, "each is another process");
    assert_unharmed(&kept.stop());
    assert_unharmed(&fresh.stop());
    service.end();
}

#[test]
fn what_is_running_stays_with_the_old_process_until_it_ends() {
    let backend = Backend::start(|request, stream| {
        if request.target() == "/tunnel" {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                        Upgrade: websocket\r\n\r\n";
            reply(stream, head);
            let mut buffer = [0; 64];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                stream.write_all(&buffer[..read]).unwrap();
            }
            return Then::Close;
        }
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
        reply(stream, &request.body);
        Then::Keep
    });
    let mut service = Service::start(&simple(&[&backend]));
    let mut tunnel = Client::connect(service.address);
    tunnel.send(
        "GET /tunnel HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tunnel.stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    let mut post = Client::connect(service.address);
    post.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\nabc");
    let mut echo = |said: &[u8; 4]| {
        tunnel.send(said);
        let mut heard = [0; 4];
        tunnel.stream.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, said);
    };
    echo(b"one.");
    service.upgrade().unwrap();
    echo(b"two.");
    post.send("def");
    let response = post.response();
    assert_eq!((response.status, response.body.as_slice()), (200, b"abcdef".as_slice()));
    echo(b"end.");
    assert!(service.first.try_wait().unwrap().is_none(), "the old process has a tunnel");
    drop(tunnel);
    wait_for("the old process to end", || service.first.try_wait().unwrap().is_some());
    assert!(service.first.wait().unwrap().success());
    service.end();
}

#[test]
fn a_configuration_that_the_new_process_refuses_is_told_and_changes_nothing() {
    let backend = Backend::named("a");
    let mut service = Service::start(&simple(&[&backend]));
    service.configure("listeners: { web: { bind: 127.0.0.1:0 } }\nroutes: [ { to: nowhere } ]\n");
    let refused = service.upgrade().unwrap_err();
    assert!(refused.contains("refuses") && refused.contains("nowhere"), "{refused}");
    service.assert_serves();
    service.configure(&service.config);
    service.upgrade().unwrap();
    service.assert_serves();
    service.end();
}

#[test]
fn listeners_that_come_and_go_with_an_upgrade_are_bound_and_closed() {
    let backend = Backend::named("a");
    let mut service = Service::start(&simple(&[&backend]));
    let (since, second) = (service.lines(), "127.0.0.1:0\n  more:\n    bind: 127.0.0.1:0\n");
    service.configure(&service.config.replacen("127.0.0.1:0\n", second, 1));
    service.upgrade().unwrap();
    let line = service.wait_line(since, &["listener=more"]);
    let more = line.rsplit("http://").next().unwrap().split(' ').next().unwrap().to_owned();
    let more: SocketAddr = more.parse().unwrap();
    service.assert_serves();
    drop(Client::connect(more));
    service.configure(&service.config);
    service.upgrade().unwrap();
    service.assert_serves();
    wait_for("the listener to be gone", || std::net::TcpStream::connect(more).is_err());
    service.end();
}

#[test]
fn the_file_it_was_started_from_is_what_is_started_even_when_it_was_replaced() {
    let backend = Backend::named("a");
    let mut service = Service::start(&simple(&[&backend]));
    let note = service.directory.0.join("note");
    service.package(Some(&format!("echo new >{}\nexec {BINARY} \"$@\"", note.display())));
    service.upgrade().unwrap();
    assert_eq!(std::fs::read_to_string(note).unwrap(), "new\n");
    service.assert_serves();
    service.end();
}

#[test]
fn clients_stay_with_their_servers_though_no_key_is_configured() {
    let backends = ["a", "b", "c"].map(Backend::named);
    let config = with_pool(&backends.each_ref(), "    sticky: { cookie: {} }\n");
    let mut service = Service::start(&config);
    let address = service.address;
    let ask = |cookie: &str| {
        let mut client = Client::connect(address);
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n"));
        client.response()
    };
    let bound = [0; 4].map(|_| {
        let response = ask("none=0");
        let cookie = response.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        (cookie, response.text())
    });
    service.upgrade().unwrap();
    for (cookie, server) in bound.iter().cycle().take(20) {
        assert_eq!(ask(cookie).text(), *server);
    }
    service.end();
}

#[test]
fn a_server_that_was_ejected_is_not_asked_by_the_new_process_either() {
    let (bad, good) = (Backend::start(|_, _| Then::Reset), Backend::named("good"));
    let pool = "    balance: round_robin\n    outlier: { consecutive: 3, eject: 120s }\n";
    let mut service = Service::start(&with_pool(&[&bad, &good], pool));
    let ask = |service: &Service| (0..20).for_each(|_| service.assert_serves());
    ask(&service);
    let before = bad.count();
    assert!((3..20).contains(&before), "{before}");
    service.upgrade().unwrap();
    ask(&service);
    assert_eq!(bad.count(), before);
    service.end();
}

#[test]
fn versions_of_the_old_process_can_be_gone_back_to() {
    let backend = Backend::named("a");
    let answer = |word: &str| {
        let route = format!("routes:\n  - {{ respond: {{ status: 200, body: \"{word}\" }} }}");
        let config = simple(&[&backend]);
        let rest = config.split("routes:").next().unwrap();
        format!("{rest}{route}\nadmin: {{ bind: \"unix:admin.sock\" }}\n")
    };
    let mut service = Service::start(&answer("first"));
    let ask = |service: &Service| {
        let mut client = Client::connect(service.address);
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        client.response().text()
    };
    let told = |service: &Service, arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(arguments).args(["--admin", "unix:admin.sock"]);
        let output = command.current_dir(&service.directory.0).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    service.configure(&answer("second"));
    told(&service, &["reload"]);
    assert_eq!(ask(&service), "second");
    service.upgrade().unwrap();
    assert_eq!(ask(&service), "second");
    told(&service, &["rollback", "1"]);
    assert_eq!(ask(&service), "first");
    service.end();
}

#[test]
fn one_upgrade_at_a_time_and_none_while_draining() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = Backend::on_head(move |_, stream| {
        held.pass();
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        Then::Close
    });
    let mut service = Service::start(&simple(&[&backend]));
    service.package(Some("sleep 60"));
    let since = service.lines();
    service.signal("-USR2", service.pid);
    service.wait_line(since, &["upgrade: started"]);
    let second = service.upgrade().unwrap_err();
    assert!(second.contains("an upgrade is under way"), "{second}");
    let mut client = Client::connect(service.address);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_for("the request to arrive", || backend.count() > 0);
    service.signal("-TERM", service.pid);
    service.wait_line(since, &["this process was asked to end"]);
    let third = service.upgrade().unwrap_err();
    assert!(third.contains("draining"), "{third}");
    gate.open();
    assert_eq!(client.response().status, 200);
    service.end();
}

#[test]
fn a_new_process_that_is_asked_to_end_on_probation_leaves_and_the_old_one_goes_on() {
    let backend = Backend::named("a");
    let service = Service::start(&simple(&[&backend]));
    let fresh = Clients::start(service.address, true);
    for _ in 0..2 {
        let since = service.lines();
        service.signal("-USR2", service.pid);
        let started = service.wait_line(since, &["upgrade: started"]);
        service.wait_line(since, &["the new process is ready"]);
        service.signal("-TERM", pid(&started));
        let failed = service.wait_line(since, &["upgrade failed", "upgraded:"]);
        assert!(failed.contains("it was asked to end"), "{failed}");
        wait_for("the new process to end", || !is_ours(pid(&started)));
    }
    assert_unharmed(&fresh.stop());
    service.end();
}

#[test]
fn an_old_process_that_dies_during_an_upgrade_leaves_everything_to_the_new_one() {
    let backend = Backend::named("a");
    let mut service = Service::start(&simple(&[&backend]));
    let since = service.lines();
    service.signal("-USR2", service.pid);
    let started = service.wait_line(since, &["upgrade: started"]);
    service.wait_line(since, &["the new process is ready"]);
    service.signal("-KILL", service.pid);
    service.pid = pid(&started);
    service.wait_line(since, &["in charge"]);
    service.assert_serves();
    service.end();
}

#[test]
fn a_process_asked_to_end_right_after_an_upgrade_ends_gently() {
    let backend = Backend::named("a");
    let mut service = Service::start(&simple(&[&backend]));
    service.upgrade().unwrap();
    service.end();
}

/// By the numbers of `upgrade/fault.rs`: where the new process fails before it accepts anything, and
/// what is told about it.
#[cfg(feature = "fault-injection")]
const BEFORE_SERVING: [(u32, &str); 13] = [
    (1, "it ended with exit status 0"),
    (2, "it ended with exit status 101"),
    (3, "it said nothing in time"),
    (4, "speaks version 2"),
    (5, "it began with `HTTP`"),
    (6, "it was ended by signal 6"),
    (7, "it was ended by signal 6"),
    (8, "planted"),
    (9, "it said nothing in time"),
    (10, "it was ended by signal 6"),
    (11, "it was ended by signal 6"),
    (12, "it said nothing in time"),
    (13, "it was ended by signal 6"),
];
/// Where it fails when it has begun to accept.
#[cfg(feature = "fault-injection")]
const ON_PROBATION: [(u32, &str); 2] =
    [(14, "it was ended by signal 6"), (15, "said `sockets` out of turn")];

#[cfg(feature = "fault-injection")]
impl Service {
    fn fail(&mut self, faults: &[(u32, &str)]) {
        for (fault, why) in faults {
            self.package(Some(&format!("EVENKEEL_UPGRADE_FAULT={fault} exec {BINARY} \"$@\"")));
            let refused = self.upgrade().unwrap_err();
            assert!(refused.contains(why), "fault {fault}: {refused}");
            assert_eq!(self.living(), [self.pid], "fault {fault}");
        }
        self.package(None);
    }
}

#[cfg(feature = "fault-injection")]
#[test]
fn wherever_the_new_process_fails_no_request_does() {
    let backend = Backend::named("a");
    let mut service = Service::start(&simple(&[&backend]));
    let (kept, fresh) =
        (Clients::start(service.address, false), Clients::start(service.address, true));
    service.fail(&BEFORE_SERVING);
    service.upgrade().unwrap();
    assert_unharmed(&kept.stop());
    assert_unharmed(&fresh.stop());
    service.end();
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_process_that_fails_on_probation_takes_no_more_than_what_it_had_accepted() {
    let backend = Backend::named("a");
    let mut service = Service::start(&simple(&[&backend]));
    let (kept, fresh) =
        (Clients::start(service.address, false), Clients::start(service.address, true));
    service.fail(&ON_PROBATION);
    for outcome in [kept.stop(), fresh.stop()] {
        // Four clients, each with one request at a time, and two processes that were killed.
        assert!(outcome.failed() <= 8, "{:#}", outcome.to_json());
    }
    service.upgrade().unwrap();
    service.assert_serves();
    service.end();
}

#[test]
fn clients_that_send_datagrams_notice_nothing() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            let _ = server.send_to(&buffer[..length], from);
        }
    });
    let backend = Backend::named("a");
    let udp = "udp: { to: game, idle_timeout: 500ms }";
    let listener = format!("listeners:\n  game: {{ bind: '127.0.0.1:0', {udp} }}\n");
    let pool = format!("pools:\n  game: {{ servers: ['{to}'] }}\n");
    let config = simple(&[&backend]);
    let config = config.replacen("listeners:\n", &listener, 1).replacen("pools:\n", &pool, 1);
    let mut service = Service::start(&config);
    let line = service.wait_line(0, &["listening on udp://"]);
    let at = line.rsplit("udp://").next().unwrap().split(' ').next().unwrap();
    let address: SocketAddr = at.parse().unwrap();
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<JoinHandle<u32>> = (0..8)
        .map(|_| {
            let over = over.clone();
            std::thread::spawn(move || {
                let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                client.set_read_timeout(Some(LIMIT)).unwrap();
                let mut count = 0_u32;
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    count += 1;
                    client.send_to(&count.to_be_bytes(), address).unwrap();
                    let mut answer = [0; 4];
                    client.recv(&mut answer).expect("every datagram is answered");
                    assert_eq!(answer, count.to_be_bytes());
                    std::thread::sleep(Duration::from_millis(2));
                }
                count
            })
        })
        .collect();
    service.upgrade().unwrap();
    service.upgrade().unwrap();
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    let answered: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(answered > 100, "{answered}");
    service.end();
}
