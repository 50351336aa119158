//! Exchanges of our own: made because of a client's, and no client's themselves. Owns what they take over
//! from the one they are because of, and how they begin; what they ask for, and who reads the answer, is
//! the business of whoever makes one.

use std::net::IpAddr;
use std::rc::Rc;

use evenkeel_codec::{HeadLimits, Parse, RequestError};
use evenkeel_config::model::ListenerId;

use crate::connection::Connection;
use crate::failure::{Failure, Reason};
use crate::generation::Generation;
use crate::http::exchange::Exchange;
use crate::http::forwarded::RequestId;

/// Heads of requests that are made here, of a client's head at most.
pub(crate) const REQUEST_LIMITS: HeadLimits =
    HeadLimits { head: 512 * 1024, line: 64 * 1024, fields: 2048 };
/// Heads that an exchange writes: a server's, which is bounded, and what is added to it.
pub(crate) const ANSWER_LIMITS: HeadLimits =
    HeadLimits { head: 256 * 1024, line: 16 * 1024, fields: 1024 };

/// What is taken over from a client's exchange.
pub(crate) struct Origin {
    generation: Rc<Generation>,
    listener: ListenerId,
    client: IpAddr,
    trusted: bool,
    request_id: RequestId,
}

impl Origin {
    pub(crate) fn of(exchange: &Exchange<'_>) -> Self {
        Self {
            generation: exchange.generation.clone(),
            listener: exchange.listener_id(),
            client: exchange.client,
            trusted: exchange.trusted,
            request_id: exchange.request_id.clone(),
        }
    }

    /// An exchange whose request has the head `text`.
    ///
    /// # Errors
    /// It is no head, or more than one.
    pub(crate) fn begin<'c>(
        self,
        connection: &'c Connection,
        text: &[u8],
    ) -> Result<Exchange<'c>, Failure> {
        let worker = &connection.worker;
        let (mut head, mut buffer) = (worker.heads.request(), worker.stock.take());
        buffer.append(text);
        match head.parse(buffer.filled(), &REQUEST_LIMITS) {
            Ok(Parse::Complete(length)) if length == text.len() => buffer.keep(length),
            Ok(_) => return Err(Failure::new(Reason::BadRequest(RequestError::BadRequestLine))),
            Err(error) => return Err(Failure::new(Reason::BadRequest(error))),
        }
        let mut exchange = Exchange::new(connection, self.generation, self.listener, head, buffer);
        exchange.is_own = true;
        (exchange.client, exchange.trusted) = (self.client, self.trusted);
        exchange.request_id = self.request_id;
        Ok(exchange)
    }
}
