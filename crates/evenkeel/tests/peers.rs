//! Programs that others wrote: curl and wrk as clients, nginx and Python's http.server as servers.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use support::{Backend, Directory, Proxy, simple, wait_for};

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command, address: SocketAddr) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the program to listen", || TcpStream::connect(address).is_ok());
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn before(server: SocketAddr) -> Proxy {
    Proxy::start(&format!(
        "listeners: {{ web: {{ bind: \"127.0.0.1:0\" }} }}\npools: {{ app: {{ servers: [\"{server}\"] }} }}\nroutes: [ {{ to: app }} ]\n"
    ))
}

fn curl(proxy: &Proxy, arguments: &[&str], path: &str) -> String {
    let url = format!("http://{}{path}", proxy.addresses[0]);
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20"])
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn curl_gets_what_it_asks_for() {
    let backend = Backend::start(|request, stream| {
        let method = request.line().split(' ').next().unwrap_or_default();
        let text = format!("{method} {} {}", request.target(), request.body.len());
        let body = if method == "HEAD" { "" } else { text.as_str() };
        support::reply(
            stream,
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", text.len()),
        );
        support::Then::Keep
    });
    let proxy = Proxy::start(&simple(&[&backend]));
    assert_eq!(curl(&proxy, &[], "/a?b=c"), "GET /a?b=c 0");
    assert_eq!(curl(&proxy, &["-X", "DELETE"], "/x"), "DELETE /x 0");
    assert_eq!(curl(&proxy, &["--http1.0"], "/old"), "GET /old 0");
    assert!(curl(&proxy, &["-I"], "/").starts_with("HTTP/1.1 200 OK"));
    let directory = Directory::new();
    let file = directory.0.join("body");
    std::fs::write(&file, vec![b'x'; 3_000_000]).unwrap();
    let data = format!("@{}", file.display());
    // curl asks for 100-continue before so long a body.
    assert_eq!(curl(&proxy, &["--data-binary", &data], "/up"), "POST /up 3000000");
    assert_eq!(
        curl(&proxy, &["-H", "Transfer-Encoding: chunked", "--data-binary", &data], "/up"),
        "POST /up 3000000"
    );
}

#[test]
fn nginx_serves_through_it() {
    let (directory, address) = (Directory::new(), free_address());
    std::fs::write(directory.0.join("large"), vec![b'x'; 2_000_000]).unwrap();
    let conf = directory.0.join("nginx.conf");
    let root = directory.0.display();
    std::fs::write(&conf, format!("daemon off; pid {root}/pid; error_log {root}/error.log; events {{}}\nhttp {{ access_log off; keepalive_requests 7; gzip on; gzip_types *; gzip_http_version 1.0; gzip_proxied any; server {{ listen {address}; root {root}; location = /small {{ return 200 small; }} location = /moved {{ return 301 /small; }} }} }}\n")).unwrap();
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
    let _nginx =
        Running::start(Command::new("nginx").arg("-c").arg(&conf).env("PATH", path), address);
    let proxy = before(address);
    for _ in 0..30 {
        // It closes every seventh connection: nobody notices.
        assert_eq!(curl(&proxy, &[], "/small"), "small");
    }
    assert_eq!(curl(&proxy, &[], "/large").len(), 2_000_000);
    assert_eq!(curl(&proxy, &["--compressed"], "/large").len(), 2_000_000); // chunked by nginx
    assert_eq!(curl(&proxy, &["-r", "10-19"], "/large").len(), 10);
    assert_eq!(curl(&proxy, &["-o", "/dev/null", "-w", "%{http_code}"], "/moved"), "301");
    assert_eq!(curl(&proxy, &["-o", "/dev/null", "-w", "%{http_code}"], "/missing"), "404");
}

#[test]
fn pythons_server_serves_through_it() {
    // HTTP/1.0: every response ends with the connection.
    let (directory, address) = (Directory::new(), free_address());
    std::fs::write(directory.0.join("file.txt"), "hello from python").unwrap();
    let port = address.port().to_string();
    let mut python = Command::new("python3");
    python.args(["-m", "http.server", &port, "--bind", "127.0.0.1"]).current_dir(&directory.0);
    let _python = Running::start(&mut python, address);
    let proxy = before(address);
    for _ in 0..5 {
        assert_eq!(curl(&proxy, &[], "/file.txt"), "hello from python");
    }
    assert!(curl(&proxy, &[], "/").contains("file.txt"));
}

#[test]
fn wrk_sees_no_error() {
    let backends = [Backend::named("1"), Backend::named("2"), Backend::named("3")];
    let proxy = Proxy::start(&simple(&[&backends[0], &backends[1], &backends[2]]));
    let url = format!("http://{}/", proxy.addresses[0]);
    let output = Command::new("wrk").args(["-t1", "-c32", "-d1s", &url]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("requests in"), "{text}");
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    assert!(backends.iter().all(|backend| backend.count() > 0));
}
