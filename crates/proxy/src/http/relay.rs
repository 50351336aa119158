//! Passes a server's answer on to the client while the rest of the request may still be on its
//! way, and decides which of the two connections may be used again.

use std::future::poll_fn;
use std::task::Poll;

use evenkeel_codec::plant::{self, Bug};
use evenkeel_codec::{BodyLength, Version};

use crate::failure::Reason;
use crate::generation::Leased;
use crate::http::body::{Pump, PumpError, Sink, Waiting};
use crate::http::downstream::h1::Next;
use crate::http::exchange::{self, Exchange};
use crate::http::forwarded::Framing;
use crate::http::local_reply::Reply;
use crate::http::patience::Patience;
use crate::http::transform::{Stations, Through};
use crate::http::upstream::{self, Answer};
use crate::http::{forwarded, local_reply, sign_in, tunnel};
use crate::policy::{self, Answered, Passing};

/// How an answer that had begun ended.
pub(crate) enum End {
    /// The client has all of it.
    Complete(Next),
    /// The server stopped in the middle.
    ServerFailed(Reason, Next),
    /// The server stopped before the client was sent anything: it can be told.
    Unsent(Reason),
    /// The client stopped taking it, or broke off its own request.
    ClientFailed(Reason),
}

/// Sends the head and the body of `answer`; `request` is what remains to be sent.
pub(crate) async fn relay(
    exchange: &mut Exchange<'_>,
    lease: &Leased,
    answer: Answer,
    request: &mut Pump,
) -> End {
    if answer.head.status == 101 {
        // In a box of its own: it would make every exchange as large as a tunnel.
        return Box::pin(tunnel::open(exchange, answer, request)).await;
    }
    exchange.received = request.is_received();
    let (mut stations, mut altered) = (Stations::default(), false);
    let seen = Answered {
        status: answer.head.status,
        head: Some((&answer.head, answer.buffer.all())),
        content_type: "",
    };
    match policy::respond(exchange, &seen) {
        Passing::AsIs => {}
        Passing::Through(altering) => {
            altered = true;
            exchange.changes().response.append(altering.fields);
            let body = altering.body.filter(|_| !matches!(answer.head.body, BodyLength::None));
            stations.through = body.map(|body| Box::new(Through::new(body)));
        }
        Passing::Instead(reply) => {
            return Box::pin(replace(exchange, lease, answer, request, &reply)).await;
        }
    }
    let sink = sink(exchange, &answer, stations.through.is_some());
    // Without chunks and without a length, the end of the body is the end of the connection.
    let delimited = sink == Sink::Chunked
        || stations.through.is_none()
            && matches!(answer.head.body, BodyLength::None | BodyLength::Exact(_));
    let persist = delimited && exchange.may_persist() && answer.request_sent;
    let mut head = exchange.connection.worker.stock.take_scratch();
    forwarded::write_response(
        &mut head,
        exchange,
        &answer.head,
        answer.buffer.all(),
        Framing { sink, keeps_length: !altered, persist },
    );
    exchange.status = answer.head.status;
    let signed_in = sign_in::is_bound(exchange, &answer.head, answer.buffer.all());
    let source = upstream::response_source(&answer.head, answer.buffer.all());
    let response = Pump::new(head, source, sink, u64::MAX).through(stations);
    let response = response.slowed(exchange.changed.as_mut().and_then(|c| c.download.take()));
    let mut relay = Relay { response, request, answer, ended: false, signed_in };
    let result = relay.run(exchange).await;
    relay.finish(exchange, lease, delimited, persist, result)
}

/// How the client will see where the body ends.
fn sink(exchange: &Exchange<'_>, answer: &Answer, is_changed: bool) -> Sink {
    let knows_chunks = exchange.head.version == Version::Http11 && !exchange::is_head(exchange);
    match answer.head.body {
        BodyLength::Chunked | BodyLength::UntilClose if knows_chunks => Sink::Chunked,
        BodyLength::Exact(_) if knows_chunks && is_changed => Sink::Chunked,
        _ => Sink::Identity,
    }
}

/// Gives the client another answer than the server's.
async fn replace(
    exchange: &mut Exchange<'_>,
    lease: &Leased,
    answer: Answer,
    request: &mut Pump,
    reply: &Reply,
) -> End {
    upstream::discard(exchange, lease, answer, request);
    exchange.body_bytes_in = request.body_bytes;
    let scratch = request.settle(&mut exchange.buffer);
    exchange.connection.worker.stock.give_scratch(scratch);
    End::Complete(local_reply::give_instead(exchange, reply).await)
}

