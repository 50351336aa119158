//! A server that may be ill: it is down, stands still, answers 503 or slowly, and comes back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use evenkeel_runtime::{self as runtime, TcpListener};

use crate::chance::{Chance, content};
use crate::message::{Ending, Head, Peer, in_chunks};
use crate::oracle::Oracle;
use crate::sick::promises::Promises;

/// How long it waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Well,
    /// It refuses connections; those that were open are reset.
    Down,
    /// It takes connections and says nothing.
    Still,
    /// It answers 503.
    Failing,
    /// It takes up to so many milliseconds longer.
    Slow(u64),
}

/// One server.
pub(crate) struct Patient {
    pub(crate) index: usize,
    pub(crate) address: SocketAddr,
    condition: Cell<Condition>,
    until: Cell<Instant>,
    acceptor: RefCell<Option<Waker>>,
    crashes: Cell<u64>,
    /// Who has to be told of a crash, by conversation.
    talking: RefCell<BTreeMap<u64, Waker>>,
    conversations: Cell<u64>,
    pub(crate) tunnels: Cell<usize>,
}

impl Patient {
    pub(crate) fn new(index: usize, address: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            index,
            address,
            condition: Cell::new(Condition::Well),
            until: Cell::new(runtime::now()),
            acceptor: RefCell::default(),
            crashes: Cell::new(0),
            talking: RefCell::default(),
            conversations: Cell::new(0),
            tunnels: Cell::new(0),
        })
    }

    pub(crate) fn condition(&self) -> Condition {
        self.condition.get()
    }

    /// It is like this for `time`.
    pub(crate) fn suffer(&self, condition: Condition, time: Duration) {
        runtime::sim::note("condition", self.index as u64, format!("{condition:?}").as_bytes());
        self.condition.set(condition);
        self.until.set(runtime::now() + time);
        if condition == Condition::Down {
            self.crashes.set(self.crashes.get() + 1);
            self.talking.take().into_values().for_each(Waker::wake);
        }
        if let Some(waker) = self.acceptor.take() {
            waker.wake();
        }
    }

    pub(crate) fn recover(&self) {
        self.suffer(Condition::Well, Duration::ZERO);
    }

    async fn wait_until_it_moves(&self) {
        while self.condition() == Condition::Still {
            runtime::sleep_until(self.until.get() + Duration::from_millis(1)).await;
        }
    }
}

/// Listens, and serves whoever comes, for ever.
pub(crate) async fn serve(
    patient: Rc<Patient>,
    oracle: Oracle,
    promises: Promises,
    mut chance: Chance,
) {
    let mut listener = TcpListener::bind(patient.address).ok();
    loop {
        if patient.condition() == Condition::Down {
            listener = None;
            runtime::sleep_until(patient.until.get() + Duration::from_millis(1)).await;
            continue;
        }
        if listener.is_none() {
            listener = TcpListener::bind(patient.address).ok();
        }
        let Some(open) = &listener else { return oracle.object("a server cannot listen") };
        let accepted = poll_fn(|cx| {
            patient.acceptor.replace(Some(cx.waker().clone()));
            if patient.condition() == Condition::Down {
                return Poll::Ready(None);
            }
            open.poll_accept(cx).map(Result::ok)
        });
        let Some((stream, _)) = accepted.await else { continue };
        let peer = Peer::new(stream);
        let (oracle, promises, chance) = (oracle.clone(), promises.clone(), chance.fork());
        let patient = patient.clone();
        let conversation = Conversation { patient, oracle, promises, chance, peer };
        runtime::spawn(conversation.run());
    }
}

struct Conversation {
    patient: Rc<Patient>,
    oracle: Oracle,
    promises: Promises,
    chance: Chance,
    peer: Peer,
}

impl Conversation {
    async fn run(mut self) {
        let patient = self.patient.clone();
        let (number, crashes) = (patient.conversations.get(), patient.crashes.get());
        patient.conversations.set(number + 1);
        let crashed = {
            let mut talk = pin!(self.talk());
            poll_fn(|cx| {
                if patient.crashes.get() != crashes {
                    return Poll::Ready(true);
                }
                patient.talking.borrow_mut().insert(number, cx.waker().clone());
                talk.as_mut().poll(cx).map(|()| false)
            })
            .await
        };
        patient.talking.borrow_mut().remove(&number);
        if crashed {
            self.peer.abort();
        }
    }

    async fn talk(&mut self) {
        let mut first = true;
        loop {
            let long = runtime::now() + PATIENCE * 10;
            let head = match self.peer.head(true, long).await {
                Ok(head) => head,
                Err(Ending::Malformed(why)) => return self.object(why),
                Err(_) => return,
            };
            match self.answer(&head, first).await {
                Ok(true) => first = false,
                Ok(false) => return,
                Err(Ending::TooLate) => return self.peer.abort(),
                Err(Ending::Malformed(why)) => return self.object(why),
                Err(_) => return,
            }
        }
    }

    fn object(&self, why: &str) {
        self.oracle.object(format!("server {}: {why}", self.patient.index));
    }

