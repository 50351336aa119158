//! Clients that others have written: curl, h2load and nghttp, where they are installed.

use std::process::Command;

use crate::support::{Backend, Proxy, Then, reply, simple};

/// What a program prints; `None` if there is no such program.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn echo() -> Backend {
    Backend::start(|request, stream| {
        reply(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()));
        reply(stream, &request.body);
        Then::Keep
    })
}

#[test]
fn curl_with_prior_knowledge() {
    let backend = echo();
    let proxy = Proxy::start(&simple(&[&backend]));
    let url = format!("http://{}/x", proxy.addresses[0]);
    let write = "%{http_version} %{http_code} %{size_download}";
    let body = "x".repeat(100_000);
    let arguments =
        ["-s", "--http2-prior-knowledge", "-o", "/dev/null", "-w", write, "--data", &body, &url];
    let Some(printed) = run("curl", &arguments) else { return };
    assert_eq!(printed, "2 200 100000");
    assert_eq!(backend.only().field("content-length"), Some("100000"));
}

#[test]
fn h2load_with_many_streams() {
    let backend = Backend::named("one");
    let proxy = Proxy::start(&simple(&[&backend]));
    let url = format!("http://{}/", proxy.addresses[0]);
    let Some(printed) = run("h2load", &["-n", "2000", "-c", "4", "-m", "100", &url]) else {
        return;
    };
    let line = printed.lines().find(|line| line.starts_with("requests:")).unwrap();
    assert!(line.contains("2000 succeeded, 0 failed"), "{printed}");
}
