//! Servers of a world: honest in every legal way, or breaking a rule on purpose. Each checks what
//! reaches it: nothing malformed, nothing that nobody sent, nothing that was to be taken off.

use std::rc::Rc;
use std::time::Duration;

use evenkeel_runtime::{self as runtime, TcpListener, TcpStream};

use crate::attacker;
use crate::chance::{Chance, content};
use crate::message::{Ending, Framing, Head, Peer, in_chunks};
use crate::oracle::Oracle;
use crate::scenario::Nature;

/// An answer that belongs to nobody.
const POISON: &str = "HTTP/1.1 200 OK\r\nX-Server: 0\r\nX-Id: 0\r\nContent-Length: 3\r\n\r\nbad";
/// How long a server waits for anything but the next request.
const PATIENCE: Duration = Duration::from_secs(60);
/// A proxy that closes idle connections in time never meets this.
const LONG: Duration = Duration::from_secs(300);

/// Listens, and serves whoever comes, for ever.
pub(crate) async fn serve(
    index: usize,
    nature: Rc<Nature>,
    oracle: Oracle,
    mut chance: Chance,
    listener: TcpListener,
) {
    loop {
        let Ok((stream, _)) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await else {
            runtime::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let (nature, oracle, chance) = (nature.clone(), oracle.clone(), chance.fork());
        runtime::spawn(Conversation::new(index, nature, oracle, chance, stream).run());
    }
}

/// One connection.
struct Conversation {
    index: usize,
    nature: Rc<Nature>,
    oracle: Oracle,
    chance: Chance,
    peer: Peer,
}

/// What becomes of the connection after an answer.
#[derive(PartialEq, Eq)]
enum After {
    GoOn,
    Close,
    Reset,
    /// It has an answer on it that nobody asked for.
    Poisoned,
}

impl Conversation {
    fn new(
        index: usize,
        nature: Rc<Nature>,
        oracle: Oracle,
        chance: Chance,
        stream: TcpStream,
    ) -> Self {
        Self { index, nature, oracle, chance, peer: Peer::new(stream) }
    }

    async fn run(mut self) {
        let mut first = true;
        loop {
            let idle = match self.nature.idle_close.clone() {
                Some(range) if !first => self.chance.millis(range),
                _ => LONG,
            };
            first = false;
            let head = match self.peer.head(true, runtime::now() + idle).await {
                Ok(head) => head,
                Err(Ending::Malformed(why)) => return self.object(why),
                Err(Ending::TooLate) if !self.peer.buffer.is_empty() => {
                    // It has begun: an honest server waits for the rest.
                    match self.peer.head(true, runtime::now() + PATIENCE).await {
                        Ok(head) => head,
                        Err(Ending::Malformed(why)) => return self.object(why),
                        Err(_) => return,
                    }
                }
                Err(Ending::TooLate) if self.nature.spoils > 0 && self.chance.percent(20) => {
                    // An answer to a question that nobody asked.
                    let _ = self.peer.write(POISON.as_bytes(), runtime::now() + PATIENCE).await;
                    return self.poisoned().await;
                }
                Err(Ending::TooLate) => {
                    if self.nature.spoils > 0 && self.chance.percent(30) {
                        self.peer.abort();
                    }
                    return;
                }
                Err(_) => return,
            };
            match self.answer(&head).await {
                Ok(After::GoOn) => {}
                // An end in the middle must not look like the end.
                Err(Ending::TooLate) => return self.peer.abort(),
                Ok(After::Close) | Err(_) => return,
                Ok(After::Reset) => return self.peer.abort(),
                Ok(After::Poisoned) => return self.poisoned().await,
            }
        }
    }

    /// It has said more than it was asked. A request that comes at once may have crossed that on
    /// the way; one that comes later was sent over a connection with an unread answer on it.
    async fn poisoned(mut self) {
        let crossed_until = runtime::now() + self.nature.round_trip;
        let until = runtime::now() + self.nature.round_trip * 2 + self.chance.millis(1..50);
        let Ok(head) = self.peer.head(true, until).await else { return };
        let id = target(&head.target).map(|(id, _)| id);
        if let Some(id) = id {
            self.oracle.crossed(id);
        }
        if runtime::now() > crossed_until {
            let what = format!("server {}: {id:?} was sent behind an unread answer", self.index);
            self.oracle.object(what);
        }
    }

    fn object(&self, why: &str) {
        self.oracle.object(format!("server {} received something malformed: {why}", self.index));
    }

    async fn answer(&mut self, head: &Head) -> Result<After, Ending> {
        self.inspect(head);
        let framing = head.request_framing().inspect_err(|_| self.object("framing"))?;
        if let Some(name) = head.target.strip_prefix("/a/") {
            return self.answer_attacker(name.to_owned(), head, framing).await;
        }
        if let Some((id, _)) = target(&head.target.replacen("/t/", "/r/", 1))
            && head.target.starts_with("/t/")
        {
            self.oracle.executes(id, &head.method, self.index);
            return self.echo().await;
        }
        let Some((id, wants)) = target(&head.target) else {
            self.oracle.object(format!("server {} was asked for {}", self.index, head.target));
            return Ok(After::Close);
        };
        let known = self.oracle.request(id);
        if self.nature.spoils > 0 && self.chance.percent(self.nature.spoils) {
            self.oracle.spoil(id);
            return self.spoil(id, wants, head, framing).await;
        }
        let early = framing != Framing::Exact(0) && self.chance.percent(6);
        if head.field("expect").is_some() && !early && self.chance.percent(80) {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if early {
            // A whole answer before the request is complete is a server's right.
            self.oracle.executes(id, &head.method, self.index);
            let after = self.respond(id, wants, head, Some(9)).await?;
            if after == After::GoOn {
                self.read_content(framing, None).await?;
            }
            return Ok(after);
        }
        let expected = known.map(|request| content(id, request.content));
        self.read_content(framing, expected).await?;
        self.oracle.executes(id, &head.method, self.index);
        self.think().await;
        if !self.peer.buffer.is_empty() {
            self.oracle.object(format!("server {}: two requests at once", self.index));
        }
        for _ in 0..self.chance.within(0..12).saturating_sub(9) {
            self.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x.css>\r\n\r\n").await?;
        }
        self.respond(id, wants, head, None).await
    }

    /// What no request may have when it arrives here, whoever sent it.
    fn inspect(&self, head: &Head) {
        let object = |what: &str| {
            let target = &head.target;
            self.oracle.object(format!("server {}: {what} ({target})", self.index));
        };
        if head.target.contains("smuggled") {
            object("a smuggled request");
        }
        if head.target.contains("..") || head.target.contains("/admin") {
            object("a path around the rules");
        }
        if head.all("host").count() != 1 {
            object("not one Host");
        }
        if head.all("x-forwarded-for").any(|value| value.contains("6.6.6.6")) {
            object("a forged X-Forwarded-For");
        }
        if head.field("x-secret").is_some() || head.field("keep-alive").is_some() {
            object("a field of the hop before");
        }
        if head.all("upgrade").any(|value| value.contains("h2c")) {
            object("an offer of h2c");
        }
    }

    async fn read_content(
        &mut self,
        framing: Framing,
        expected: Option<Vec<u8>>,
    ) -> Result<(), Ending> {
        let mut trailers = Vec::new();
        let until = runtime::now() + PATIENCE;
        let read = self.peer.content(framing, &mut trailers, until).await;
        let content = match read {
            Ok(content) => content,
            Err(Ending::Malformed(why)) => {
                self.object(why);
                return Err(Ending::Malformed(why));
            }
            Err(ending) => return Err(ending),
        };
        if expected.is_some_and(|expected| expected != content) {
            self.oracle.object(format!("server {}: not the content that was sent", self.index));
        }
        let forbidden = ["content-length:", "host:", "x-forwarded-for:", "transfer-encoding:"];
        for trailer in trailers {
            let trailer = trailer.to_ascii_lowercase();
            if forbidden.iter().any(|name| trailer.starts_with(name)) {
                self.oracle.object(format!("server {}: trailer {trailer}", self.index));
            }
        }
        Ok(())
    }

    async fn think(&mut self) {
        let time = self.chance.millis(self.nature.think.clone());
        runtime::sleep(time).await;
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        self.peer.write(bytes, runtime::now() + PATIENCE).await
    }

    /// The answer to `id`, framed in one of the legal ways; in one of the first `styles` of them.
    async fn respond(
        &mut self,
        id: u64,
        wants: u64,
        request: &Head,
        styles: Option<u64>,
    ) -> Result<After, Ending> {
        let body = content(id, wants);
        // Who closes with unread content resets: an early answer must not need the end.
        let close = styles.is_none() && self.chance.percent(6);
        let begin = format!("HTTP/1.1 200 OK\r\nX-Server: {}\r\nX-Id: {id}\r\n", self.index);
        let connection = if close { "Connection: close\r\n" } else { "" };
        let has_body = request.method != "HEAD";
        let style = self.chance.within(0..styles.unwrap_or(10));
        let (fields, body, after) = match style {
            0..=5 => (format!("Content-Length: {wants}\r\n{connection}"), body, !close),
            6..=8 => {
                let chunks = in_chunks(&body, &mut self.chance);
                (format!("Transfer-Encoding: chunked\r\n{connection}"), chunks, !close)
            }
            _ => ("Connection: close\r\n".to_owned(), body, false),
        };
        let mut out = format!("{begin}{fields}\r\n").into_bytes();
        if has_body {
            out.extend(body);
        }
        if self.chance.percent(30) && out.len() > 1 {
            let cut = self.chance.within(1..out.len() as u64) as usize;
            let rest = out.split_off(cut);
            self.write(&out).await?;
            self.think().await;
            out = rest;
        }
        self.write(&out).await?;
        Ok(if after { After::GoOn } else { After::Close })
    }

    /// A tunnel's far end: says what it hears, until it hears no more.
    async fn echo(&mut self) -> Result<After, Ending> {
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
        )
        .await?;
        loop {
            let heard = std::mem::take(&mut self.peer.buffer);
            self.write(&heard).await?;
            match self.peer.fill(runtime::now() + PATIENCE).await {
                Ok(()) => {}
                Err(Ending::Closed) => return Ok(After::Close),
                Err(ending) => return Err(ending),
            }
        }
    }

    async fn answer_attacker(
        &mut self,
        name: String,
        head: &Head,
        framing: Framing,
    ) -> Result<After, Ending> {
        self.read_content(framing, None).await?;
        // Its head may have been passed on before the rest was seen; all of it may not.
        if !attacker::may_reach(&name) {
            self.oracle.object(format!("attack {name} reached server {}", self.index));
        }
        if head.method != "HEAD" {
            let body = "a".repeat(if name == attacker::BIG { 400_000 } else { 1 });
            let fields =
                format!("X-Server: {}\r\nX-Id: 0\r\nContent-Length: {}", self.index, body.len());
            let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
            self.write(answer.as_bytes()).await?;
        }
        Ok(if head.method == "HEAD" { After::Close } else { After::GoOn })
    }

    /// Answers as no server may.
    async fn spoil(
        &mut self,
        id: u64,
        wants: u64,
        head: &Head,
        framing: Framing,
    ) -> Result<After, Ending> {
        // To take a request and say nothing is what a server does that dies.
        let style = self.chance.within(0..17) % 15;
        if !matches!(style, 0 | 12) {
            self.read_content(framing, None).await?;
        }
        self.oracle.executes(id, &head.method, self.index);
        let body = content(id, wants.max(2));
        let half = body.len() / 2;
        let ok = format!("HTTP/1.1 200 OK\r\nX-Server: {}\r\nX-Id: {id}\r\n", self.index);
        let text = String::from_utf8_lossy(&body).into_owned();
        let first = &text[..half];
        let exact = format!("{ok}Content-Length: {}\r\n\r\n", body.len());
        let (bytes, after) = match style {
            0 | 14 => (String::new(), After::Reset),
            1 => (format!("{exact}{first}"), After::Close),
            2 => (format!("{exact}{first}"), After::Reset),
            3 => {
                let chunk = format!("{half:x}\r\n{first}\r\n");
                (format!("{ok}Transfer-Encoding: chunked\r\n\r\n{chunk}"), After::Close)
            }
            4 => (format!("{exact}{text}{POISON}"), After::Poisoned),
            5 => (
                format!("{ok}Content-Length: 1\r\nContent-Length: {wants}\r\n\r\n{text}"),
                After::GoOn,
            ),
            6 => {
                let fields = "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n";
                (format!("{ok}{fields}"), After::GoOn)
            }
            7 => ("nonsense\r\n\r\n".to_owned(), After::GoOn),
            8 => ("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40), After::GoOn),
            9 => (
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nboo"
                    .to_owned(),
                After::GoOn,
            ),
            10 => (format!("{ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n{first}\r\n"), After::GoOn),
            11 => (
                format!(
                    "HTTP/1.1 204 No Content\r\nX-Server: {}\r\nX-Id: {id}\r\n\r\n{POISON}",
                    self.index
                ),
                After::Poisoned,
            ),
            12 => {
                // Says nothing and takes nothing more.
                runtime::sleep(Duration::from_secs(*self.chance.one_of(&[2, 40, 900]))).await;
                (String::new(), After::Close)
            }
            _ => (format!("{ok}Content-Length: 99999999999999999999\r\n\r\n"), After::GoOn),
        };
        self.write(bytes.as_bytes()).await?;
        if after == After::GoOn && head.method == "HEAD" {
            return Ok(After::Close);
        }
        Ok(after)
    }
}

/// The id and the length asked for by `/r/ID?n=LENGTH`.
fn target(text: &str) -> Option<(u64, u64)> {
    let (id, wants) = text.strip_prefix("/r/")?.split_once("?n=")?;
    Some((id.parse().ok()?, wants.parse().ok()?))
}
