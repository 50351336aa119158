//! The cache: a route's answers are kept and given again (RFC 9111). This file owns the order in which
//! a request is looked at; the rules are in `codec/src/caching`, the steps beside it.

mod answer;
pub(crate) mod body;
mod entry;
mod fetch;
mod key;
pub(crate) mod landing;
mod marks;
mod purge;
mod status;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use evenkeel_codec::caching::{Defaults, Fields, RequestControl, storing};
use evenkeel_codec::{BodyLength, Method};
use evenkeel_config::model::{self, PoolId};
use evenkeel_runtime as runtime;

use self::body::{Flow, Piece, Reader, Writer};
use self::entry::{Entry, Use};
use self::fetch::{Fetch, Outcome, Request};
use self::landing::Place;
use self::marks::Marks;
pub use self::purge::Purge;
use self::status::Status;
use self::store::{Claimed, Slot, Store};
use crate::failure::{Failure, Reason};
use crate::http::client_watch::ClientWatch;
use crate::http::downstream::h1::Next;
use crate::http::exchange::Exchange;
use crate::http::tries;
use crate::policy::Answered;

/// How often a request looks again because what it waited for was not for it.
const ROUNDS_MAX: usize = 4;
/// Tags of one answer that are kept.
const TAGS_MAX: usize = 64;

/// One policy's cache, shared by all workers.
pub(crate) struct Cache {
    settings: model::Cache,
    store: Store,
    marks: Marks,
    /// Bytes on their way that will be stored.
    coming: AtomicU64,
}

impl Cache {
    pub(crate) fn new(settings: &model::Cache) -> Arc<Self> {
        let store = Store::new(settings.size, settings.max_object);
        Arc::new(Self {
            settings: settings.clone(),
            store,
            marks: Marks::new(),
            coming: AtomicU64::new(0),
        })
    }

    /// Room for what is on its way, beside what is stored.
    fn take_room(&self, bytes: u64) -> bool {
        let most = (self.settings.size / 4).max(self.settings.max_object);
        let before = self.coming.fetch_add(bytes, Ordering::AcqRel);
        let fits = before.saturating_add(bytes) <= most;
        if !fits {
            self.give_room(bytes);
        }
        fits
    }

    fn give_room(&self, bytes: u64) {
        self.coming.fetch_sub(bytes, Ordering::AcqRel);
    }

    fn defaults(&self, listed: Option<Duration>, status: u16) -> Defaults {
        let settings = &self.settings;
        Defaults {
            ttl: listed.or(settings.default_ttl.filter(|_| status < 400)),
            heuristic_max: settings.heuristic_max,
            stale_while_revalidate: settings.stale_while_revalidate,
            stale_if_error: settings.stale_if_error,
        }
    }

    /// What an answer is made of, as it says: sorted, for purging.
    fn tags(&self, fields: Fields<'_>) -> Box<[Box<[u8]>]> {
        let mut tags: Vec<Box<[u8]>> = Vec::new();
        for name in &self.settings.tags {
            let values = fields.values(name.as_bytes());
            let words =
                values.flat_map(|value| value.split(|byte| matches!(byte, b',' | b' ' | b'\t')));
            tags.extend(words.filter(|word| !word.is_empty()).map(Box::from).take(TAGS_MAX));
        }
        tags.sort_unstable();
        tags.dedup();
        tags.into()
    }

    /// What an unsafe request may have changed is forgotten (RFC 9111 §4.4).
    pub(crate) fn invalidate(&self, exchange: &Exchange<'_>, answer: &Answered<'_>) {
        if !storing::invalidates(exchange.head.method, answer.status) {
            return;
        }
        let secure = exchange.connection.is_secure();
        let host = exchange.head.host.of(exchange.buffer.all());
        let scheme: &[u8] = if secure { b"https" } else { b"http" };
        let mut own = Vec::new();
        key::write_target(&mut own, exchange);
        let others = [b"location".as_slice(), b"content-location"];
        let others = others.into_iter().filter_map(|name| answer.value(name));
        let others = others.filter_map(|uri| storing::same_origin(uri, scheme, host));
        for target in others.chain([own.as_slice()]) {
            let mut uri = Vec::new();
            key::write_origin(&mut uri, secure, host);
            let (path, query) = match memchr::memchr(b'?', target) {
                Some(at) => target.split_at(at),
                None => (target, &[][..]),
            };
            uri.extend_from_slice(path);
            if let Some(query) = query.get(1..) {
                key::write_query(&mut uri, query, &self.settings.key);
            }
            self.marks.mark(&uri);
        }
    }

