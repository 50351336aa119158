//! One stream of a client's connection, whichever protocol carries it: its request becomes the head of
//! an exchange, and a task serves it. What breaks the rules of HTTP/2 and HTTP/3 is told to the caller;
//! what the parser of HTTP/1 refuses is answered like any such request.

use std::rc::Rc;

use ::http::{Method, request};
use evenkeel_codec::{BodyLength, HeadLimits, Parse, RequestError, RequestHead};
use evenkeel_config::model::{Listener, ListenerId};
use evenkeel_runtime as runtime;

use crate::buffer::Buffer;
use crate::channel::Channel;
use crate::connection::Connection;
use crate::failure::{Failure, Reason};
use crate::generation::Generation;
use crate::http::downstream::h1::Next;
use crate::http::exchange::{self, Exchange};
use crate::http::local_reply;
use crate::http::multiplex::fields::{self, Malformed, Upgrade};
use crate::http::multiplex::transport::Transport;
use crate::http::multiplex::trunk::{Live, Trunk};
use crate::http::multiplex::websocket::{self, Key};
use crate::http::multiplex::{Asked, ServerStream, Tunnel};
use crate::worker::Worker;

/// Room for a request's content, beside its head: what is read at once.
const BODY_ROOM: usize = 8 * 1024;
/// So many streams of a connection have that; more have to do with less.
const BODY_ROOMS: usize = 32;

/// What a request became.
pub(crate) struct Read {
    head: Box<RequestHead>,
    buffer: Buffer,
    /// The head's length, or why it is refused.
    parsed: Result<usize, Reason>,
    body: BodyLength,
    asked: Asked,
}

impl Read {
    /// Bytes of the head.
    pub(crate) fn length(&self) -> usize {
        self.buffer.filled().len()
    }

    /// What was read is not to be served, but to be answered, counted and logged like any other.
    #[cfg_attr(not(feature = "http3"), allow(dead_code, reason = "nobody else says it"))]
    pub(crate) fn refuse(&mut self, why: Reason) {
        self.parsed = Err(why);
    }

    /// A request whose head is not looked at.
    #[cfg_attr(not(feature = "http3"), allow(dead_code, reason = "nobody else says it"))]
    pub(crate) fn unread(worker: &Worker, why: Reason) -> Self {
        let asked = Asked { is_head: false, tunnel: None };
        Self {
            head: worker.heads.request(),
            buffer: worker.stock.take_little(),
            parsed: Err(why),
            body: BodyLength::None,
            asked,
        }
    }

    /// Takes it back unserved.
    pub(crate) fn forget(self, worker: &Worker) {
        worker.stock.give(self.buffer);
        worker.heads.give_request(self.head);
    }
}

/// Serves what was read, in a task of its own.
pub(crate) fn spawn(
    connection: &Connection,
    trunk: &Rc<Trunk>,
    generation: Rc<Generation>,
    id: ListenerId,
    transport: Transport,
    read: Read,
) {
    let Read { head, buffer, parsed, body, asked } = read;
    let stream = ServerStream::new(transport, Live::new(trunk, buffer.filled().len()), body, asked);
    let connection = Connection::of_stream(connection, Channel::Stream(Box::new(stream)));
    runtime::spawn(async move {
        let served = serve(&connection, generation, id, head, buffer, parsed);
        if let Err(panic) = runtime::isolate(served).await {
            connection.worker.counters.panics.add(1);
            tracing::error!(client = %connection.peer, %panic, "a stream was lost");
            connection.stream.abort();
        }
    });
}

/// Writes the head as HTTP/1 and has it parsed.
pub(crate) fn read(
    trunk: &Trunk,
    listener: &Listener,
    parts: &request::Parts,
    protocol: Option<&str>,
    ended: bool,
) -> Result<Read, Malformed> {
    let worker = &trunk.worker;
    let key = protocol.map(|_| Key::make(&mut worker.rng.borrow_mut()));
    let upgrade = match (protocol, &key) {
        (Some(protocol), Some(key)) => Some(Upgrade { protocol, key }),
        _ => None,
    };
    let mut buffer = worker.stock.take();
    let body = match fields::write_request(&mut buffer, parts, upgrade, ended) {
        Ok(body) => body,
        Err(why) => {
            worker.stock.give(buffer);
            return Err(why);
        }
    };
    let mut head = worker.heads.request();
    // The line and the name of the host are not in the client's field section.
    let limits = HeadLimits {
        head: listener.limits.head.saturating_mul(2),
        line: listener.limits.request_line,
        fields: listener.limits.fields,
    };
    let crumbs = parts.headers.len() > listener.limits.fields;
    let parsed = match head.parse(buffer.filled(), &limits) {
        _ if crumbs => Err(RequestError::TooManyFields),
        // A tunnel that is none to us: `h2c`, `tls` and whatever is no token.
        Ok(_) if protocol.is_some() && head.upgrade.is_none() => {
            Err(RequestError::MethodNotAllowed)
        }
        Ok(Parse::Complete(length)) if length == buffer.filled().len() => Ok(length),
        // Nothing that a field can hold ends a head early.
        Ok(_) => Err(RequestError::BadRequestLine),
        Err(error) => Err(error),
    };
    let parsed = parsed.map_err(Reason::BadRequest);
    // Many may wait for servers at once on one connection: each with little more than its head.
    let room = match body {
        BodyLength::None => 256,
        _ if trunk.live() < BODY_ROOMS => BODY_ROOM,
        _ => 2 * 1024,
    };
    worker.stock.fit(&mut buffer, room);
    let asked = Asked {
        is_head: parts.method == Method::HEAD,
        tunnel: protocol
            .map(|protocol| Tunnel { key: key.filter(|_| protocol == websocket::PROTOCOL) }),
    };
    Ok(Read { head, buffer, parsed, body, asked })
}

async fn serve(
    connection: &Connection,
    generation: Rc<Generation>,
    id: ListenerId,
    head: Box<RequestHead>,
    buffer: Buffer,
    parsed: Result<usize, Reason>,
) {
    let mut exchange = Exchange::new(connection, generation, id, head, buffer);
    let next = match parsed {
        Ok(length) => {
            exchange.buffer.keep(length);
            match runtime::isolate(exchange::serve(&mut exchange)).await {
                Ok(next) => next,
                Err(panic) => match exchange::lose(&mut exchange, &panic).await {
                    Next::Abort => return connection.stream.abort(),
                    _ => return,
                },
            }
        }
        Err(why) => {
            let next = local_reply::send(&mut exchange, Failure::new(why)).await;
            exchange::record(&exchange);
            next
        }
    };
    if let Next::Abort = exchange.finish(next) {
        connection.stream.abort();
    }
}
