//! Honest clients: they keep connections, pipeline, upload in pieces, give up at times, and know
//! exactly what they must get back.

use std::time::Duration;

use evenkeel_runtime as runtime;

use crate::chance::{Chance, content};
use crate::message::{Ending, Framing, Head, Peer, in_chunks};
use crate::oracle::{Conclusion, Oracle, Request};
use crate::scenario::{Kind, front};

/// More than all the proxy's timeouts together: who waits longer, waits for ever.
const PATIENCE: Duration = Duration::from_secs(240);

/// One client's day.
pub(crate) struct Client {
    pub(crate) kind: Kind,
    pub(crate) oracle: Oracle,
    pub(crate) chance: Chance,
    /// Its own ids.
    pub(crate) ids: std::ops::Range<u64>,
    pub(crate) aborts: bool,
    /// Servers close idle connections at once, so that what cannot be sent again (a POST, or a
    /// content that has passed through) may meet one.
    pub(crate) races: bool,
}

/// A request on its way.
struct Sent {
    id: u64,
    method: &'static str,
    wants: u64,
}

/// Why a conversation on one connection ended.
enum End {
    /// All that was asked was answered; the connection is still good.
    Kept(Peer),
    Over,
}

impl Client {
    pub(crate) async fn run(mut self) {
        let mut kept = None;
        while !self.ids.is_empty() {
            let pause = if self.chance.percent(30) { 0..60 } else { 0..3 };
            runtime::sleep(self.chance.millis(pause)).await;
            let peer = match kept.take() {
                Some(peer) => Some(peer),
                None => Peer::connect(front(), PATIENCE).await,
            };
            let Some(mut peer) = peer else {
                if self.kind.promises_answers() {
                    self.oracle.object("a client could not connect");
                }
                self.ids.next();
                continue;
            };
            if self.chance.percent(6) {
                self.tunnel(&mut peer).await;
                continue;
            }
            if let End::Kept(peer) = self.converse(peer).await {
                kept = Some(peer);
            }
        }
    }

    /// Sends one request, or a few at once, and takes the answers.
    async fn converse(&mut self, mut peer: Peer) -> End {
        peer.listens = true;
        let pipelined = if self.chance.percent(15) { self.chance.within(2..4) } else { 1 };
        let mut sent = Vec::new();
        let mut bytes = Vec::new();
        let ids: Vec<u64> = self.ids.by_ref().take(pipelined as usize).collect();
        for id in ids {
            let (request, message) = self.compose_for(id, pipelined > 1);
            sent.push(Sent { id, method: request.method, wants: request.wants });
            self.oracle.asks(id, request);
            bytes.extend(message);
        }
        let ends_early = self.aborts && self.chance.percent(8);
        let sending = self.send(&mut peer, &bytes, ends_early).await;
        if ends_early {
            sent.iter().for_each(|_| self.oracle.concluded(Conclusion::Broken));
            return End::Over;
        }
        let mut open = true;
        for request in &sent {
            if !open {
                // Nothing was promised to what came behind an answer that ended the connection.
                self.oracle.concluded(Conclusion::Broken);
                continue;
            }
            open = self.receive(&mut peer, request).await;
        }
        match open && sending.is_ok() {
            true => End::Kept(peer),
            false => End::Over,
        }
    }

    async fn send(
        &mut self,
        peer: &mut Peer,
        bytes: &[u8],
        ends_early: bool,
    ) -> Result<(), Ending> {
        let until = runtime::now() + PATIENCE;
        let mut left = bytes;
        if ends_early {
            let keep = self.chance.within(0..bytes.len() as u64 + 1) as usize;
            left = &bytes[..keep];
        }
        while !left.is_empty() {
            let whole = left.len();
            let take = if self.chance.percent(60) {
                whole
            } else {
                1 + self.chance.within(0..whole as u64) as usize
            };
            let (piece, rest) = left.split_at(take.min(whole));
            peer.write(piece, until).await?;
            left = rest;
            if !left.is_empty() {
                runtime::sleep(self.chance.millis(0..10)).await;
            }
        }
        if ends_early {
            runtime::sleep(self.chance.millis(0..40)).await;
            if self.chance.percent(50) {
                peer.abort();
            }
        }
        Ok(())
    }

    /// Switches to another protocol, in which the server repeats what it is told until it is told
    /// no more; each side ends for itself.
    async fn tunnel(&mut self, peer: &mut Peer) {
        let Some(id) = self.ids.next() else { return };
        let length = self.chance.within(0..30_000);
        self.oracle.asks(id, Request::new("GET", 0, length));
        peer.listens = true;
        let until = runtime::now() + PATIENCE;
        let ask = format!(
            "GET /t/{id}?n={length} HTTP/1.1\r\nHost: world\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
        );
        let said = content(id, length);
        let mut heard = Vec::new();
        let mut open = false;
        let ending = async {
            self.send(peer, ask.as_bytes(), false).await?;
            let head = peer.head(false, until).await?;
            if head.status != 101 {
                return Err(Ending::Malformed("no tunnel"));
            }
            open = true;
            self.send(peer, &said, false).await?;
            peer.end();
            loop {
                heard.append(&mut peer.buffer);
                peer.fill(until).await?;
            }
        };
        let ending: Result<(), Ending> = ending.await;
        if open {
            heard.append(&mut peer.buffer);
        }
        let whole = ending == Err(Ending::Closed) && heard == said;
        self.oracle.concluded(if whole { Conclusion::Answered } else { Conclusion::Broken });
        if ending == Err(Ending::TooLate) {
            self.oracle.object(format!("the tunnel {id} waits for ever"));
        }
        if !said.starts_with(&heard) {
            self.oracle.object(format!("the tunnel {id} told something else"));
        }
        let must = self.must_be_answered(&Sent { id, method: "GET", wants: length });
        if must && !whole {
            let heard = heard.len();
            self.oracle
                .object(format!("the tunnel {id} ended with {ending:?} after {heard} of {length}"));
        }
    }