    /// Whether the connection goes on.
    async fn answer(&mut self, head: &Head, first: bool) -> Result<bool, Ending> {
        if head.all("cookie").any(|cookie| cookie.contains("evenkeel")) {
            self.object("a cookie of the proxy's own");
        }
        if head.target == "/healthz" {
            return self.answer_check().await;
        }
        let Some((tunnel, id, wants)) = target(&head.target) else {
            self.object("it was asked for what nobody asked for");
            return Ok(false);
        };
        let framing = head.request_framing()?;
        // What has arrived counts, whatever becomes of it.
        let mut arrival = self.promises.arrives(id, self.patient.index, first);
        let mut trailers = Vec::new();
        let until = runtime::now() + PATIENCE;
        let body = self.peer.content(framing, &mut trailers, until).await?;
        let expected = self.oracle.request(id).map(|request| content(id, request.content));
        if expected.is_some_and(|expected| expected != body) {
            self.object("not the content that was sent");
        }
        self.oracle.executes(id, &head.method, self.patient.index);
        self.patient.wait_until_it_moves().await;
        let slow = match self.patient.condition() {
            Condition::Slow(most) => self.chance.within(most / 4..most),
            _ => 0,
        };
        let think = self.chance.millis(0..8) + Duration::from_millis(slow);
        runtime::sleep(think).await;
        self.patient.wait_until_it_moves().await;
        if self.patient.condition() == Condition::Down {
            return Ok(false);
        }
        if !self.peer.buffer.is_empty() && !tunnel {
            self.object("two requests at once");
        }
        if self.patient.condition() == Condition::Failing {
            let length = match self.chance.percent(50) {
                true => self.chance.within(0..60),
                false => self.chance.within(0..30_000),
            };
            arrival.ends();
            return self.respond(503, id, length, head).await;
        }
        if tunnel {
            arrival.is_tunnel();
            return self.echo(id).await;
        }
        arrival.is_spoken();
        self.respond(200, id, wants, head).await
    }

    async fn answer_check(&mut self) -> Result<bool, Ending> {
        self.patient.wait_until_it_moves().await;
        let (status, slow) = match self.patient.condition() {
            Condition::Failing => (503, 0),
            Condition::Slow(most) => (200, self.chance.within(most / 4..most)),
            _ => (200, 0),
        };
        runtime::sleep(Duration::from_millis(slow)).await;
        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
        self.peer.write(answer.as_bytes(), runtime::now() + PATIENCE).await.map(|()| false)
    }

    async fn respond(
        &mut self,
        status: u16,
        id: u64,
        length: u64,
        request: &Head,
    ) -> Result<bool, Ending> {
        let body = content(id, length);
        let close = self.chance.percent(4);
        let connection = if close { "Connection: close\r\n" } else { "" };
        let index = self.patient.index;
        let begin =
            format!("HTTP/1.1 {status} x\r\nX-Server: {index}\r\nX-Id: {id}\r\n{connection}");
        let has_body = request.method != "HEAD";
        let bytes = if self.chance.percent(30) {
            let mut bytes = format!("{begin}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            if has_body {
                bytes.extend(in_chunks(&body, &mut self.chance));
            }
            bytes
        } else {
            let mut bytes = format!("{begin}Content-Length: {length}\r\n\r\n").into_bytes();
            if has_body {
                bytes.extend(body);
            }
            bytes
        };
        let until = runtime::now() + PATIENCE;
        let mut rest = bytes.as_slice();
        if status == 503 && self.chance.percent(85) {
            // Its end comes later: whoever does not want the answer has not all of it.
            let (begin, end) =
                bytes.split_at(bytes.len() - if has_body { length as usize / 2 } else { 0 });
            self.peer.write(begin, until).await?;
            runtime::sleep(self.chance.millis(20..400)).await;
            rest = end;
        }
        self.peer.write(rest, until).await?;
        Ok(!close)
    }

    /// Repeats what it is told until it is told no more.
    async fn echo(&mut self, id: u64) -> Result<bool, Ending> {
        let index = self.patient.index;
        let head = format!(
            "HTTP/1.1 101 x\r\nX-Server: {index}\r\nX-Id: {id}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
        );
        let _tunnel = Tunnel::open(self.patient.clone());
        let ending: Result<(), Ending> = async {
            let until = runtime::now() + PATIENCE;
            self.peer.write(head.as_bytes(), until).await?;
            loop {
                let heard = std::mem::take(&mut self.peer.buffer);
                self.peer.write(&heard, until).await?;
                self.peer.fill(until).await?;
            }
        }
        .await;
        ending.map(|()| false)
    }
}

/// A tunnel that is counted as long as it is open.
struct Tunnel(Rc<Patient>);

impl Tunnel {
    fn open(patient: Rc<Patient>) -> Self {
        patient.tunnels.set(patient.tunnels.get() + 1);
        Self(patient)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.tunnels.set(self.0.tunnels.get() - 1);
    }
}

/// `/r/ID?n=LENGTH`, or `/t/…` for a tunnel.
fn target(text: &str) -> Option<(bool, u64, u64)> {
    let tunnel = text.starts_with("/t/");
    let rest = text.strip_prefix("/r/").or_else(|| text.strip_prefix("/t/"))?;
    let (id, wants) = rest.split_once("?n=")?;
    Some((tunnel, id.parse().ok()?, wants.parse().ok()?))
}
