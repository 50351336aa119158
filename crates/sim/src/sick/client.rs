//! A client of servers that are ill: it keeps its cookie, comes back with its key, and knows what
//! it may be told.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime as runtime;

use crate::chance::{Chance, content};
use crate::message::{Ending, Head, Peer};
use crate::oracle::{Conclusion, Oracle, Request};
use crate::scenario::front;
use crate::sick::promises::{End, Promises};
use crate::sick::settings::Affinity;

/// More than all the proxy's timeouts together.
const PATIENCE: Duration = Duration::from_secs(120);
/// What each client asks for after all have recovered.
const LAST: u64 = 6;

pub(crate) struct Client {
    pub(crate) oracle: Oracle,
    pub(crate) promises: Promises,
    pub(crate) chance: Chance,
    pub(crate) affinity: Affinity,
    pub(crate) name: u64,
    /// The next id, of all clients.
    pub(crate) ids: Rc<Cell<u64>>,
    /// Milliseconds between requests, at most.
    pub(crate) pace: u64,
    /// The cookie, and whose it is.
    pub(crate) jar: Option<(String, usize)>,
}

impl Client {
    pub(crate) async fn run(mut self) {
        let mut kept = None;
        let mut last = 0;
        while last < LAST {
            last += u64::from(self.promises.is_recovered());
            runtime::sleep(self.chance.millis(0..self.pace)).await;
            if self.chance.percent(15) {
                self.jar = None; // somebody new
                kept = None;
            }
            let peer = match kept.take() {
                Some(peer) => Some(peer),
                None => Peer::connect(front(), PATIENCE).await,
            };
            let Some(peer) = peer else {
                self.oracle.object("a client could not connect");
                continue;
            };
            match self.chance.percent(4) {
                true => self.tunnel(peer).await,
                false => kept = self.ask(peer).await,
            }
        }
    }

    fn id(&self) -> u64 {
        self.ids.set(self.ids.get() + 1);
        self.ids.get()
    }

    fn key(&self) -> Option<String> {
        match self.affinity {
            Affinity::Header => Some(format!("u{}", self.name)),
            Affinity::Source => Some("here".into()),
            _ => None,
        }
    }

    fn fields(&self) -> String {
        let mut out = String::from("Host: world\r\n");
        if let Some((cookie, _)) = &self.jar {
            out += &format!("Cookie: a=b; evenkeel={cookie}; c=d\r\n");
        }
        if let Affinity::Header = self.affinity {
            out += &format!("X-User: u{}\r\n", self.name);
        }
        out
    }

    fn begin(&self, method: &'static str, length: u64, wants: u64) -> u64 {
        let id = self.id();
        self.oracle.asks(id, Request::new(method, length, wants));
        self.promises.asks(id, self.jar.as_ref().map(|(_, server)| *server));
        id
    }