    /// How an entry may be used now.
    fn usable(&self, entry: &Entry, asked: &RequestControl) -> Use {
        match self.marks.has_changed(entry.since) {
            true => Use::Ask,
            false => entry.usable(runtime::now(), asked),
        }
    }

    /// Whether it is better than an error (RFC 5861 §4).
    fn may_replace_error(&self, entry: &Entry) -> bool {
        !self.marks.has_changed(entry.since) && entry.may_replace_error(runtime::now())
    }
}

/// The cache that an exchange is subject to: its route's, or else its listener's.
pub(crate) fn of(exchange: &Exchange<'_>) -> Option<Arc<Cache>> {
    let route = exchange.route().and_then(|route| route.chain.cache.as_ref());
    route.or_else(|| exchange.listener()?.chain.cache.as_ref()).cloned()
}

/// Answers from the cache, or has `pool` answer.
pub(crate) async fn serve(
    exchange: &mut Exchange<'_>,
    cache: &Arc<Cache>,
    id: PoolId,
) -> Result<Next, Failure> {
    let generation = exchange.generation.clone();
    let Some(pool) = generation.snapshot.pool(id) else {
        return Err(Failure::new(Reason::NoServers));
    };
    if let Some(why) = passes_by(exchange, &cache.settings) {
        return forward(exchange, cache, id, why).await;
    }
    exchange.pool = Some(id);
    let mut key = exchange.connection.worker.stock.take_scratch();
    key::write(&mut key, exchange, &cache.settings.key, &pool.config.name);
    let result = look(exchange, cache, id, &mut key).await;
    exchange.connection.worker.stock.give_scratch(key);
    match result? {
        Looked::Given(next) => Ok(next),
        Looked::Goes(why) => forward(exchange, cache, id, why).await,
    }
}

/// The cache has no part in it.
async fn forward(
    exchange: &mut Exchange<'_>,
    cache: &Cache,
    id: PoolId,
    why: Status,
) -> Result<Next, Failure> {
    if cache.settings.status_field {
        exchange.changes().response.add(b"cache-status", why.text().as_bytes());
    }
    tries::forward(exchange, id).await
}

/// What came of looking.
enum Looked {
    /// The client has its answer.
    Given(Next),
    /// A server is asked for this request alone.
    Goes(Status),
}

/// Why a request goes past the cache, if it does.
fn passes_by(exchange: &Exchange<'_>, settings: &model::Cache) -> Option<Status> {
    let (head, bytes) = (&exchange.head, exchange.buffer.all());
    if !matches!(head.method, Method::Get | Method::Head) {
        return Some(Status::METHOD);
    }
    let fields = Fields { fields: &head.fields, bytes };
    let has_body = !matches!(head.body, BodyLength::None | BodyLength::Exact(0));
    // Conditions on what is to be changed are for servers (RFC 9111 §4.3.2).
    let is_special = has_body
        || head.upgrade.is_some()
        || head.host.is_empty()
        || exchange.call.is_some()
        || fields.has(b"if-match")
        || fields.has(b"if-unmodified-since");
    let bypass = &settings.bypass;
    let asks_not = bypass.fields.iter().any(|name| fields.has(name.as_bytes()))
        || bypass.cookies.iter().any(|name| key::cookie_of(fields, name.as_bytes()).is_some());
    (is_special || asks_not).then_some(Status::BYPASS)
}

