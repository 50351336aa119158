//! Asking a running process over its admin API: where it is, one request, its answer. What is asked
//! and how an answer is shown is in the file of each command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::admin;
use crate::failure::{Exit, Failure};

/// Longest time until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time until an answer is there; what takes longer by its nature says so.
const ANSWER: Duration = Duration::from_secs(60);
/// Bytes of an answer: 10,000 servers with all their figures, several times.
const ANSWER_MAX: usize = 256 << 20;

/// Which process, and how its answers are shown.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArguments {
    /// Where the process listens: unix:PATH or http://HOST:PORT
    #[arg(long, env = "EVENKEEL_ADMIN", value_name = "PLACE")]
    admin: Option<String>,
    /// What lets you in over TCP
    #[arg(long, env = "EVENKEEL_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A process that answers.
pub(crate) struct Client {
    places: Vec<Place>,
    token: Option<String>,
    runtime: tokio::runtime::Runtime,
}

#[derive(Clone, Debug)]
enum Place {
    Unix(PathBuf),
    /// Host and port as they are written in `Host`.
    Http(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http(authority) => write!(f, "http://{authority}"),
        }
    }
}

/// What a process said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Why there is no answer.
enum Silence {
    /// Nobody is there.
    Nobody(String),
    /// Somebody is, but did not answer as agreed.
    Broken(String),
}

impl Client {
    /// Whoever is at the place that was named, else at the first default place where somebody is.
    pub(crate) fn new(arguments: &AdminArguments) -> Result<Self, Failure> {
        let places = match &arguments.admin {
            Some(text) => vec![place(text)?],
            None => admin::default_paths().into_iter().map(Place::Unix).collect(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|e| Failure::new(Exit::Runtime, format!("cannot wait for answers: {e}")))?;
        Ok(Self { places, token: arguments.token.clone(), runtime })
    }

    /// What the process says to this request, whatever it is.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        self.ask_within(ANSWER, method, path, body)
    }

    /// As [`Self::ask`], for what takes its time.
    pub(crate) fn ask_within(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let mut nobody = Vec::new();
        for place in &self.places {
            let asked = self.ask_at(place, patience, method.clone(), path, body);
            match self.runtime.block_on(asked) {
                Ok(answer) => return Ok(answer),
                Err(Silence::Nobody(why)) => nobody.push(format!("{place}: {why}")),
                Err(Silence::Broken(why)) => {
                    return Err(Failure::new(Exit::Runtime, format!("{place}: {why}")));
                }
            }
        }
        let message = format!("no process answers at {}", nobody.join(", nor at "));
        Err(Failure::new(Exit::Bind, message).with_help(
            "start one with `evenkeel run`, or say with --admin where it is (`admin: { bind: … }` \
             in its configuration; its log names the place)",
        ))
    }

    /// The body of a success; a failure is told as the process tells it.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).and_then(Answer::success)
    }

    /// Lets time pass.
    pub(crate) fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    async fn ask_at(
        &self,
        place: &Place,
        patience: Duration,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Silence> {
        let nobody = |e: std::io::Error| Silence::Nobody(e.to_string());
        let late = |_| Silence::Nobody(format!("no connection within {CONNECT:?}"));
        let host = match place {
            Place::Unix(_) => "localhost",
            Place::Http(authority) => authority,
        };
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let content = body.map(Value::to_string).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(content)))
            .map_err(|e| Silence::Broken(format!("this cannot be asked: {e}")))?;
        let exchange = async {
            match place {
                Place::Unix(path) => {
                    let connecting = timeout(CONNECT, UnixStream::connect(path));
                    send(connecting.await.map_err(late)?.map_err(nobody)?, request).await
                }
                Place::Http(authority) => {
                    let connecting = timeout(CONNECT, TcpStream::connect(authority));
                    send(connecting.await.map_err(late)?.map_err(nobody)?, request).await
                }
            }
        };
        timeout(patience, exchange)
            .await
            .map_err(|_| Silence::Broken(format!("no answer within {patience:?}")))?
    }
}

/// One request on a connection of its own.
async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Silence> {
    let broken = |e: hyper::Error| Silence::Broken(format!("this is no admin API: {e}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|e| Silence::Broken(format!("its answer broke off: {e}")))?;
        let body = serde_json::from_slice(&body.to_bytes())
            .map_err(|_| Silence::Broken(format!("status {status}, and no JSON: no admin API")))?;
        Ok(Answer { status, body })
    };
    tokio::pin!(exchange);
    tokio::pin!(connection);
    let mut connected = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut exchange => return answer,
            _ = &mut connection, if connected => connected = false, // the exchange says why
        }
    }
}

impl Answer {
    /// The body of a success.
    ///
    /// # Errors
    /// A failure, told as the process tells it: with diagnostics in their places if it has some.
    pub(crate) fn success(self) -> Result<Value, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let text = |name: &str| self.body.get(name).and_then(Value::as_str);
        let exit = match self.status {
            401 | 403 => Exit::Permission,
            _ if text("rendered").is_some() => Exit::Config,
            _ => Exit::Runtime,
        };
        if let Some(rendered) = text("rendered").filter(|text| !text.is_empty()) {
            return Err(Failure::told(exit, rendered.to_owned()));
        }
        let detail = text("detail").unwrap_or("it failed and does not say why");
        let failure = Failure::new(exit, detail);
        Err(match text("help") {
            Some(help) => failure.with_help(help),
            None => failure,
        })
    }
}

fn place(text: &str) -> Result<Place, Failure> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Place::Unix(path.trim_start_matches("//").into()));
    }
    if text.starts_with('/') {
        return Ok(Place::Unix(text.into()));
    }
    let authority = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let has_port = |authority: &&str| {
        authority.parse::<SocketAddr>().is_ok()
            || authority.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok()
            })
    };
    match authority.filter(has_port) {
        Some(authority) => Ok(Place::Http(authority.to_owned())),
        None => Err(Failure::new(Exit::Usage, format!("`{text}` is no place of an admin API"))
            .with_help("write it like unix:/run/evenkeel/admin.sock or http://127.0.0.1:9900")),
    }
}

/// A part of a path, with everything escaped that has a meaning there (RFC 3986 §2.3).
pub(crate) fn escape(part: &str) -> String {
    let mut escaped = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for (written, read) in [
            ("unix:/run/x.sock", "unix:/run/x.sock"),
            ("unix:///run/x.sock", "unix:/run/x.sock"),
            ("/run/x.sock", "unix:/run/x.sock"),
            ("http://127.0.0.1:9900", "http://127.0.0.1:9900"),
            ("http://[::1]:9900/", "http://[::1]:9900"),
            ("http://lb1.internal:80", "http://lb1.internal:80"),
        ] {
            assert_eq!(place(written).unwrap().to_string(), read);
        }
        for wrong in ["", "127.0.0.1:9900", "https://x:1", "http://x", "http://x:y", "http://u@x:1"]
        {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_of_a_path_are_escaped() {
        assert_eq!(escape("[::1]:80"), "%5B::1%5D:80");
        assert_eq!(escape("shop.example/api #2"), "shop.example%2Fapi%20%232");
    }
}
