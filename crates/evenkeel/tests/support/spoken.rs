//! The same request over each version of HTTP, byte for byte: what policies do to content must hold over
//! all of them. Needs `support::quic` beside it.
#![allow(dead_code, unreachable_pub, missing_docs)] // each test file uses its part
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::quic::{self, Raw, Site};
use crate::support::{Backend, Client, Proxy};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    H1,
    H2,
    H3,
}

pub const ALL: [Version; 3] = [Version::H1, Version::H2, Version::H3];

/// Name and value, the name in lower case.
pub type Field<'f> = (&'f str, &'f str);

/// A response, whole.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub interim: Vec<u16>,
    /// It ended as its framing said.
    pub complete: bool,
}

impl Said {
    pub fn field(&self, name: &str) -> &str {
        let values = self.values(name);
        assert!(values.len() <= 1, "several {name}: {values:?}");
        values.first().copied().unwrap_or_default()
    }

    pub fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn reason(&self) -> &str {
        self.field("x-evenkeel-reason")
    }
}

/// A proxy with a plain listener (HTTP/1.1 and HTTP/2) and one for HTTP/3.
pub struct Polyglot {
    pub proxy: Proxy,
    site: Site,
    plain: SocketAddr,
    secure: SocketAddr,
}

impl Polyglot {
    /// Both listeners have these options (each a line, indented by four); `sections` follow the pool
    /// `app`.
    pub fn start(backend: &Backend, listener: &str, sections: &str) -> Self {
        let site = Site::new();
        let config = format!(
            "workers: 1\nlisteners:\n  web:\n    bind: 127.0.0.1:0\n{listener}  \
             secure:\n    bind: 127.0.0.1:0\n{}{listener}pools:\n  app:\n    servers: [{}]\n{sections}",
            site.listener(),
            backend.address
        );
        let proxy = Proxy::start(&config);
        let lines = proxy.log();
        let address = |scheme: &str| {
            let line =
                lines.iter().find(|line| line.contains(&format!("listening on {scheme}://")));
            let at = line.and_then(|line| line.split("://").nth(1)).expect("a listener");
            let end = at.find(|c: char| !(c.is_ascii_hexdigit() || ".:".contains(c)));
            at[..end.unwrap_or(at.len())].parse().unwrap()
        };
        Self { plain: address("http"), secure: address("https"), site, proxy }
    }

    /// A connection that speaks HTTP/1.1.
    pub fn connect(&self) -> Client {
        Client::connect(self.plain)
    }

    pub fn get(&self, version: Version, path: &str, fields: &[Field<'_>]) -> Said {
        self.ask(version, "GET", path, fields, None)
    }

    pub fn post(&self, version: Version, path: &str, fields: &[Field<'_>], body: &[u8]) -> Said {
        self.ask(version, "POST", path, fields, Some(body))
    }

    /// On a connection of its own. Content is announced by nothing but its frames over HTTP/2 and
    /// HTTP/3, unless a field does.
    pub fn ask(
        &self,
        version: Version,
        method: &str,
        path: &str,
        fields: &[Field<'_>],
        body: Option<&[u8]>,
    ) -> Said {
        match version {
            Version::H1 => self.ask_h1(method, path, fields, body),
            Version::H2 => quic::run(self.ask_h2(method, path, fields, body)),
            Version::H3 => quic::run(self.ask_h3(method, path, fields, body)),
        }
    }

    fn ask_h1(&self, method: &str, path: &str, fields: &[Field<'_>], body: Option<&[u8]>) -> Said {
        let mut client = self.connect();
        let lines: String =
            fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let framing = match body {
            Some(body) if !lines.contains("content-length") => {
                format!("content-length: {}\r\n", body.len())
            }
            _ => String::new(),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{lines}{framing}\r\n");
        client.send(head);
        client.try_send(body.unwrap_or_default());
        let mut interim = Vec::new();
        let response = loop {
            let response = client.response_to(method);
            if response.status >= 200 {
                break response;
            }
            interim.push(response.status);
        };
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Said {
            status: response.status,
            fields: response.head.lines().skip(1).filter_map(field).collect(),
            body: response.body,
            interim,
            complete: response.complete,
        }
    }

    async fn ask_h2(
        &self,
        method: &str,
        path: &str,
        fields: &[Field<'_>],
        body: Option<&[u8]>,
    ) -> Said {
        let tcp = tokio::net::TcpStream::connect(self.plain).await.unwrap();
        let (sender, connection) = h2::client::handshake(tcp).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut request =
            http::Request::builder().method(method).uri(format!("http://localhost{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut sender = sender.ready().await.unwrap();
        let request = request.body(()).unwrap();
        let (response, mut send) = sender.send_request(request, body.is_none()).unwrap();
        if let Some(body) = body {
            let mut left = Bytes::copy_from_slice(body);
            tokio::spawn(async move {
                loop {
                    send.reserve_capacity(left.len());
                    let capacity = std::future::poll_fn(|cx| send.poll_capacity(cx));
                    let room = match left.is_empty() {
                        true => 0,
                        false => match capacity.await {
                            Some(Ok(room)) => room,
                            _ => return, // it has been answered, and no more is wanted
                        },
                    };
                    let piece = left.split_to(room.min(left.len()));
                    if send.send_data(piece, left.is_empty()).is_err() || left.is_empty() {
                        return;
                    }
                }
            });
        }
        let (parts, mut content) = response.await.unwrap().into_parts();
        let (mut all, mut complete) = (Vec::new(), true);
        while let Some(piece) = content.data().await {
            let Ok(piece) = piece else {
                complete = false;
                break;
            };
            all.extend_from_slice(&piece);
            let _ = content.flow_control().release_capacity(piece.len());
        }
        driver.abort();
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Said {
            status: parts.status.as_u16(),
            fields: parts.headers.iter().map(field).collect(),
            body: all,
            interim: Vec::new(),
            complete,
        }
    }

    async fn ask_h3(
        &self,
        method: &str,
        path: &str,
        fields: &[Field<'_>],
        body: Option<&[u8]>,
    ) -> Said {
        let client = Raw::dial(&self.site, self.secure).await;
        let mut all = vec![
            (":method", method),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
        ];
        all.extend_from_slice(fields);
        let (mut send, receive) = client.send(&quic::headers(&all), false).await;
        let body = body.map(quic::data).unwrap_or_default();
        tokio::spawn(async move {
            if send.write_all(&body).await.is_ok() {
                let _ = send.finish();
            }
            tokio::time::sleep(Duration::from_secs(60)).await; // dropped, it would be reset
        });
        match quic::answer(receive).await {
            Ok(answer) => Said {
                status: answer.status,
                fields: answer.fields,
                body: answer.body,
                interim: answer.interim,
                complete: true,
            },
            Err(_) => {
                let (fields, body, interim) = Default::default();
                Said { status: 0, fields, body, interim, complete: false }
            }
        }
    }
}
