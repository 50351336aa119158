//! A request under way on one connection, and its answer's head as it comes in. Owns reading and
//! parsing; not how long it may take.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{HeadLimits, Method, Parse, RequestContext, ResponseError, ResponseHead};

use super::{Answer, UpstreamConnection};
use crate::buffer::Buffer;
use crate::channel::Channel;
use crate::connection::Connection;
use crate::failure::Reason;
use crate::http::exchange::Exchange;
use crate::http::interim;
use crate::tls;

/// Largest response head: 64 KiB in 200 fields. Beyond: 502.
pub(crate) const RESPONSE_LIMITS: HeadLimits =
    HeadLimits { head: 64 * 1024, line: 16 * 1024, fields: 200 };

/// Connections that may say GOAWAY before they take a request, one after the other: a busy server
/// that ends each after so many requests does this to whoever is in the way.
const GOAWAYS_MAX: u32 = 8;

/// See the module's head.
pub(crate) struct Flight {
    pub(crate) connection: Box<UpstreamConnection>,
    /// It had served other requests before.
    pub(crate) reused: bool,
    /// Bytes written on the connection before.
    before: u64,
    pub(crate) buffer: Buffer,
    pub(crate) head: Box<ResponseHead>,
    /// The server was to ask for the body and has not.
    body_unasked: bool,
    /// A byte of a response came.
    pub(crate) answered: bool,
    pub(crate) request_sent: bool,
    pub(crate) request_broken: bool,
    /// What exactly was wrong, where the reason of its loss does not say it all.
    complaint: Option<Box<str>>,
    /// Since when the response is waited for.
    pub(crate) sent_at: Option<Instant>,
}

/// What came in.
pub(crate) enum Arrived {
    /// A complete head of this many bytes.
    Head(usize),
    /// The connection ended. `closed`: in order.
    Lost { reason: Reason, closed: bool },
    /// It is no response.
    Malformed(ResponseError),
}

/// What a complete head is.
pub(crate) enum Verdict {
    /// The final one.
    Final,
    /// An interim one, passed on; the final one follows.
    Interim {
        is_continue: bool,
    },
    Malformed(ResponseError),
    ClientGone,
}

impl Flight {
    pub(crate) fn new(
        exchange: &Exchange<'_>,
        connection: Box<UpstreamConnection>,
        reused: bool,
    ) -> Self {
        Self {
            before: connection.stream.total_written(),
            connection,
            reused,
            buffer: Buffer::default(),
            head: exchange.connection.worker.heads.response(),
            body_unasked: exchange.head.expects_continue,
            answered: false,
            request_sent: false,
            request_broken: false,
            complaint: None,
            sent_at: None,
        }
    }

