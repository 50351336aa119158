//! `evenkeel demo` as somebody who looks at it meets it: it serves, all three servers get
//! requests, and it ends at once and cleanly.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "a test outside the workers")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A demo that runs, killed when the test is over.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Demo {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(["demo", "--listen", "127.0.0.1:0"]).args(arguments);
    Demo(command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap())
}

fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn it_serves_everybody_and_ends_within_a_second_of_ctrl_c() {
    let mut demo = start(&["--plain"]);
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let first = lines.next().expect("a first line");
    let address = first.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();

    let served_by = |path: &str| {
        let response = ask(address, path);
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        response.lines().find(|line| line.starts_with("served-by: ")).unwrap().to_owned()
    };
    served_by("/");
    assert_eq!(served_by("/item/17"), served_by("/item/17"), "the path is hashed");
    assert!(ask(address, "/fixed").contains("Answered by Evenkeel itself."));
    assert!(ask(address, "/old/page").to_lowercase().contains("location: /new/page"));
    assert!(ask(address, "/status/503").starts_with("HTTP/1.1 503"));

    let line = lines.nth(1).expect("a line a second");
    for word in ["red", "green", "blue", " 0 failed"] {
        assert!(line.contains(word), "{line}");
    }

    let asked = Instant::now();
    let id = demo.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let last = lines.last().expect("a last line");
    assert!(demo.0.wait().unwrap().success());
    assert!(asked.elapsed() < Duration::from_secs(15), "took {:?}", asked.elapsed());
    assert!(last.starts_with("Ended after ") && last.ends_with(" 0 failed."), "{last}");
}

#[test]
#[cfg(feature = "tui")]
fn the_live_view_gives_the_terminal_back() {
    let inner = format!(
        "stty rows 30 cols 100; {} demo --listen 127.0.0.1:0 --seconds 1",
        env!("CARGO_BIN_EXE_evenkeel")
    );
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &inner, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let keyboard = child.stdin.take(); // closing it would be Ctrl-D
    let output = child.wait_with_output().unwrap();
    drop(keyboard);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    let entered = shown.find("\x1b[?1049h").expect("the other screen");
    let left = shown.find("\x1b[?1049l").expect("back to the first");
    let view = &shown[entered..left];
    for word in ["red", "green", "blue", "curl -i http://127.0.0.1:", "Ctrl-C"] {
        assert!(view.contains(word), "{word} is missing");
    }
    assert!(shown[left..].contains("\x1b[?25h"), "the cursor is back");
    assert!(shown[left..].contains("Ended after "));
}