struct Relay<'r> {
    response: Pump,
    request: &'r mut Pump,
    answer: Answer,
    /// The request will not be continued.
    ended: bool,
    /// The server may take whoever asks next on this connection for this client.
    signed_in: bool,
}

impl Relay<'_> {
    async fn run(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Reason> {
        if self.answer.request_sent || self.answer.request_broken {
            self.ended = true;
            // It is not sent again: what it was made of is let go before a slow client has all.
            let scratch = self.request.settle(&mut exchange.buffer);
            exchange.connection.worker.stock.give_scratch(scratch);
        }
        let timeouts = match exchange.pool.and_then(|id| exchange.generation.snapshot.pool(id)) {
            Some(pool) => pool.config.timeouts.clone(),
            None => return Err(Reason::NoServers),
        };
        let mut patience = Patience::new(exchange, &timeouts);
        poll_fn(|cx| self.poll(cx, exchange, &mut patience)).await
    }

    fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
        exchange: &mut Exchange<'_>,
        patience: &mut Patience,
    ) -> Poll<Result<(), Reason>> {
        let client = &exchange.connection.stream;
        let server = &self.answer.connection.stream;
        if !self.ended {
            match self.request.poll(cx, client, server, &mut exchange.buffer) {
                Poll::Ready(Ok(())) => {
                    self.answer.request_sent = true;
                    self.ended = true;
                }
                // The server has said what it had to say; the rest does not interest it.
                Poll::Ready(Err(PumpError::Sink)) => self.ended = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(upstream::of_client(&error))),
                Poll::Pending => {}
            }
        }
        match self.response.poll(cx, server, client, &mut self.answer.buffer) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(PumpError::Sink)) => return Poll::Ready(Err(Reason::ClientGone)),
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Reason::ResponseTruncated)),
            Poll::Pending => {}
        }
        // A server may be silent for long, and nothing else would notice that nobody waits for it.
        if client.poll_given_up(cx).is_ready() {
            return Poll::Ready(Err(Reason::ClientGone));
        }
        patience.watch_response(exchange, &self.response);
        exchange.connection.state.timer.poll_expired(cx).map(|()| {
            Err(match self.response.waiting {
                Waiting::Source | Waiting::Turn => Reason::UpstreamIdle,
                Waiting::Sink => Reason::ClientTooSlow,
            })
        })
    }

    /// Puts away what is left, and says what may be used again.
    fn finish(
        mut self,
        exchange: &mut Exchange<'_>,
        lease: &Leased,
        delimited: bool,
        persist: bool,
        result: Result<(), Reason>,
    ) -> End {
        let worker = exchange.connection.worker.clone();
        let Answer { head, mut buffer, connection, request_sent, body_unasked, .. } = self.answer;
        exchange.bytes_out = exchange.bytes_out.saturating_add(self.response.sent);
        exchange.body_bytes_in = self.request.body_bytes;
        exchange.received = self.request.is_received();
        let scratch = self.request.settle(&mut exchange.buffer);
        worker.stock.give_scratch(scratch);
        let complete = result.is_ok();
        let unsent = self.response.is_unsent();
        let scratch = self.response.settle(&mut buffer);
        worker.stock.give_scratch(scratch);
        // Bytes beyond the response are nobody's: such a connection is never used again
        // (RFC 9112 §9.2). Nor is one that has not been given the whole request, or not asked for
        // the body that it was given (RFC 9110 §10.1.1).
        let reusable = complete
            && (request_sent || plant::is(Bug::ReuseBeforeRequestSent))
            && !body_unasked
            && !self.signed_in
            && head.persistent
            && head.body.is_delimited()
            && (buffer.is_empty() || plant::is(Bug::ReuseWithExtraBytes));
        if reusable {
            upstream::keep(lease, connection, &head);
        }
        worker.stock.give(buffer);
        worker.heads.give_response(head);
        match result {
            Ok(()) => End::Complete(Next::after_response(exchange, persist)),
            Err(reason @ (Reason::ResponseTruncated | Reason::UpstreamIdle)) if unsent => {
                exchange.status = 0;
                End::Unsent(reason)
            }
            Err(reason @ (Reason::ResponseTruncated | Reason::UpstreamIdle)) => {
                // Where the framing shows that something is missing, the client may read what
                // there is; where it does not, only a reset tells it.
                End::ServerFailed(reason, if delimited { Next::Close } else { Next::Abort })
            }
            Err(reason) => End::ClientFailed(reason),
        }
    }
}