/// Looks until there is something to give, or a server to ask for this request alone.
async fn look(
    exchange: &mut Exchange<'_>,
    cache: &Arc<Cache>,
    id: PoolId,
    key: &mut Vec<u8>,
) -> Result<Looked, Failure> {
    let fields = Fields { fields: &exchange.head.fields, bytes: exchange.buffer.all() };
    let said = RequestControl::of(fields);
    let obeyed = match cache.settings.client_control {
        true => said,
        false => RequestControl::default(),
    };
    let primary = key.len();
    for _ in 0..ROUNDS_MAX {
        key.truncate(primary);
        let mut slot = cache.store.get(key);
        if let Some(Slot::Vary(by)) = &slot {
            let by = by.clone();
            key::write_selectors_of(key, &by, exchange);
            slot = cache.store.get(key);
        }
        let now = runtime::now();
        let mut stale = None;
        match slot {
            Some(Slot::Entry(entry)) => match cache.usable(&entry, &obeyed) {
                Use::Fresh(left) => {
                    let note = Status::hit(&cache.settings, left);
                    return Ok(given(exchange, &entry, &note, true).await);
                }
                Use::Stale => {
                    if entry.claim_refresh() {
                        refresh(exchange, cache, id, key, primary, &entry);
                    }
                    let note = Status::stale(&cache.settings);
                    return Ok(given(exchange, &entry, &note, true).await);
                }
                Use::Ask => stale = Some(entry),
            },
            Some(Slot::Pass(until)) if until > now => return Ok(Looked::Goes(Status::PASS)),
            _ => {}
        }
        if said.only_if_cached {
            return Err(Failure::new(Reason::NotCached));
        }
        // What is asked for in part, or without its content, is not fetched whole for that.
        let is_partial = exchange.head.method == Method::Head
            || Fields { fields: &exchange.head.fields, bytes: exchange.buffer.all() }.has(b"range");
        if is_partial && stale.is_none() {
            return Ok(Looked::Goes(Status::MISS));
        }
        let (fetch, first, is_ours) = match claim(cache, key, stale.as_ref(), now).await {
            Claimed::Ours((fetch, writer, first)) => {
                let place = Place { key: key.clone(), primary, over: None };
                let parts = (fetch.clone(), writer, first.clone());
                Request::new(exchange, cache, id, parts, place)
                    .inspect_err(|_| {
                        cache.store.change(key, |slot| slot.is_fetch(&fetch), None);
                    })?
                    .spawn();
                (fetch, first, true)
            }
            // What was asked for before it was changed is of no use now.
            Claimed::Taken(Slot::Fetch(fetch, first))
                if !is_partial && !cache.marks.has_changed(fetch.since) =>
            {
                (fetch, first, false)
            }
            Claimed::Taken(Slot::Fetch(..)) => return Ok(Looked::Goes(Status::MISS)),
            Claimed::Taken(_) => continue,
        };
        if let Some(looked) = join(exchange, cache, (fetch, first), is_ours, key, primary).await? {
            return Ok(looked);
        }
    }
    Ok(Looked::Goes(Status::MISS))
}

async fn given(exchange: &mut Exchange<'_>, entry: &Entry, status: &str, is_old: bool) -> Looked {
    let age = is_old.then(|| entry.age(runtime::now()));
    Looked::Given(answer::give(exchange, entry, &answer::Note { age, status }).await)
}

type Begun = (Arc<Fetch>, Writer, Arc<Piece>);

fn begin(cache: &Cache, key: &[u8], stale: Option<Arc<Entry>>) -> Begun {
    let flow = Arc::<Flow>::default();
    let (writer, first) = Writer::new(&flow);
    let since = cache.marks.since(key::uri(key));
    (Arc::new(Fetch { flow, stale, since, ..Fetch::default() }), writer, first)
}

/// Fetches, unless somebody does, or something is there now.
async fn claim(
    cache: &Cache,
    key: &[u8],
    stale: Option<&Arc<Entry>>,
    now: std::time::Instant,
) -> Claimed<Begun> {
    let new = || {
        let begun = begin(cache, key, stale.cloned());
        (Slot::Fetch(begun.0.clone(), begun.2.clone()), begun)
    };
    let keep = |slot: &Slot| match slot {
        Slot::Entry(entry) => {
            let is_ours = stale.is_some_and(|stale| Arc::ptr_eq(stale, entry));
            (!is_ours).then(|| slot.clone())
        }
        Slot::Pass(until) => (*until > now).then(|| slot.clone()),
        Slot::Fetch(..) | Slot::Vary(_) => Some(slot.clone()),
    };
    cache.store.claim(key, new, keep).await
}

/// Renews an entry while it is given.
fn refresh(
    exchange: &Exchange<'_>,
    cache: &Arc<Cache>,
    id: PoolId,
    key: &[u8],
    primary: usize,
    entry: &Arc<Entry>,
) {
    let place = Place { key: key.to_vec(), primary, over: Some(entry.clone()) };
    match Request::new(exchange, cache, id, begin(cache, key, Some(entry.clone())), place) {
        Ok(request) => request.spawn(),
        Err(_) => entry.give_up_refresh(),
    }
}

