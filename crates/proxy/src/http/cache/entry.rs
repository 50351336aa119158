//! One stored answer: its head, its content, and until when it may be used. Made once, never changed:
//! what a 304 changes is another entry with the same content.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use evenkeel_codec::caching::{Fields, Lifetime, RequestControl, Validators};
use evenkeel_codec::{Parse, RequestContext, ResponseHead};

use super::marks::Since;
use crate::http::forwarded;
use crate::http::own::ANSWER_LIMITS;

/// What is counted for an entry beside its bytes: its parts in memory, and its place in the store.
const ENTRY_COST: u64 = 512;
const FIELD_COST: u64 = 32;
const PIECE_COST: u64 = 64;

/// The head of an answer, and the bytes that it refers to.
pub(super) struct Head {
    pub(super) head: ResponseHead,
    pub(super) bytes: Box<[u8]>,
}

impl Head {
    /// Of a status and complete lines; `None` if they are no head.
    pub(super) fn make(status: u16, lines: &[u8]) -> Option<Self> {
        let mut bytes = Vec::with_capacity(lines.len().saturating_add(64));
        forwarded::write_status(&mut bytes, status);
        bytes.extend_from_slice(lines);
        bytes.extend_from_slice(b"\r\n");
        let mut head = ResponseHead::default();
        let context = RequestContext::default();
        match head.parse(&bytes, &ANSWER_LIMITS, &context) {
            Ok(Parse::Complete(length)) if length == bytes.len() => {
                Some(Self { head, bytes: bytes.into() })
            }
            _ => None,
        }
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields { fields: &self.head.fields, bytes: &self.bytes }
    }

    fn cost(&self) -> u64 {
        (self.bytes.len() as u64)
            .saturating_add((self.head.fields.len() as u64).saturating_mul(FIELD_COST))
    }
}

/// See the module's head.
pub(super) struct Entry {
    pub(super) head: Head,
    pub(super) body: Box<[Bytes]>,
    pub(super) length: u64,
    /// When it was asked for.
    pub(super) since: Since,
    /// When it came, and how old it was then.
    pub(super) at: Instant,
    pub(super) age: Duration,
    pub(super) lifetime: Lifetime,
    /// What it is made of; sorted.
    pub(super) tags: Box<[Box<[u8]>]>,
    /// Somebody renews it.
    refreshing: AtomicBool,
}

/// How an entry may be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// As it is, for so much longer.
    Fresh(Duration),
    /// While it is renewed.
    Stale,
    /// Once the server has been asked.
    Ask,
}

impl Entry {
    pub(super) fn new(
        head: Head,
        body: Box<[Bytes]>,
        (since, at, age): (Since, Instant, Duration),
        lifetime: Lifetime,
        tags: Box<[Box<[u8]>]>,
    ) -> Self {
        let length = body.iter().fold(0_u64, |sum, bytes| sum.saturating_add(bytes.len() as u64));
        let mut head = head;
        head.head.content_length = Some(length);
        let refreshing = AtomicBool::new(false);
        Self { head, body, length, since, at, age, lifetime, tags, refreshing }
    }

    /// Bytes of memory, about.
    pub(super) fn cost(&self) -> u64 {
        let tags =
            self.tags.iter().fold(0_u64, |sum, tag| sum.saturating_add(tag.len() as u64 + 16));
        (self.body.len() as u64)
            .saturating_mul(PIECE_COST)
            .saturating_add(self.length)
            .saturating_add(self.head.cost())
            .saturating_add(tags)
            .saturating_add(ENTRY_COST)
    }

    /// How old it is (RFC 9111 §4.2.3).
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.saturating_duration_since(self.at))
    }

    /// How a request that says this may use it (§4, §5.2.1).
    pub(super) fn usable(&self, now: Instant, asked: &RequestControl) -> Use {
        let age = self.age(now);
        if self.lifetime.always_asks || asked.no_cache {
            return Use::Ask;
        }
        if asked.max_age.is_some_and(|most| age > Duration::from_secs(most)) {
            return Use::Ask;
        }
        let left = self.lifetime.fresh.saturating_sub(age);
        if left > Duration::from_secs(asked.min_fresh.unwrap_or(0)) {
            return Use::Fresh(left);
        }
        let stale_by = age.saturating_sub(self.lifetime.fresh);
        if !left.is_zero() {
            return Use::Ask; // fresh, but not for long enough
        }
        let suffers = asked.max_stale.is_some_and(|most| stale_by <= Duration::from_secs(most));
        if suffers && !self.lifetime.strict {
            return Use::Fresh(Duration::ZERO);
        }
        match stale_by <= self.lifetime.while_revalidate
            && !self.lifetime.while_revalidate.is_zero()
        {
            true => Use::Stale,
            false => Use::Ask,
        }
    }

    /// Whether it is better than an error (RFC 5861 §4).
    pub(super) fn may_replace_error(&self, now: Instant) -> bool {
        let stale_by = self.age(now).saturating_sub(self.lifetime.fresh);
        !self.lifetime.if_error.is_zero() && stale_by <= self.lifetime.if_error
    }

    /// Whether the caller is the one who renews it.
    pub(super) fn claim_refresh(&self) -> bool {
        !self.refreshing.swap(true, Ordering::AcqRel)
    }

    /// It was not renewed: somebody else may try.
    pub(super) fn give_up_refresh(&self) {
        self.refreshing.store(false, Ordering::Release);
    }

    pub(super) fn validators(&self) -> Validators<'_> {
        Validators::of(self.head.fields())
    }
}
