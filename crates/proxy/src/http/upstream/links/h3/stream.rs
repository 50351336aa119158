//! The two halves of a request's stream over HTTP/3. Each is given up when it is dropped before its end
//! (RFC 9114 §4.1.1).

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::http::HeaderMap;
use bytes::Bytes;
use evenkeel_codec::h3::Code;

use super::{H3Broken, SECTION_MAX};
use crate::http::multiplex::client::{Broken as Failure, Head, Why};
use crate::http::multiplex::h3::section::{self, Refusal};
use crate::http::multiplex::h3::stream::{Broken, Inward, Next, Outward};
use crate::http::multiplex::h3::uni::Hearing;

/// The half on which the request leaves.
pub(crate) struct H3Sending(Outward);

impl H3Sending {
    pub(super) fn new(outward: Outward) -> Self {
        Self(outward)
    }

    /// Ready when QUIC has all that was sent, as its windows allow.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.0.poll_flush(cx).map_err(Failure::from)
    }

    pub(crate) fn send_data(&mut self, bytes: Bytes, ends: bool) -> Result<(), Failure> {
        Ok(self.0.put_body(bytes, ends)?)
    }

    /// Sends the trailer section, and ends.
    pub(crate) fn send_trailers(&mut self, trailers: &HeaderMap) -> Result<(), Failure> {
        let section = section::write(None, trailers).map_err(|_| Failure::Request)?;
        Ok(self.0.put_fields(section, true)?)
    }

    pub(crate) fn reset(&mut self, why: Why) {
        if !self.0.is_sent() {
            self.0.reset(code_of(why));
        }
    }
}

impl Drop for H3Sending {
    fn drop(&mut self) {
        self.reset(Why::Unwanted);
    }
}

/// The half on which the response comes.
pub(crate) struct H3Receiving {
    inward: Inward,
    id: u64,
    hearing: Rc<Hearing>,
    trailers: Option<HeaderMap>,
    stopped: bool,
}

impl H3Receiving {
    pub(super) fn new(inward: Inward, id: u64, hearing: Rc<Hearing>) -> Self {
        Self { inward, id, hearing, trailers: None, stopped: false }
    }

    /// The next head: interim ones, then the final one.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        // Who leaves may say nothing about what it has not looked at.
        self.hearing.watch(self.id, cx);
        if self.hearing.goaway().is_some_and(|from| self.id >= from) {
            return Poll::Ready(Err(Failure::H3(H3Broken::Left)));
        }
        let section = match ready!(self.inward.poll_next(cx))? {
            Next::Fields(section) => section,
            Next::Body | Next::End => return Poll::Ready(Err(Failure::Malformed)), // neither is first
        };
        let parts = section::read_response(&section, SECTION_MAX).map_err(refused)?;
        if parts.status.is_informational() {
            self.inward.was_interim();
            return Poll::Ready(Ok(Head { parts, ended: false }));
        }
        self.hearing.forget(self.id);
        // The end often comes with the head: then nothing has to be announced that never comes.
        let ended = matches!(self.inward.poll_next(cx), Poll::Ready(Ok(Next::End)));
        Poll::Ready(Ok(Head { parts, ended }))
    }

    /// The next piece of content; `None` at its end.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Failure>> {
        loop {
            if let Some(bytes) = ready!(self.inward.poll_body(cx))? {
                return Poll::Ready(Ok(Some(bytes)));
            }
            if self.trailers.is_some() && self.inward.has_ended() {
                return Poll::Ready(Ok(None));
            }
            match ready!(self.inward.poll_next(cx))? {
                Next::Body => {}
                Next::Fields(section) => {
                    let trailers = section::read_trailers(&section, SECTION_MAX);
                    self.trailers = Some(trailers.map_err(refused)?);
                }
                Next::End => return Poll::Ready(Ok(None)),
            }
        }
    }

    pub(crate) fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.inward.has_ended()
    }

    /// The rest is not wanted.
    pub(crate) fn stop(&mut self, why: Why) {
        if !self.stopped && !self.inward.has_ended() {
            self.stopped = true;
            self.inward.stop(code_of(why));
        }
    }
}

impl Drop for H3Receiving {
    fn drop(&mut self) {
        self.hearing.forget(self.id);
        self.stop(Why::Unwanted);
    }
}

fn code_of(why: Why) -> Code {
    match why {
        Why::Unwanted => Code::RequestCancelled,
        Why::Malformed => Code::MessageError,
    }
}

fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Connection(code) => Broken::Connection(code).into(),
        Refusal::Stream | Refusal::TooLong => Failure::Malformed,
    }
}
