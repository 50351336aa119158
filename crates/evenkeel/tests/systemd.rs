//! What systemd sees of the process (`sd_notify(3)`), and sockets that systemd has bound
//! (`sd_listen_fds(3)`). systemd is played by the test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests may wait and share")]

mod support;

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use support::{Backend, Client, Directory, LIMIT, collect, simple, wait_for};

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");

/// Binds 127.0.0.1:0 for each name, passes the sockets on and becomes the program: what systemd
/// does with a `.socket` unit.
const ACTIVATE: &str = "
import os, socket, sys
names = sys.argv[1].split(',')
sockets = [socket.create_server(('127.0.0.1', 0)) for _ in names]
for name, s in zip(names, sockets):
    print('bound', name, s.getsockname()[1], file=sys.stderr, flush=True)
safe = [os.dup2(s.fileno(), 100 + n, inheritable=False) for n, s in enumerate(sockets)]
for n, c in enumerate(safe):
    os.dup2(c, 3 + n)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=':'.join(names))
os.execv(sys.argv[2], sys.argv[2:])
";

/// The manager, and the service it started.
struct Manager {
    directory: Directory,
    notified: UnixDatagram,
    told: Mutex<Vec<String>>,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    fn start(config: &str, sockets: &str) -> Self {
        Self::start_with(config, sockets, ACTIVATE)
    }

    fn start_with(config: &str, sockets: &str, activate: &str) -> Self {
        let directory = Directory::new();
        let (file, notify) = (directory.0.join("evenkeel.yaml"), directory.0.join("notify"));
        std::fs::write(&file, config).unwrap();
        let notified = UnixDatagram::bind(&notify).unwrap();
        notified.set_nonblocking(true).unwrap();
        let mut command = match sockets {
            "" => Command::new(BINARY),
            _ => {
                let mut python = Command::new("python3");
                python.args(["-c", activate, sockets, BINARY]);
                python
            }
        };
        let mut child = command
            .args(["run", "-c"])
            .arg(&file)
            .current_dir(&directory.0)
            .env("NOTIFY_SOCKET", &notify)
            .env("WATCHDOG_USEC", "2000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = collect(child.stderr.take().unwrap());
        Self { directory, notified, told: Mutex::default(), child, lines }
    }

    /// Everything the service has told so far.
    fn told(&self) -> Vec<String> {
        let mut told = self.told.lock().unwrap();
        let mut buffer = [0; 4096];
        while let Ok(length) = self.notified.recv(&mut buffer) {
            told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        told.clone()
    }

    fn wait_told(&self, part: &str) -> String {
        let mut found = None;
        wait_for(&format!("`{part}` to be told"), || {
            found = self.told().into_iter().find(|told| told.contains(part));
            found.is_some()
        });
        found.unwrap()
    }

    fn wait_line(&self, part: &str) -> String {
        let mut found = None;
        wait_for(&format!("a line with `{part}`"), || {
            found = self.lines.lock().unwrap().iter().find(|line| line.contains(part)).cloned();
            found.is_some()
        });
        found.unwrap()
    }

    /// The port that was bound for a name.
    fn port(&self, name: &str) -> SocketAddr {
        let line = self.wait_line(&format!("bound {name} "));
        let port: u16 = line.rsplit(' ').next().unwrap().parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn signal(&self, signal: &str, pid: u32) {
        assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        for line in self.lines.lock().unwrap().iter().filter(|line| line.contains("started pid=")) {
            let _ = Command::new("kill").args(["-KILL", pid(line)]).stderr(Stdio::null()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{:#?}\n{:#?}", self.told(), self.lines.lock().unwrap());
        }
        let _ = &self.directory;
    }
}

fn pid(line: &str) -> &str {
    line.split("pid=").nth(1).unwrap().split(' ').next().unwrap()
}

fn get(address: SocketAddr) -> u16 {
    let mut client = Client::connect(address);
    client.stream.set_read_timeout(Some(LIMIT)).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    client.response().status
}

#[test]
fn readiness_life_reloading_and_the_end_are_told() {
    let backend = Backend::named("a");
    let mut manager = Manager::start(&simple(&[&backend]), "");
    let ready = manager.wait_told("READY=1");
    assert!(ready.contains("STATUS=serving on 1 addresses"), "{ready}");
    manager.wait_told("WATCHDOG=1");
    manager.signal("-HUP", manager.child.id());
    let reloading = manager.wait_told("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.wait_told("STATUS=serving version ");
    let told = manager.told();
    let at = |part: &str| told.iter().position(|told| told.contains(part)).unwrap();
    assert!(at("RELOADING=1") < at("READY=1\nSTATUS=serving version "), "{told:#?}");
    manager.signal("-TERM", manager.child.id());
    manager.wait_told("STOPPING=1");
    assert!(manager.child.wait().unwrap().success());
}

#[test]
fn after_an_upgrade_the_new_process_is_the_service_and_the_old_ones_end_is_not_its_end() {
    let backend = Backend::named("a");
    let mut manager = Manager::start(&simple(&[&backend]), "");
    manager.wait_told("READY=1");
    manager.signal("-USR2", manager.child.id());
    let line = manager.wait_line("upgraded: the new process serves");
    let told = manager.wait_told(&format!("MAINPID={}\nREADY=1", pid(&line)));
    assert!(told.contains("STATUS=serving"), "{told}");
    assert!(manager.child.wait().unwrap().success());
    assert!(!manager.told().iter().any(|told| told.contains("STOPPING")));
    manager.signal("-TERM", pid(&line).parse().unwrap());
    manager.wait_told("STOPPING=1");
}

#[test]
fn sockets_of_systemd_are_used_by_name_and_what_is_left_over_or_missing_is_told() {
    let backend = Backend::named("a");
    // Nobody could bind this address here.
    let config = simple(&[&backend]).replace("127.0.0.1:0", "192.0.2.1:80");
    let config = config.replace("routes:", "  more:\n    bind: 127.0.0.1:0\nroutes:");
    let mut manager = Manager::start(&format!("{config}\nworkers: 3\n"), "other,web");
    assert_eq!(get(manager.port("web")), 200);
    let left = manager.wait_line("no listener has this address or this name");
    assert!(left.contains("`other`"), "{left}");
    let missing = manager.wait_line("systemd gave no socket for this address");
    assert!(missing.contains("more"), "{missing}");

    // They are handed over like any other.
    manager.signal("-USR2", manager.child.id());
    let line = manager.wait_line("upgraded: the new process serves");
    assert!(manager.child.wait().unwrap().success());
    assert_eq!(get(manager.port("web")), 200);
    manager.signal("-TERM", pid(&line).parse().unwrap());
    manager.wait_line("INFO ended");
}

#[test]
fn sockets_meant_for_another_process_are_not_used() {
    let backend = Backend::named("a");
    let for_another = ACTIVATE.replace("str(os.getpid())", "'1'");
    let mut manager = Manager::start_with(&simple(&[&backend]), "web", &for_another);
    let address = manager.wait_line("listening on http://");
    let port = manager.port("web").port();
    assert!(!address.contains(&format!(":{port} ")), "{address}");
    manager.signal("-TERM", manager.child.id());
    assert!(manager.child.wait().unwrap().success());
}