/// Waits for what a fetch comes to, and gives it if it is for this request; `None`: to look again.
async fn join(
    exchange: &mut Exchange<'_>,
    cache: &Cache,
    (fetch, first): (Arc<Fetch>, Arc<Piece>),
    is_ours: bool,
    key: &mut Vec<u8>,
    primary: usize,
) -> Result<Option<Looked>, Failure> {
    let mut reader = Reader::new(&fetch.flow, first);
    wait(exchange, &fetch, &mut reader).await?;
    let settings = &cache.settings;
    match fetch.outcome.get() {
        Some(Outcome::Stored(entry, why)) => {
            drop(reader);
            let note = Status::asked(settings, *why, is_ours);
            let is_for_us = is_ours || is_still(cache, key, primary, exchange, entry);
            match is_for_us {
                true => Ok(Some(given(exchange, entry, &note, true).await)),
                false => Ok(None),
            }
        }
        Some(Outcome::Answered(answer)) if is_ours => {
            let note = Status::fetched(settings, &fetch, answer.shared.is_some());
            let note = answer::Note { age: None, status: &note };
            let length = answer.length;
            Ok(Some(Looked::Given(
                answer::pass_on(exchange, &answer.own, length, reader, &note).await,
            )))
        }
        Some(Outcome::Answered(answer)) => {
            let Some(shared) = &answer.shared else { return Ok(Some(Looked::Goes(Status::PASS))) };
            // §4.1: it may be for others than us.
            key.truncate(primary);
            if shared.key.len() > primary {
                match cache.store.get(key) {
                    Some(Slot::Vary(by)) => key::write_selectors_of(key, &by, exchange),
                    _ => return Ok(None),
                }
            }
            if **key != *shared.key {
                return Ok(None);
            }
            let note = Status::joined(settings);
            let note = answer::Note { age: Some(shared.age), status: &note };
            Ok(Some(Looked::Given(
                answer::pass_on(exchange, &shared.head, answer.length, reader, &note).await,
            )))
        }
        Some(Outcome::Failed(failure)) if is_ours => Err(*failure),
        Some(Outcome::Failed(_)) | None => Ok(Some(Looked::Goes(Status::MISS))),
    }
}

/// Whether what is known of the key is this entry.
fn is_still(
    cache: &Cache,
    key: &mut Vec<u8>,
    primary: usize,
    exchange: &Exchange<'_>,
    entry: &Arc<Entry>,
) -> bool {
    key.truncate(primary);
    let mut slot = cache.store.get(key);
    if let Some(Slot::Vary(by)) = &slot {
        let by = by.clone();
        key::write_selectors_of(key, &by, exchange);
        slot = cache.store.get(key);
    }
    slot.is_some_and(|slot| slot.is_entry(entry))
}

/// Waits for the head of an answer; the fetch has deadlines of its own.
async fn wait(
    exchange: &mut Exchange<'_>,
    fetch: &Fetch,
    reader: &mut Reader,
) -> Result<(), Failure> {
    let connection = exchange.connection;
    let patient = exchange
        .pool
        .and_then(|id| exchange.generation.snapshot.pool(id))
        .map_or(Duration::from_secs(60), longest);
    connection.state.allow_until(runtime::now() + patient);
    let mut client = ClientWatch::default();
    std::future::poll_fn(|cx| {
        let known = || fetch.outcome.get().map(|_| ());
        if reader.poll_known(cx, known).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if client.poll_gone(cx, exchange).is_ready()
            || connection.stream.poll_given_up(cx).is_ready()
        {
            return Poll::Ready(Err(Failure::new(Reason::ClientGone)));
        }
        let expired = connection.state.timer.poll_expired(cx);
        expired.map(|()| Err(Failure::new(Reason::ResponseTimeout)))
    })
    .await
}

/// All that tries of a pool may take; what is late beyond that is lost.
fn longest(pool: &crate::snapshot::PoolSettings) -> Duration {
    let config = &pool.config;
    let one = config.timeouts.connect.saturating_add(config.timeouts.first_byte);
    one.saturating_mul(config.retry.attempts.saturating_add(1).min(8))
        .saturating_add(config.queue.timeout)
        .saturating_add(Duration::from_secs(5))
}