    fn compose_for(&mut self, id: u64, plain: bool) -> (Request, Vec<u8>) {
        let methods: &[&str] = if plain {
            &["GET"]
        } else {
            &["GET", "GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD"]
        };
        let method = *self.chance.one_of(methods);
        let wants = match self.chance.within(0..10) {
            0 => 0,
            1..=7 => self.chance.within(1..3_000),
            8 => self.chance.within(3_000..50_000),
            _ => self.chance.within(50_000..180_000),
        };
        let length = match method {
            "POST" | "PUT" if self.chance.percent(15) => self.chance.within(10_000..120_000),
            "POST" | "PUT" => self.chance.within(0..5_000),
            _ => 0,
        };
        let body = content(id, length);
        let mut out = format!(
            "{method} /r/{id}?n={wants} HTTP/1.1\r\nHost: world\r\nX-Forwarded-For: 6.6.6.6\r\n"
        )
        .into_bytes();
        if self.chance.percent(10) {
            out.extend(b"X-Secret: hop\r\nConnection: x-secret\r\nKeep-Alive: 5\r\n");
        }
        if matches!(method, "POST" | "PUT") {
            if self.chance.percent(15) {
                out.extend(b"Expect: 100-continue\r\n");
            }
            if self.chance.percent(40) {
                out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                out.extend(in_chunks(&body, &mut self.chance));
            } else {
                out.extend(format!("Content-Length: {length}\r\n\r\n").bytes());
                out.extend(body);
            }
        } else {
            out.extend(b"\r\n");
        }
        (Request::new(method, length, wants), out)
    }

    /// Takes one answer and judges it; whether the connection can be used again.
    async fn receive(&mut self, peer: &mut Peer, request: &Sent) -> bool {
        let until = runtime::now() + PATIENCE;
        let mut interim = 0;
        let head = loop {
            match peer.head(false, until).await {
                Ok(head) if head.status == 101 => {
                    self.oracle.object(format!("an upgrade that {} did not ask for", request.id));
                    return false;
                }
                Ok(head) if head.status < 200 => interim += 1,
                Ok(head) => break head,
                Err(ending) => {
                    self.cut(request, ending, "before the answer");
                    return false;
                }
            }
            if interim > 16 {
                self.oracle.object(format!("{interim} interim answers to {}", request.id));
                return false;
            }
        };
        let Ok(framing) = head.response_framing(request.method) else {
            self.oracle.object(format!("an answer to {} with unsound framing", request.id));
            return false;
        };
        let mut trailers = Vec::new();
        match peer.content(framing, &mut trailers, until).await {
            Ok(body) => self.judge(request, &head, &body),
            Err(ending) => {
                self.cut(request, ending, "within the answer");
                return false;
            }
        }
        !head.says_close() && framing != Framing::UntilClose
    }

    /// The answer is complete, as far as anyone can see.
    fn judge(&self, request: &Sent, head: &Head, body: &[u8]) {
        let id = request.id;
        if head.field("x-server").is_none() {
            self.oracle.concluded(Conclusion::Failed);
            if head.status < 400 {
                self.oracle.object(format!("{id} got {} from nobody", head.status));
            }
            let spoilt = self.oracle.request(id).is_some_and(|request| request.spoilt);
            if self.must_be_answered(request) && !spoilt {
                self.oracle.object(format!("a stray {} for {} {id}", head.status, request.method));
            }
            return;
        }
        if head.field("x-id") == Some("0") {
            self.oracle.suspect(id);
            return self.oracle.concluded(Conclusion::Broken);
        }
        if head.number("x-id") != Some(id) {
            let other = head.field("x-id").unwrap_or("nobody");
            return self.oracle.object(format!("{id} got the answer to {other}"));
        }
        if head.status == 200 && request.method != "HEAD" && body != content(id, request.wants) {
            let spoilt = self.oracle.request(id).is_some_and(|request| request.spoilt);
            // A spoilt answer has its own length: what must not be is a cut one that looks whole.
            if !spoilt || !is_whole(id, request.wants, body) {
                let (got, wants) = (body.len(), request.wants);
                let what = format!("{id} got a wrong body of {got} for {wants} that looks whole");
                return self.oracle.object(what);
            }
        }
        self.oracle.concluded(Conclusion::Answered);
    }

    /// The connection ended before the answer did.
    fn cut(&self, request: &Sent, ending: Ending, place: &str) {
        self.oracle.concluded(Conclusion::Broken);
        let id = request.id;
        match ending {
            Ending::TooLate => self.oracle.object(format!("{id} waits for ever {place}")),
            Ending::Malformed(why) => self.oracle.object(format!("{id} got {why}")),
            Ending::Closed | Ending::Reset => {
                let spoilt = self.oracle.request(id).is_some_and(|request| request.spoilt);
                if self.must_be_answered(request) && !spoilt {
                    self.oracle.object(format!("{} {id} was cut {place}", request.method));
                }
            }
        }
    }

    fn must_be_answered(&self, request: &Sent) -> bool {
        self.kind.promises_answers() && (!matches!(request.method, "POST" | "PUT") || !self.races)
    }
}

/// The body of a server that spoils is at least two bytes long.
fn is_whole(id: u64, wants: u64, body: &[u8]) -> bool {
    body == content(id, wants.max(2))
}
