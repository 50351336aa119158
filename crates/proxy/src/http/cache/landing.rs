//! Where the answer of a fetch comes in: taken apart, judged, handed to who waits, and put in its
//! place once all of it is there.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use evenkeel_codec::caching::freshness::{self, Received};
use evenkeel_codec::caching::storing::{self, Allowed};
use evenkeel_codec::caching::{Fields, Lifetime, Refusal, ResponseControl, Vary, update};
use evenkeel_codec::{BodyLength, Parse, RequestContext, ResponseHead};
use evenkeel_runtime as runtime;

use super::body::{Piece, Writer, collect};
use super::entry::{Entry, Head};
use super::fetch::{Answer, Asked, Fetch, Outcome, Shared, Why};
use super::store::Slot;
use super::{Cache, key};
use crate::failure::{Failure, Reason};
use crate::http::multiplex::framing::{Framing, Part};
use crate::http::own::ANSWER_LIMITS;

/// Bytes of an answer that is not stored, held for who reads it.
const WINDOW: u64 = 128 * 1024;
/// Pieces shorter than this on average are put together before they are stored.
const PIECE_MIN: u64 = 4 * 1024;
const PIECE: usize = 64 * 1024;

/// Where an answer belongs.
pub(super) struct Place {
    /// The key that it was asked for by.
    pub(super) key: Vec<u8>,
    /// What of it is the same for all answers of the URI.
    pub(super) primary: usize,
    /// What is there meanwhile: the fetch itself, or what it renews.
    pub(super) over: Option<Arc<Entry>>,
}

/// What will be stored once it is whole.
struct Stored {
    head: Arc<Head>,
    at: Instant,
    age: std::time::Duration,
    lifetime: Lifetime,
    tags: Box<[Box<[u8]>]>,
}

/// See the module's head.
pub(crate) struct Landing {
    cache: Arc<Cache>,
    fetch: Arc<Fetch>,
    writer: Writer,
    /// Held as long as it may be stored.
    first: Option<Arc<Piece>>,
    place: Place,
    asked: Asked,
    begun: Instant,
    head: Box<ResponseHead>,
    framing: Option<Framing>,
    stored: Option<Stored>,
    /// Bytes of content, and what of the cache's room for what is on its way they take.
    total: u64,
    ended: bool,
}

impl Landing {
    pub(super) fn new(
        cache: Arc<Cache>,
        fetch: Arc<Fetch>,
        writer: Writer,
        first: Arc<Piece>,
        place: Place,
        asked: Asked,
    ) -> Self {
        Self {
            cache,
            fetch,
            writer,
            first: Some(first),
            place,
            asked,
            begun: runtime::now(),
            head: Box::default(),
            framing: None,
            stored: None,
            total: 0,
            ended: false,
        }
    }

