//! Limits as clients meet them, over every version of HTTP: rates, things at a time, connections,
//! bandwidth, and limits that several instances share.
#![cfg(feature = "http3")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

#[path = "../support/quic.rs"]
mod quic;
#[path = "../support/mod.rs"]
mod support;

mod bandwidth;
mod concurrency;
mod connections;
mod rate;
#[cfg(feature = "shared-limits")]
mod shared;

use std::future::Future;
use std::net::SocketAddr;

use quic::{Raw, Site, run};
use support::{Backend, Client, Proxy};

/// A proxy with a listener for each way in, and one policy on its only route.
struct Stage {
    site: Site,
    proxy: Proxy,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    H1,
    H2,
    H3,
}

const WAYS: [Way; 3] = [Way::H1, Way::H2, Way::H3];

/// What was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

impl Stage {
    fn new(backend: &Backend, policy: &str) -> Self {
        Self::with(backend, &format!("  limit: {policy}\n"), "limit")
    }

    /// With all of the policies, of which the route has these.
    fn with(backend: &Backend, policies: &str, route: &str) -> Self {
        let site = Site::new();
        let proxy = Proxy::start(&configuration(&site, backend, policies, route));
        Self { site, proxy }
    }

    /// Another configuration.
    fn reload(&self, backend: &Backend, policy: &str) {
        let policies = format!("  limit: {policy}\n");
        let said = self.proxy.reload(&configuration(&self.site, backend, &policies, "limit"));
        assert!(said.contains("changed: "), "{said}");
    }

    fn plain(&self) -> SocketAddr {
        self.proxy.addresses[0]
    }

    fn get(&self, way: Way) -> Answer {
        self.ask(way, "/", &[])
    }

    fn ask(&self, way: Way, path: &str, fields: &[(&str, &str)]) -> Answer {
        match way {
            Way::H1 => h1(self.plain(), path, fields),
            Way::H2 => h2(self.plain(), path, fields),
            Way::H3 => h3(&self.site, self.proxy.addresses[1], path, fields),
        }
    }
}

fn configuration(site: &Site, backend: &Backend, policies: &str, route: &str) -> String {
    format!(
        "workers: 2\nlisteners:\n  plain:\n    bind: 127.0.0.1:0\n  web:\n    bind: 127.0.0.1:0\n{}\
         routes:\n  - to: app\n    policies: [{route}]\npools:\n  app:\n    servers: [{}]\n\
         policies:\n{policies}",
        site.listener(),
        backend.address,
    )
}

fn h1(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Answer {
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut client = Client::connect(address);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{lines}\r\n"));
    let response = client.response();
    let fields = response.head.lines().filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Answer { status: response.status, fields, body: response.body }
}

fn h2(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Answer {
    // What has a type is posted.
    let method =
        if fields.iter().any(|(name, _)| *name == "content-type") { "POST" } else { "GET" };
    let mut request = http::Request::builder().method(method).uri(format!("http://test{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    run(async {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(tcp).await.unwrap();
        tokio::spawn(connection);
        sender = sender.ready().await.unwrap();
        let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        let (head, mut content) = response.await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(piece) = content.data().await {
            let piece = piece.unwrap();
            content.flow_control().release_capacity(piece.len()).unwrap();
            body.extend_from_slice(&piece);
        }
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        Answer { status: head.status.as_u16(), fields: fields.collect(), body }
    })
}

fn h3(site: &Site, address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Answer {
    let answer = run(async {
        let client = Raw::dial(site, address).await;
        client.ask(&[&quic::get(path)[..], fields].concat()).await.unwrap()
    });
    Answer { status: answer.status, fields: answer.fields, body: answer.body }
}

/// Runs all of these at the same time.
fn together<T: Send + 'static>(
    what: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let what: Vec<_> = what.into_iter().collect();
    run(async {
        let tasks: Vec<_> = what.into_iter().map(tokio::spawn).collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap());
        }
        all
    })
}
