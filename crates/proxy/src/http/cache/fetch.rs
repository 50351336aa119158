//! One request to a server on behalf of the cache. It belongs to the entry that it makes, not to the
//! client that was the first to ask: nobody's leaving or slowness stops it for the others. Owns the
//! fetch from the request to what becomes of its answer; `http/subrequest.rs` does the same for who
//! wants one answer for himself.

use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use evenkeel_codec::caching::{Fields, Validators};
use evenkeel_codec::{Field, Known, Parse, RequestHead};
use evenkeel_config::model::PoolId;
use evenkeel_runtime as runtime;

use super::Cache;
use super::body::{Flow, Piece, Writer};
use super::entry::{Entry, Head};
use super::key;
use super::landing::{Landing, Place};
use super::marks::Since;
use crate::channel::Channel;
use crate::channel::fetched::FetchStream;
use crate::connection::Connection;
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::http::own::{Origin, REQUEST_LIMITS};
use crate::http::{forwarded, hops, tries};
use crate::policy::{Changes, Edits};

/// What a fetch came to, as soon as that is known.
pub(super) enum Outcome {
    /// There is no answer.
    Failed(Failure),
    /// An answer. Its content is on its way.
    Answered(Answer),
    /// What was stored is as good as new; or, stale as it is, better than the error that came.
    Stored(Arc<Entry>, Why),
}

/// Why something stored is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The server said 304.
    Renewed,
    /// It failed.
    Error,
}

/// The answer of a server.
pub(super) struct Answer {
    /// As it came, for who asked.
    pub(super) own: Head,
    /// As it is stored, for everybody else; `None` if it is for nobody else.
    pub(super) shared: Option<Shared>,
    pub(super) length: Option<u64>,
}

/// The same for others.
pub(super) struct Shared {
    pub(super) head: Arc<Head>,
    /// The key of who may have it.
    pub(super) key: Box<[u8]>,
    /// How old it was when it came.
    pub(super) age: Duration,
}

/// What is shared about one fetch.
#[derive(Default)]
pub(super) struct Fetch {
    pub(super) outcome: OnceLock<Outcome>,
    pub(super) flow: Arc<Flow>,
    /// What it is to renew.
    pub(super) stale: Option<Arc<Entry>>,
    /// When it was begun.
    pub(super) since: Since,
}

impl Fetch {
    /// What it came to is this.
    pub(super) fn tell(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome); // the first word counts
        self.flow.news.give();
    }
}

/// What chooses among the answers of one URI: the request's fields, as servers get them.
pub(super) struct Asked {
    pub(super) fields: Vec<Field>,
    pub(super) bytes: Vec<u8>,
    pub(super) edits: Edits,
    pub(super) is_authorized: bool,
    pub(super) no_store: bool,
}

impl Asked {
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields { fields: &self.fields, bytes: &self.bytes }
    }
}

/// A request that is about to be made.
pub(super) struct Request {
    connection: Connection,
    origin: Origin,
    changes: Changes,
    text: Vec<u8>,
    pool: PoolId,
    landing: Rc<std::cell::RefCell<Landing>>,
}

impl Request {
    /// What an exchange asks for, without its conditions and ranges; with those of what is to be
    /// renewed.
    ///
    /// # Errors
    /// It cannot be asked for in this way.
    pub(super) fn new(
        exchange: &Exchange<'_>,
        cache: &Arc<Cache>,
        pool: PoolId,
        (fetch, writer, first): (Arc<Fetch>, Writer, Arc<Piece>),
        place: Place,
    ) -> Result<Self, Failure> {
        let text = text(exchange, fetch.stale.as_deref().map(Entry::validators));
        let mut head = RequestHead::default();
        match head.parse(&text, &REQUEST_LIMITS) {
            Ok(Parse::Complete(length)) if length == text.len() => {}
            _ => return Err(Failure::new(Reason::NoServers)),
        }
        let mut edits = Edits::default();
        for chain in exchange.chains() {
            chain.request_edits().for_each(|more| edits.append(more.clone()));
        }
        let (mut target, mut host) = (None, None);
        if let Some(changed) = &exchange.changed {
            edits.append(changed.request.clone());
            (target, host) = (changed.target.clone(), changed.host.clone());
        }
        let fields = Fields { fields: &head.fields, bytes: &text };
        let asked = Asked {
            is_authorized: fields.has(b"authorization"),
            no_store: evenkeel_codec::caching::RequestControl::of(fields).no_store,
            fields: head.fields,
            bytes: text.clone(),
            edits: edits.clone(),
        };
        let landing = Landing::new(cache.clone(), fetch, writer, first, place, asked);
        let landing = Rc::new(std::cell::RefCell::new(landing));
        let parent = exchange.connection;
        let stream = FetchStream::new(parent.peer, parent.local, landing.clone());
        Ok(Self {
            connection: Connection::of_stream(parent, Channel::Fetch(Box::new(stream))),
            origin: Origin::of(exchange),
            changes: Changes { request: edits, target, host, ..Changes::default() },
            text,
            pool,
            landing,
        })
    }

    /// Makes it, in a task of its own.
    pub(super) fn spawn(self) {
        let landing = self.landing.clone();
        runtime::spawn(async move {
            let made = Box::pin(self.make());
            match runtime::isolate(made).await {
                Ok(whole) => landing.borrow_mut().end(whole),
                Err(panic) => {
                    tracing::error!(%panic, "a request of the cache was lost");
                    landing.borrow_mut().end(Err(Failure::new(Reason::Panicked)));
                }
            }
        });
    }

    /// Whether the answer's end is its end.
    async fn make(self) -> Result<bool, Failure> {
        let Self { connection, origin, changes, text, pool, .. } = self;
        let worker = connection.worker.clone();
        let mut exchange = origin.begin(&connection, &text)?;
        exchange.changed = Some(Box::new(changes));
        let result = tries::forward(&mut exchange, pool).await;
        let failure = exchange.failure;
        worker.heads.give_request(exchange.head);
        worker.stock.give(exchange.buffer);
        result.map(|_| failure.is_none())
    }
}

/// The request as text. Conditions are the cache's own affair; ranges are made of what is whole.
fn text(exchange: &Exchange<'_>, validators: Option<Validators<'_>>) -> Vec<u8> {
    let (head, bytes) = (&exchange.head, exchange.buffer.all());
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"GET ");
    key::write_target(&mut out, exchange);
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(head.host.of(bytes));
    out.extend_from_slice(b"\r\nx-evenkeel-hops: ");
    forwarded::write_number(&mut out, hops::count(head, bytes));
    out.extend_from_slice(b"\r\n");
    for field in head.fields.iter().filter(|field| !field.hop_by_hop) {
        let name = field.name.of(bytes);
        let is_ours = matches!(
            field.known,
            Known::Host
                | Known::ContentLength
                | Known::TransferEncoding
                | Known::Expect
                | Known::XEvenkeelHops
        );
        if !(is_ours || is_condition(name)) {
            forwarded::write_field(&mut out, name, field.value.of(bytes));
        }
    }
    if let Some(etag) = validators.and_then(|validators| validators.etag) {
        forwarded::write_field(&mut out, b"if-none-match", etag);
    }
    if let Some(changed) = validators.and_then(|validators| validators.last_modified) {
        let date = httpdate::fmt_http_date(changed);
        forwarded::write_field(&mut out, b"if-modified-since", date.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn is_condition(name: &[u8]) -> bool {
    [b"if-none-match".as_slice(), b"if-modified-since", b"if-range", b"range"]
        .iter()
        .any(|condition| name.eq_ignore_ascii_case(condition))
}
