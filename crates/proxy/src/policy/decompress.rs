//! `decompress`: responses that a server compressed whatever was asked for, for clients that cannot read
//! them. Owns which ones; the decompressors are in `coding/`.

use evenkeel_codec::content_coding::{self as rules, Accepted, Coding};
use evenkeel_config::model;

use super::coded;
use super::{Altering, Answered, Passing, Policy, Steps};
use crate::coding::{Places, decoder};
use crate::http::exchange::{self, Exchange};

/// See the module's head.
pub(super) struct Decompress {
    max: Option<u64>,
    places: Places,
}

impl Decompress {
    pub(super) fn compile(settings: &model::Decompress) -> Self {
        Self { max: settings.max, places: Places::new(settings.concurrent) }
    }
}

impl Policy for Decompress {
    fn steps(&self) -> Steps {
        Steps { respond: true, ..Steps::default() }
    }

    fn inherit(&mut self, old: &dyn Policy) {
        if let Some(old) = (old as &dyn std::any::Any).downcast_ref::<Self>() {
            self.places.inherit(&old.places);
        }
    }

    fn respond(&self, exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
        let whole = !matches!(answer.status, 204..=206 | 304)
            && answer.value(b"content-range").is_none()
            && !rules::forbids_transforming(answer.values(b"cache-control"));
        let Some(coding) = coded::coding(answer).and_then(Coding::of).filter(|_| whole) else {
            return Passing::AsIs;
        };
        let accepted = exchange.head.named(exchange.buffer.all(), b"accept-encoding");
        if Accepted::of(accepted).takes(coding) {
            return coded::plain(exchange, answer);
        }
        let mut altering = Altering::default();
        if !exchange::is_head(exchange) {
            let place = self.places.take();
            let Some(made) = place.and_then(|place| decoder(coding, self.max, place)) else {
                return coded::plain(exchange, answer);
            };
            altering.body = Some(made);
        }
        coded::describe(&mut altering.fields, answer, None);
        Passing::Through(Box::new(altering))
    }
}
