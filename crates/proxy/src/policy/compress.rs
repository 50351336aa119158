//! `compress`: responses are compressed for clients that accept it. Owns which ones, and what becomes of
//! their fields (RFC 9110 §8.4, §12.5.3); the compressors are in `coding/`.

use evenkeel_codec::content_coding::{self as rules, Accepted, Coding};
use evenkeel_codec::{Method, Version};
use evenkeel_config::model;

use super::coded;
use super::{Altering, Answered, Passing, Policy, Steps, Verdict};
use crate::coding::{Levels, Places, encoder};
use crate::http::exchange::{self, Exchange};

/// See the module's head.
pub(super) struct Compress {
    offered: Box<[Coding]>,
    types: Box<[model::TypePattern]>,
    min_size: u64,
    levels: Levels,
    places: Places,
}

impl Compress {
    pub(super) fn compile(settings: &model::Compress) -> Self {
        let coding = |encoding: &model::Encoding| match encoding {
            model::Encoding::Zstd => Coding::Zstd,
            model::Encoding::Brotli => Coding::Brotli,
            model::Encoding::Gzip => Coding::Gzip,
        };
        let model::Levels { zstd, br, gzip } = settings.levels;
        Self {
            offered: settings.encodings.iter().map(coding).collect(),
            types: settings.types.as_slice().into(),
            min_size: settings.min_size,
            levels: Levels { zstd, br, gzip },
            places: Places::new(settings.concurrent),
        }
    }

    /// Whether this content is worth it, whoever asks.
    fn is_eligible(&self, answer: &Answered<'_>) -> bool {
        let Some((head, _)) = answer.head else { return false }; // short ones of our own
        // A part of coded content is something else than a coded part (RFC 9110 §14.2).
        let whole = !matches!(answer.status, 204..=206 | 304)
            && answer.value(b"content-range").is_none()
            && coded::coding(answer).is_none_or(|coding| coding.eq_ignore_ascii_case(b"identity"));
        let long = head.content_length.is_none_or(|length| length > 0 && length >= self.min_size);
        whole
            && long
            && answer.value(b"content-type").is_some_and(|value| self.is_type(value))
            && !rules::forbids_transforming(answer.values(b"cache-control"))
    }

    fn is_type(&self, content_type: &[u8]) -> bool {
        let kind = rules::media_type(content_type);
        let is_grpc = kind.get(..16).is_some_and(|k| k.eq_ignore_ascii_case(b"application/grpc"));
        !is_grpc && self.types.iter().any(|pattern| pattern.matches(kind))
    }

    /// The coding for this client.
    fn choose(&self, exchange: &Exchange<'_>) -> Option<Coding> {
        let (head, bytes) = (&exchange.head, exchange.buffer.all());
        // Without chunks, an old client could not see whether it has all of it.
        if head.version == Version::Http10
            || rules::forbids_transforming(head.named(bytes, b"cache-control"))
        {
            return None;
        }
        Accepted::of(head.named(bytes, b"accept-encoding")).best(&self.offered)
    }
}

impl Policy for Compress {
    fn steps(&self) -> Steps {
        Steps { admit: true, respond: true, over: false }
    }

    fn inherit(&mut self, old: &dyn Policy) {
        if let Some(old) = (old as &dyn std::any::Any).downcast_ref::<Self>() {
            self.places.inherit(&old.places);
        }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        if matches!(exchange.head.method, Method::Get | Method::Head) {
            coded::ask_strongly(exchange);
        }
        Verdict::Pass
    }

    fn respond(&self, exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
        if exchange.call.is_some() {
            return Passing::AsIs;
        }
        if answer.status == 304 {
            return coded::not_modified(exchange, answer);
        }
        if !self.is_eligible(answer) {
            return Passing::AsIs;
        }
        let Some(coding) = self.choose(exchange) else { return coded::plain(exchange, answer) };
        let mut altering = Altering::default();
        if !exchange::is_head(exchange) {
            let length = answer.head.and_then(|(head, _)| head.content_length);
            let place = self.places.take();
            let made = place.and_then(|place| encoder(coding, &self.levels, length, place));
            let Some(made) = made else { return coded::plain(exchange, answer) };
            altering.body = Some(made);
        }
        coded::describe(&mut altering.fields, answer, Some(coding));
        Passing::Through(Box::new(altering))
    }
}