    /// Ready when more may be written: what is not stored waits for its readers.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.framing.is_none() || self.stored.is_some() {
            return Poll::Ready(Ok(()));
        }
        if self.fetch.flow.is_deserted() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.writer.poll_room(cx, WINDOW).map(Ok)
    }

    /// Ready when there is an answer that nobody wants.
    pub(crate) fn poll_unwanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.framing.is_some() && self.stored.is_none() {
            true => self.writer.poll_deserted(cx),
            false => Poll::Pending,
        }
    }

    /// Takes what the exchange writes.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let used = match &mut self.framing {
                None => self.take_head(bytes)?,
                Some(framing) => match framing.next(bytes) {
                    Part::Frame(count) | Part::End(count) => count,
                    Part::Payload(count) => {
                        framing.take(count);
                        self.take_content(bytes.get(..count).unwrap_or_default());
                        count
                    }
                    Part::Wrong => return Err(io::ErrorKind::InvalidData.into()),
                },
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn take_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Ok(Parse::Complete(length)) =
            self.head.parse(bytes, &ANSWER_LIMITS, &RequestContext::default())
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut head = std::mem::take(&mut self.head);
        if head.status < 200 {
            head.clear();
            self.head = head;
            return Ok(length);
        }
        self.framing = Some(Framing::of(head.body));
        let bytes = bytes.get(..length).unwrap_or_default().into();
        self.judge(Head { head: *head, bytes });
        Ok(length)
    }

    /// Decides what becomes of the answer, and tells it.
    fn judge(&mut self, own: Head) {
        let now = runtime::now();
        let stale = self.fetch.stale.clone();
        if let Some(stale) = stale {
            if own.head.status == 304 {
                return self.renew(&stale, &own, now);
            }
            let is_error = matches!(own.head.status, 500 | 502 | 503 | 504);
            if is_error && self.cache.may_replace_error(&stale) {
                return self.keep_stale(stale);
            }
        }
        let length = match own.head.body {
            BodyLength::None => Some(0),
            BodyLength::Exact(length) => Some(length),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        };
        let too_long = length.is_some_and(|length| length > self.cache.settings.max_object);
        let judged = self.lifetime(&own, now).and_then(|(lifetime, control)| {
            if too_long || !self.cache.take_room(length.unwrap_or(0)) {
                return Err(Refusal::NoLifetime);
            }
            self.total = length.unwrap_or(0);
            let mut lines = Vec::with_capacity(own.bytes.len());
            update::write_stored(&mut lines, own.fields(), &control);
            let head = Head::make(own.head.status, &lines).ok_or(Refusal::Status)?;
            Ok((lifetime, head))
        });
        let shared = match judged {
            Ok((lifetime, head)) => Some(self.share(&own, head, lifetime, now)),
            Err(why) => {
                self.release(why, own.head.status);
                None
            }
        };
        let length = length.filter(|_| !matches!(own.head.body, BodyLength::None));
        self.fetch.tell(Outcome::Answered(Answer { own, shared, length }));
    }

    fn received(&self, now: Instant) -> Received {
        Received { at: runtime::wall_clock(), delay: now.saturating_duration_since(self.begun) }
    }

    /// How long it may be used, if it may be stored.
    fn lifetime(&self, own: &Head, now: Instant) -> Result<(Lifetime, ResponseControl), Refusal> {
        let (status, fields) = (own.head.status, own.fields());
        let control = ResponseControl::of(fields);
        let settings = &self.cache.settings;
        let listed = settings.statuses.iter().find(|(listed, _)| *listed == status);
        let allowed = Allowed { error: listed.is_some(), cookies: settings.strip_cookies };
        let asked = storing::Asked {
            is_authorized: self.asked.is_authorized,
            no_store: self.asked.no_store,
        };
        storing::may_store(status, &control, fields, asked, allowed)?;
        let vary = Vary::of(fields).ok_or(Refusal::VariesByAll)?;
        if vary.names().any(key::is_ours_alone) {
            return Err(Refusal::VariesByAll);
        }
        let defaults = self.cache.defaults(listed.map(|(_, ttl)| *ttl), status);
        let lifetime = freshness::lifetime(status, &control, fields, self.received(now), &defaults);
        let lifetime = lifetime.ok_or(Refusal::NoLifetime)?;
        // What is stale at once, and has nothing to be renewed by, is no use to anybody.
        let age = freshness::initial_age(fields, self.received(now));
        let after = lifetime.while_revalidate.max(lifetime.if_error);
        let is_dead = lifetime.always_asks || age >= lifetime.fresh.saturating_add(after);
        let validators = evenkeel_codec::caching::Validators::of(fields);
        match is_dead && validators.is_empty() {
            true => Err(Refusal::NoLifetime),
            false => Ok((lifetime, control)),
        }
    }

    /// Others may have it: settles under which key.
    fn share(&mut self, own: &Head, mut head: Head, lifetime: Lifetime, now: Instant) -> Shared {
        let fields = own.fields();
        head.head.content_length = own.head.content_length;
        let head = Arc::new(head);
        let age = freshness::initial_age(fields, self.received(now));
        let tags = self.cache.tags(fields);
        self.stored = Some(Stored { head: head.clone(), at: now, age, lifetime, tags });
        if let Some(vary) = Vary::of(fields) {
            self.settle_vary(vary);
        }
        Shared { head, key: self.place.key.clone().into(), age }
    }

    /// §4.1: notes by what answers of this URI differ, and goes on under the longer key.
    fn settle_vary(&mut self, vary: Vary) {
        let primary = self.place.key.get(..self.place.primary).unwrap_or_default().to_vec();
        let store = &self.cache.store;
        let known = match store.peek(&primary) {
            Some(Slot::Vary(known)) => Some(known),
            _ => None,
        };
        let is_known = known.as_ref().is_some_and(|known| known.covers(&vary));
        if vary.is_empty() && known.is_none() || is_known && self.place.key.len() > primary.len() {
            return;
        }
        let mut all = vary;
        if let Some(known) = &known {
            all.join(known);
        }
        let mut longer = primary.clone();
        key::write_selectors(&mut longer, &all, &self.asked);
        let all = Arc::new(all);
        let first = self.first.clone();
        let is_ours = |slot: &Slot| self.is_place(slot);
        // Who is purged meanwhile stays so.
        let old = &self.place.key;
        let still = match *old == primary {
            true => store.change(old, is_ours, Some(Slot::Vary(all))),
            false => {
                let still = store.change(old, is_ours, None);
                store.insert(&primary, Slot::Vary(all));
                still
            }
        };
        if still {
            let slot = match (&self.place.over, first) {
                (Some(entry), _) => Slot::Entry(entry.clone()),
                (None, Some(first)) => Slot::Fetch(self.fetch.clone(), first),
                (None, None) => return,
            };
            store.insert(&longer, slot);
        }
        self.place.key = longer;
    }

    fn is_place(&self, slot: &Slot) -> bool {
        match &self.place.over {
            Some(entry) => slot.is_entry(entry),
            None => slot.is_fetch(&self.fetch),
        }
    }

    /// §4.3.4: what is stored is as good as new.
    fn renew(&mut self, stale: &Arc<Entry>, new: &Head, now: Instant) {
        let own = stale.validators().etag.map(|tag| tag.strip_prefix(b"W/").unwrap_or(tag));
        let other = new.fields().value(b"etag");
        let other = other.map(|tag| tag.strip_prefix(b"W/").unwrap_or(tag));
        if other.is_some() && own != other {
            // Of another version than was asked about (§4.3.3).
            self.release(Refusal::Status, 304);
            return self.fetch.tell(Outcome::Failed(Failure::new(Reason::BadResponse(
                evenkeel_codec::ResponseError::BadField,
            ))));
        }
        let control = ResponseControl::of(new.fields());
        let mut lines = Vec::with_capacity(stale.head.bytes.len());
        update::write_updated(&mut lines, stale.head.fields(), new.fields(), &control);
        let renewed = Head::make(stale.head.head.status, &lines).and_then(|head| {
            let lifetime = self.lifetime(&head, now).ok()?.0;
            let age = freshness::initial_age(Fields { ..new.fields() }, self.received(now));
            let tags = self.cache.tags(head.fields());
            Some(Arc::new(Entry::new(
                head,
                stale.body.clone(),
                (self.fetch.since, now, age),
                lifetime,
                tags,
            )))
        });
        match renewed {
            Some(entry) => {
                let is = |slot: &Slot| self.is_place(slot);
                self.cache.store.change(&self.place.key, is, Some(Slot::Entry(entry.clone())));
                self.fetch.tell(Outcome::Stored(entry, Why::Renewed));
            }
            None => {
                // It may not be stored any more: used once, for who asked.
                self.release(Refusal::NoStore, 304);
                self.fetch.tell(Outcome::Stored(stale.clone(), Why::Renewed));
            }
        }
    }

    /// RFC 5861 §4.
    fn keep_stale(&mut self, stale: Arc<Entry>) {
        stale.give_up_refresh();
        let is = |slot: &Slot| self.is_place(slot);
        self.cache.store.change(&self.place.key, is, Some(Slot::Entry(stale.clone())));
        self.fetch.tell(Outcome::Stored(stale, Why::Error));
    }

    /// It is not stored: nobody waits for the next one in vain.
    fn release(&mut self, why: Refusal, status: u16) {
        self.first = None;
        self.stored = None;
        self.cache.give_room(std::mem::take(&mut self.total));
        let is = |slot: &Slot| self.is_place(slot);
        let is_lasting = !matches!(why, Refusal::Authorized | Refusal::NoStore if self.asked.no_store || self.asked.is_authorized)
            && status < 500
            && status != 304;
        let wait = self.cache.settings.hit_for_miss;
        let pass = (is_lasting && !wait.is_zero()).then(|| Slot::Pass(runtime::now() + wait));
        self.cache.store.change(&self.place.key, is, pass);
    }

    fn take_content(&mut self, bytes: &[u8]) {
        if matches!(self.fetch.outcome.get(), Some(Outcome::Stored(..) | Outcome::Failed(_))) {
            return; // nobody wants it
        }
        if let Some(stored) = &self.stored
            && stored.head.head.content_length.is_none()
        {
            self.total = self.total.saturating_add(bytes.len() as u64);
            let fits = self.cache.take_room(bytes.len() as u64);
            if !fits {
                self.total = self.total.saturating_sub(bytes.len() as u64);
            }
            if !fits || self.total > self.cache.settings.max_object {
                self.release(Refusal::NoLifetime, 200);
            }
        }
        self.writer.push(Bytes::copy_from_slice(bytes));
    }

    /// The exchange is over; `whole`: its answer's end was its end.
    pub(super) fn end(&mut self, whole: Result<bool, Failure>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let is_whole = match (&whole, &self.framing) {
            (Ok(true), Some(Framing::Endless)) => true,
            (Ok(_), Some(framing)) => framing.ends(),
            _ => false,
        };
        if self.fetch.outcome.get().is_none() {
            let failure = whole.err().unwrap_or(Failure::new(Reason::UpstreamClosed));
            match self.fetch.stale.clone() {
                Some(stale) if self.cache.may_replace_error(&stale) => self.keep_stale(stale),
                _ => {
                    self.release(Refusal::Status, 502);
                    self.fetch.tell(Outcome::Failed(failure));
                }
            }
        }
        match (self.stored.take(), self.first.take()) {
            (Some(stored), Some(first)) if is_whole => self.store(stored, &first),
            (Some(_), _) => self.release(Refusal::Status, 502),
            (None, _) => {}
        }
        self.cache.give_room(std::mem::take(&mut self.total));
        if let Some(entry) = &self.place.over {
            entry.give_up_refresh();
        }
        self.fetch.flow.end(is_whole);
    }

    fn store(&mut self, stored: Stored, first: &Arc<Piece>) {
        let body = together(collect(first));
        let Stored { head, at, age, lifetime, tags } = stored;
        let Some(head) = Head::make(head.head.status, lines_of(&head)) else {
            return self.release(Refusal::Status, 502); // it was one before
        };
        let entry =
            Arc::new(Entry::new(head, body.into(), (self.fetch.since, at, age), lifetime, tags));
        let is = |slot: &Slot| self.is_place(slot);
        self.cache.store.change(&self.place.key, is, Some(Slot::Entry(entry)));
    }
}

/// The field lines of a head that was made here.
fn lines_of(head: &Head) -> &[u8] {
    let start = memchr::memchr(b'\n', &head.bytes).map_or(0, |at| at.saturating_add(1));
    let end = head.bytes.len().saturating_sub(2);
    head.bytes.get(start..end).unwrap_or_default()
}

/// Many short pieces as few long ones.
fn together(pieces: Vec<Bytes>) -> Vec<Bytes> {
    let total = pieces.iter().fold(0_u64, |sum, piece| sum.saturating_add(piece.len() as u64));
    if pieces.len() < 2 || total / pieces.len() as u64 >= PIECE_MIN {
        return pieces;
    }
    let mut all = Vec::new();
    let mut next = Vec::new();
    for piece in pieces {
        next.extend_from_slice(&piece);
        if next.len() >= PIECE {
            all.push(std::mem::take(&mut next).into());
        }
    }
    if !next.is_empty() {
        next.shrink_to_fit();
        all.push(next.into());
    }
    all
}

impl Drop for Landing {
    /// Whoever waits is told, whatever happened.
    fn drop(&mut self) {
        self.end(Err(Failure::new(Reason::UpstreamClosed)));
    }
}