    /// One request and its answer; the connection, if it can be used again.
    async fn ask(&mut self, mut peer: Peer) -> Option<Peer> {
        let methods = ["GET", "GET", "GET", "GET", "HEAD", "POST", "POST", "PUT"];
        let method = *self.chance.one_of(&methods);
        let wants = match self.chance.percent(90) {
            true => self.chance.within(0..2_000),
            false => self.chance.within(0..40_000),
        };
        let length = match method {
            "POST" | "PUT" if self.chance.percent(60) => self.chance.within(1..2_000),
            _ => 0,
        };
        let id = self.begin(method, length, wants);
        let fields = self.fields();
        let mut bytes = format!("{method} /r/{id}?n={wants} HTTP/1.1\r\n{fields}").into_bytes();
        if matches!(method, "POST" | "PUT") {
            bytes.extend(format!("Content-Length: {length}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(content(id, length));
        let until = runtime::now() + PATIENCE;
        let _ = peer.write(&bytes, until).await;
        let head = match peer.head(false, until).await {
            Ok(head) => head,
            Err(ending) => {
                self.cut(id, method, ending, false);
                return None;
            }
        };
        let framing = head.response_framing(method);
        let mut trailers = Vec::new();
        let body = match framing {
            Ok(framing) => peer.content(framing, &mut trailers, until).await,
            Err(ending) => Err(ending),
        };
        match body {
            Ok(body) => self.judge(id, method, wants, &head, &body),
            Err(ending) => {
                self.cut(id, method, ending, true);
                return None;
            }
        }
        (!head.says_close()).then_some(peer)
    }

    fn judge(&mut self, id: u64, method: &'static str, wants: u64, head: &Head, body: &[u8]) {
        let key = self.key();
        let Some(server) = head.number("x-server") else {
            self.oracle.concluded(Conclusion::Failed);
            let reason = head.field("x-evenkeel-reason").unwrap_or_default();
            let retry_after = head.field("retry-after").is_some();
            if head.status < 500 {
                self.oracle.object(format!("{method} {id} got {} for {reason}", head.status));
            }
            let end = End::Refused { reason, retry_after };
            return self.promises.ends(id, method, key.as_deref(), end);
        };
        if head.number("x-id") != Some(id) {
            return self.oracle.object(format!("{id} got the answer to {:?}", head.field("x-id")));
        }
        if head.status == 503 {
            self.oracle.concluded(Conclusion::Failed);
            return self.promises.ends(id, method, key.as_deref(), End::Failed);
        }
        if method != "HEAD" && body != content(id, wants) {
            return self.oracle.object(format!("{id} got a wrong body of {}", body.len()));
        }
        self.oracle.concluded(Conclusion::Answered);
        let cookie = head.all("set-cookie").find_map(token);
        let end = End::Answered { server: server as usize, cookie: cookie.is_some() };
        if let Some(cookie) = cookie {
            self.jar = Some((cookie, server as usize));
        }
        self.promises.ends(id, method, key.as_deref(), end);
    }

    fn cut(&self, id: u64, method: &'static str, ending: Ending, head: bool) {
        self.oracle.concluded(Conclusion::Broken);
        match ending {
            Ending::TooLate => self.oracle.object(format!("{method} {id} waits for ever")),
            Ending::Malformed(why) => self.oracle.object(format!("{method} {id} got {why}")),
            _ => self.promises.ends(id, method, None, End::Cut { head }),
        }
    }

    /// Another protocol for a while, in which all that is said comes back.
    async fn tunnel(&mut self, mut peer: Peer) {
        let id = self.begin("GET", 0, 0);
        let fields = self.fields();
        let ask = format!(
            "GET /t/{id}?n=0 HTTP/1.1\r\n{fields}Connection: upgrade\r\nUpgrade: echo\r\n\r\n"
        );
        let until = runtime::now() + PATIENCE;
        let rounds = self.chance.within(0..20);
        let pause = self.chance.within(1..120);
        let said = content(id, 50);
        let ending: Result<(), Ending> = async {
            peer.write(ask.as_bytes(), until).await?;
            if peer.head(false, until).await?.status != 101 {
                return Err(Ending::Closed);
            }
            for _ in 0..rounds {
                peer.write(&said, until).await?;
                while peer.buffer.len() < said.len() {
                    peer.fill(until).await?;
                }
                if peer.buffer != said {
                    self.oracle.object(format!("the tunnel {id} told something else"));
                }
                peer.buffer.clear();
                runtime::sleep(self.chance.millis(0..pause)).await;
            }
            Ok(())
        }
        .await;
        match ending {
            Ok(()) => self.oracle.concluded(Conclusion::Answered),
            Err(Ending::TooLate) => self.oracle.object(format!("the tunnel {id} waits for ever")),
            Err(_) => self.oracle.concluded(Conclusion::Broken),
        }
    }
}

/// The proxy's own cookie in a `Set-Cookie`.
fn token(set: &str) -> Option<String> {
    let value = set.strip_prefix("evenkeel=")?;
    value.split(';').next().map(str::to_owned)
}
