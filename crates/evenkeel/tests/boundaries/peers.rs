//! Other readers of recorded bytes: hyper in this process, nginx and HAProxy beside it. Each says
//! which requests it found.
#![allow(unreachable_pub)] // for the test beside it

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;

use crate::recorder::{Record, answers, ask};
use crate::support::{Directory, wait_for};

/// What hyper's server finds in these bytes, and what it replies.
async fn hyper_reads(bytes: &[u8]) -> (Vec<String>, String) {
    let found = Arc::new(Mutex::new(Vec::new()));
    let to = found.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let to = to.clone();
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                let length = body.to_bytes().len();
                to.lock().unwrap().push(format!("{} {length} {}", head.method, head.uri));
            }
            Ok::<_, Infallible>(hyper::Response::new(Empty::<Bytes>::new()))
        }
    });
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let mut builder = hyper::server::conn::http1::Builder::new();
    let serving = builder.half_close(true).serve_connection(TokioIo::new(server), service);
    let mut reply = Vec::new();
    let talking = async {
        tokio::io::AsyncWriteExt::write_all(&mut client, bytes).await.unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut client).await.unwrap();
        let _ = client.read_to_end(&mut reply).await;
    };
    // An end in the middle of a request is an error to it, rightly.
    let _ = tokio::join!(serving, talking);
    let found = found.lock().unwrap().clone();
    (found, String::from_utf8_lossy(&reply).into_owned())
}

/// As [`Peer::compare`], with hyper; what is no whole request to us is none to it.
pub fn compare_with_hyper(record: &Record, expected: &[String]) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let end = record.ends.last().copied().unwrap_or(0);
    let (more, _) = runtime.block_on(hyper_reads(&record.bytes[end..]));
    assert_eq!(more, [""; 0], "hyper, {}", show(record, record.requests.len(), ""));
    compare("hyper", record, expected, |bytes, _| runtime.block_on(hyper_reads(bytes)))
}

/// A server that others wrote, running.
pub struct Peer {
    name: &'static str,
    address: SocketAddr,
    child: Child,
    _directory: Directory,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// nginx reads each request whole, and says what it would have passed on.
    pub fn nginx() -> Self {
        Self::start("nginx", &["-c"], |at, address| {
            format!(
                r#"daemon off; pid {at}/pid; error_log {at}/error.log; events {{}}
http {{
  access_log off; client_body_temp_path {at}; proxy_temp_path {at}; fastcgi_temp_path {at};
  uwsgi_temp_path {at}; scgi_temp_path {at};
  keepalive_requests 100000; client_max_body_size 0; underscores_in_headers on;
  large_client_header_buffers 4 64k; proxy_ignore_client_abort on; client_body_timeout 3s; client_header_timeout 3s;
  map $content_length $sent {{ "" 0; default $content_length; }}
  server {{ listen {address}; location / {{
    proxy_set_header X-Uri $request_uri; proxy_pass http://unix:{at}/inner:/;
  }} }}
  server {{ listen unix:{at}/inner; location / {{
    add_header X-Answer "$request_method $sent $http_x_uri"; return 200;
  }} }}
}}"#
            )
        })
    }

    /// HAProxy waits for each body, and says how long it is.
    pub fn haproxy() -> Self {
        Self::start("haproxy", &["-db", "-f"], |_, address| {
            format!(
                r#"global
  tune.bufsize 262144
  tune.http.maxhdr 256
defaults
  mode http
  timeout client 3s
  timeout connect 3s
  timeout server 3s
  timeout http-request 3s
  option http-buffer-request
frontend web
  bind {address}
  http-request wait-for-body time 3s
  http-request return status 200 hdr x-answer "%[method] %[req.body_len] %[url]"
"#
            )
        })
    }

    fn start(
        name: &'static str,
        arguments: &[&str],
        conf: impl Fn(&str, SocketAddr) -> String,
    ) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let directory = Directory::new();
        let file = directory.0.join("conf");
        std::fs::write(&file, conf(&directory.0.display().to_string(), address)).unwrap();
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        let child = Command::new(name)
            .args(arguments)
            .arg(&file)
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("the server to listen", || TcpStream::connect(address).is_ok());
        Self { name, address, child, _directory: directory }
    }

    /// Sends it what the proxy sent: it finds the same requests, but for those that it refuses.
    /// How many those are.
    pub fn compare(&self, record: &Record, expected: &[String]) -> usize {
        compare(self.name, record, expected, |bytes, count| {
            let reply = ask(self.address, bytes, count);
            (answers(&reply), reply)
        })
    }
}

/// Compares what `reads` finds; after a request that it refuses it goes on with the next.
fn compare(
    name: &str,
    record: &Record,
    expected: &[String],
    reads: impl Fn(&[u8], usize) -> (Vec<String>, String),
) -> usize {
    let (mut at, mut refused) = (0, 0);
    let end = record.ends.last().copied().unwrap_or(0);
    while at < expected.len() {
        let begin = at.checked_sub(1).map_or(0, |before| record.ends[before]);
        let (found, reply) = reads(&record.bytes[begin..end], expected.len() - at);
        let next = at + found.len();
        let shown = || format!("{name}, {}", show(record, next, &reply));
        assert_eq!(expected.get(at..next), Some(found.as_slice()), "{}", shown());
        at = next;
        if at < expected.len() {
            let is_refusal = reply.contains("HTTP/1.1 4") || reply.contains("HTTP/1.1 5");
            assert!(is_refusal, "no answer: {}", shown());
            refused += 1;
            at += 1;
        }
    }
    refused
}

/// The request that was not read as expected, the one before it, and the end of the replies.
fn show(record: &Record, at: usize, reply: &str) -> String {
    let place = |request: usize| record.ends.get(request).copied().unwrap_or(0);
    let begin = at.checked_sub(2).map_or(0, place);
    let bytes = record.bytes.get(begin..place(at)).unwrap_or_default();
    let (bytes, from) = (String::from_utf8_lossy(bytes), reply.len().saturating_sub(300));
    let reply = reply.get(from..).unwrap_or(reply);
    let seed = record.requests.get(at).map(|(seed, _)| seed);
    format!("stream {seed:?}: {bytes:?}\n{reply}")
}