    /// Reads until there is a head. Who waits holds no block: the same few, warm ones serve all.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        context: &RequestContext,
        client: &Connection,
    ) -> Poll<Arrived> {
        let stock = &client.worker.stock;
        // What came behind an interim response is here already.
        if !self.buffer.is_empty()
            && let Some(arrived) = self.parse(context)
        {
            return Poll::Ready(arrived);
        }
        loop {
            if self.buffer.is_absent() {
                self.buffer = match client.stream.is_crowded() {
                    true => stock.take_little(),
                    false => stock.take(),
                };
            } else if self.buffer.is_full() {
                self.buffer.grow(self.buffer.size() * 2); // the parser stops it at RESPONSE_LIMITS
            }
            match self.connection.stream.poll_read(cx, self.buffer.spare()) {
                Poll::Pending if self.buffer.is_empty() => {
                    stock.give(std::mem::take(&mut self.buffer));
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    let reason = Reason::UpstreamClosed;
                    return Poll::Ready(Arrived::Lost { reason, closed: true });
                }
                Poll::Ready(Err(error)) => return Poll::Ready(self.lost(&error)),
                Poll::Ready(Ok(read)) => self.buffer.extend(read),
            }
            self.answered = true;
            if let Some(arrived) = self.parse(context) {
                return Poll::Ready(arrived);
            }
        }
    }

    /// Before the head was complete.
    fn lost(&mut self, error: &io::Error) -> Arrived {
        if let Some(loss) = self.connection.stream.loss() {
            return Arrived::Lost { reason: loss.reason, closed: loss.unprocessed };
        }
        if let Some(refusal) = tls::refusal(error).filter(|_| !self.reused && !self.answered) {
            self.complaint = Some(refusal.text);
            return Arrived::Lost { reason: refusal.reason, closed: false };
        }
        match error.kind() {
            // Of a TLS session without its end, but of a connection in order.
            io::ErrorKind::UnexpectedEof => {
                Arrived::Lost { reason: Reason::UpstreamClosed, closed: true }
            }
            _ => Arrived::Lost { reason: Reason::UpstreamReset, closed: false },
        }
    }

    fn parse(&mut self, context: &RequestContext) -> Option<Arrived> {
        match self.head.parse(self.buffer.filled(), &RESPONSE_LIMITS, context) {
            Ok(Parse::Complete(length)) => Some(Arrived::Head(length)),
            Ok(Parse::Partial) => None,
            Err(error) => Some(Arrived::Malformed(error)),
        }
    }

    /// Judges a complete head of `length` bytes; an interim one is passed on and taken off.
    pub(crate) async fn judge(&mut self, exchange: &mut Exchange<'_>, length: usize) -> Verdict {
        let status = self.head.status;
        if (100..200).contains(&status) && status != 101 {
            match interim::pass_on(exchange, &self.head, self.buffer.filled(), length).await {
                Ok(()) => {}
                Err(interim::Refusal::TooMany) => {
                    return Verdict::Malformed(ResponseError::TooManyInterim);
                }
                Err(interim::Refusal::Client) => return Verdict::ClientGone,
            }
            self.body_unasked &= status != 100;
            self.buffer.consume(length);
            self.buffer.release();
            self.head.clear();
            return Verdict::Interim { is_continue: status == 100 };
        }
        if status == 101 && !self.is_offered(exchange) && !plant::is(Bug::UnaskedUpgrade) {
            return Verdict::Malformed(ResponseError::UnexpectedUpgrade);
        }
        if exchange.connection.stream.refuses(&self.head, self.buffer.filled()) {
            return Verdict::Malformed(ResponseError::UnexpectedUpgrade);
        }
        self.buffer.keep(length);
        Verdict::Final
    }

    /// A server may only switch to a protocol that the client offered (RFC 9110 §7.8).
    fn is_offered(&self, exchange: &Exchange<'_>) -> bool {
        exchange.head.upgrade.is_some_and(|offered| {
            self.head.is_upgrade_to(self.buffer.filled(), offered.of(exchange.buffer.all()))
        })
    }

    /// How often its request may go out again at once, its loss being nobody's fault.
    pub(crate) fn repeats_max(&self, reason: Reason, unsent: bool) -> u32 {
        match (&self.connection.stream, reason) {
            (Channel::Request(_), Reason::UpstreamGoaway) if unsent => GOAWAYS_MAX,
            (Channel::Request(_), Reason::Unspeakable | Reason::UpstreamCalm) => 0,
            (Channel::Request(_), _) => u32::from(unsent),
            // A kept connection that was closed before anything came.
            _ => u32::from(self.reused && !self.answered),
        }
    }

    /// Nothing of the request has been written.
    pub(crate) fn is_unsent(&self) -> bool {
        self.connection.stream.total_written() == self.before
    }

    /// The server's kernel has acknowledged nothing of the request; only after an orderly end.
    pub(crate) fn was_not_seen(&self) -> bool {
        self.connection.stream.peer_took_nothing_since(self.before)
    }

    /// After the final head.
    pub(crate) fn into_answer(self) -> Answer {
        Answer {
            head: self.head,
            buffer: self.buffer,
            connection: self.connection,
            request_sent: self.request_sent,
            request_broken: self.request_broken,
            body_unasked: self.body_unasked,
        }
    }

    /// Gives back what was borrowed; the connection is closed. What exactly was wrong, if it is known.
    pub(crate) fn give_up(self, exchange: &Exchange<'_>) -> Option<Box<str>> {
        exchange.connection.worker.stock.give(self.buffer);
        exchange.connection.worker.heads.give_response(self.head);
        self.complaint
    }
}

/// What a response is read as depends on its request.
pub(crate) fn context(exchange: &Exchange<'_>) -> RequestContext {
    RequestContext {
        is_head: exchange.head.method == Method::Head && !plant::is(Bug::HeadHasContent),
        offers_upgrade: exchange.head.upgrade.is_some(),
    }
}
