//! Policies: what is done to exchanges on their way, one file for each kind. Owns the trait that all
//! of them are, the complete list (`compile`), and chains; `http/exchange.rs` owns when which step is
//! taken. A chain keeps a list for each step, so that a route pays for nothing it does not use.

use std::any::Any;
use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher as _;
use std::pin::Pin;
use std::sync::Arc;

use evenkeel_codec::ResponseHead;
use evenkeel_config::model::{self, PolicyKind};

mod access;
mod api_key;
mod bandwidth;
mod basic_auth;
mod cache;
mod changes;
mod client_certificate;
#[cfg(feature = "compression")]
mod coded;
#[cfg(feature = "compression")]
mod compress;
mod concurrency;
mod cookies;
mod cors;
#[cfg(feature = "compression")]
mod decompress;
pub mod document;
mod external_auth;
mod fields;
#[cfg(feature = "geo")]
mod geo;
#[cfg(feature = "jwt")]
pub(crate) mod jwt;
mod limit_key;
mod network_table;
mod pages;
mod rate_limit;
mod redirect;
mod rewrite;
mod security_fields;
mod shared;
mod telling;
pub(crate) mod template;
#[cfg(not(all(feature = "jwt", feature = "geo")))]
mod unavailable;

pub(crate) use cache::CachePolicy;
pub(crate) use changes::{Changes, Permit};
pub(crate) use fields::{Edits, name_through, write_lines};
pub(crate) use limit_key::put_network;

use crate::access_log::Logging;
use crate::failure::Failure;
use crate::http::cache::Cache;
use crate::http::exchange::Exchange;
use crate::http::local_reply::Reply;
use crate::http::transform::Transform;
use crate::snapshot::Resolved;

/// What can be done to an exchange on its way. It is compiled once for each snapshot and shared by all
/// workers; one whose settings a change leaves as they are is kept, with whatever it counts.
///
/// A policy says at which [`Steps`] it wants to be asked; nothing else of it is called.
pub(crate) trait Policy: Any + Send + Sync {
    /// When it is asked.
    fn steps(&self) -> Steps;

    /// Takes over what `old`, of the same name and with other settings, has counted. Called once,
    /// before it is shared.
    fn inherit(&mut self, old: &dyn Policy) {
        let _ = old;
    }

    /// Lets a request through, answers it, or refuses it. A listener's policies are asked before the
    /// route is chosen, a route's after that; in both, in the order configured.
    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        let _ = exchange;
        Verdict::Pass
    }

    /// Looks at the final answer before its head is written, whoever made it: a server, the cache, or
    /// this process. Fields are changed by [`Exchange::changes`].
    fn respond(&self, exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
        let _ = (exchange, answer);
        Passing::AsIs
    }

    /// The exchange is over, however it ended.
    fn over(&self, exchange: &Exchange<'_>) {
        let _ = exchange;
    }
}

/// The steps that a policy takes part in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steps {
    /// [`Policy::admit`].
    pub(crate) admit: bool,
    /// [`Policy::respond`].
    pub(crate) respond: bool,
    /// [`Policy::over`].
    pub(crate) over: bool,
}

/// What becomes of a request.
pub(crate) enum Verdict<'e> {
    /// It goes on.
    Pass,
    /// It is answered with this.
    Answer(Box<Reply>),
    /// It fails; the reason decides the status.
    Refuse(Failure),
    /// It is known later. Whoever waits has a deadline of its own.
    Later(Pin<Box<dyn Future<Output = Verdict<'static>> + 'e>>),
}

/// What becomes of an answer.
pub(crate) enum Passing {
    /// It is passed on.
    AsIs,
    /// Its body is changed; at most once for an answer: by the first policy that says so.
    #[cfg_attr(
        not(feature = "compression"),
        expect(dead_code, reason = "codings alone change bodies")
    )]
    Through(Box<Altering>),
    /// Another is given in its place. The one in its place is not looked at again.
    Instead(Box<Reply>),
}

/// How a body is changed, and what that means for the fields. Neither happens if another answer is
/// given in its place, or it is changed by a policy before.
#[derive(Default)]
pub(crate) struct Altering {
    /// What the body goes through. `None` if the answer has none (to a HEAD, or a 304), and its fields
    /// are to be those of one that has.
    pub(crate) body: Option<Box<dyn Transform>>,
    /// Edits of the answer's fields, after those of all policies. Its length is not passed on.
    pub(crate) fields: Edits,
}

/// A final answer.
pub(crate) struct Answered<'a> {
    /// Its status.
    pub(crate) status: u16,
    /// Its head as received, and the bytes that it refers to; none if this process made it.
    pub(crate) head: Option<(&'a ResponseHead, &'a [u8])>,
    /// What is made here has one, or nothing.
    pub(crate) content_type: &'a str,
}

impl<'a> Answered<'a> {
    /// The values of a field, a line after the other.
    pub(crate) fn values<'n>(
        &self,
        name: &'n [u8],
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let made = match self.head {
            None if name.eq_ignore_ascii_case(b"content-type") => Some(self.content_type),
            _ => None,
        };
        let made = made.filter(|text| !text.is_empty()).map(str::as_bytes);
        let received = self.head.into_iter().flat_map(move |(head, bytes)| {
            let is = move |found: &[u8]| found.eq_ignore_ascii_case(name);
            head.fields
                .iter()
                .filter(move |field| is(field.name.of(bytes)))
                .map(move |field| field.value.of(bytes))
        });
        made.into_iter().chain(received)
    }

    /// The first value of a field.
    pub(crate) fn value(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.values(name).next()
    }
}

/// The policies of a listener or of a route, in the order configured.
#[derive(Default)]
pub struct Chain {
    /// Edits that are the same for every exchange.
    edits: Edited,
    admit: Box<[Arc<dyn Policy>]>,
    respond: Box<[Arc<dyn Policy>]>,
    over: Box<[Arc<dyn Policy>]>,
    /// Whether exchanges are logged, and how; the last one configured counts.
    pub(crate) logging: Option<Logging>,
    /// Longest content of requests; the last one configured counts.
    pub(crate) body_max: Option<u64>,
    /// Where answers are kept; the last one configured counts.
    pub(crate) cache: Option<Arc<Cache>>,
}

/// Edits of both directions, in order; neighbours that can be said as one are one.
#[derive(Default)]
struct Edited {
    request: Vec<Edits>,
    response: Vec<Edits>,
}

impl Edited {
    fn push(&mut self, fields: fields::Fields) {
        for (list, edits) in
            [(&mut self.request, fields.request), (&mut self.response, fields.response)]
        {
            if !list.last_mut().is_some_and(|last| last.merge(&edits)) {
                list.push(edits);
            }
        }
    }
}

/// A policy with a state or with steps of its own; `None` if a chain holds all there is of it.
/// `before` is what had its name in the snapshot before.
pub(crate) fn compile(
    policy: &model::Policy,
    resolved: &Resolved,
    before: Option<&dyn Policy>,
) -> Option<Arc<dyn Policy>> {
    let _ = (resolved, before);
    match &policy.kind {
        PolicyKind::BandwidthLimit(settings) => {
            carried(bandwidth::BandwidthLimit::compile(settings), before)
        }
        PolicyKind::Body(_) => None,
        PolicyKind::ConcurrencyLimit(settings) => {
            carried(concurrency::ConcurrencyLimit::compile(&policy.name, settings), before)
        }
        PolicyKind::RateLimit(settings) => {
            let asked = resolved.services.limits.clone();
            carried(rate_limit::RateLimit::compile(&policy.name, settings, asked), before)
        }
        #[cfg(feature = "jwt")]
        PolicyKind::Jwt(settings) => carried(jwt::Jwt::compile(settings, resolved), before),
        #[cfg(feature = "geo")]
        PolicyKind::Geo(settings) => carried(geo::Geo::compile(settings, resolved), before),
        // `check` has refused it.
        #[cfg(not(feature = "jwt"))]
        PolicyKind::Jwt(_) => carried(unavailable::Unavailable, before),
        #[cfg(not(feature = "geo"))]
        PolicyKind::Geo(_) => carried(unavailable::Unavailable, before),
        PolicyKind::BasicAuth(settings) => {
            carried(basic_auth::BasicAuth::compile(settings, resolved), before)
        }
        PolicyKind::ApiKey(settings) => carried(api_key::ApiKey::compile(settings), before),
        PolicyKind::ClientCertificate(settings) => {
            carried(client_certificate::ClientCertificate::compile(settings), before)
        }
        PolicyKind::ExternalAuth(settings) => {
            carried(external_auth::ExternalAuth::compile(settings), before)
        }
        PolicyKind::Access(settings) => {
            carried(access::Access::compile(settings, &resolved.documents), before)
        }
        #[cfg(feature = "compression")]
        PolicyKind::Compress(settings) => carried(compress::Compress::compile(settings), before),
        #[cfg(feature = "compression")]
        PolicyKind::Decompress(settings) => {
            carried(decompress::Decompress::compile(settings), before)
        }
        #[cfg(not(feature = "compression"))]
        PolicyKind::Compress(_) | PolicyKind::Decompress(_) => None,
        PolicyKind::Cache(settings) => {
            carried(CachePolicy::compile(&policy.name, settings), before)
        }
        PolicyKind::Fields(_) | PolicyKind::AccessLog(_) | PolicyKind::SecurityFields(_) => None,
        PolicyKind::Rewrite(settings) => carried(rewrite::Rewrite::compile(settings), before),
        PolicyKind::Redirect(settings) => carried(redirect::Redirect(*settings), before),
        PolicyKind::Cookies(settings) => carried(cookies::Cookies(settings.clone()), before),
        PolicyKind::Cors(settings) => carried(cors::Cors::compile(settings), before),
        PolicyKind::ErrorPages(settings) => carried(pages::ErrorPages::compile(settings), before),
        PolicyKind::Maintenance(settings) => carried(pages::Maintenance::compile(settings), before),
    }
}

/// What hashes of keys that clients choose begin with: different in each process.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(0)
}

/// Puts what was compiled among the others, with what the one before it has counted.
fn carried<P: Policy>(mut policy: P, before: Option<&dyn Policy>) -> Option<Arc<dyn Policy>> {
    if let Some(before) = before {
        policy.inherit(before);
    }
    Some(Arc::new(policy))
}

impl Chain {
    /// Puts a chain together.
    pub(crate) fn compile<'c>(
        policies: impl Iterator<Item = (&'c model::Policy, Option<&'c Arc<dyn Policy>>)>,
    ) -> Self {
        let (mut edits, mut logging, mut body_max) = (Edited::default(), None, None);
        let mut cache = None;
        let (mut admit, mut respond, mut over) = (Vec::new(), Vec::new(), Vec::new());
        for (policy, compiled) in policies {
            match &policy.kind {
                PolicyKind::Fields(fields) => edits.push(fields::Fields::compile(fields)),
                PolicyKind::SecurityFields(fields) => edits.push(security_fields::compile(fields)),
                PolicyKind::AccessLog(log) => logging = Some(Logging::compile(log)),
                PolicyKind::Body(rules) => body_max = Some(rules.max),
                PolicyKind::Cache(_) => {
                    let policy = compiled.and_then(|policy| CachePolicy::of(&**policy));
                    cache = policy.map(|policy| policy.cache.clone());
                }
                _ => {}
            }
            let Some(compiled) = compiled else { continue };
            let steps = compiled.steps();
            for (wants, list) in
                [(steps.admit, &mut admit), (steps.respond, &mut respond), (steps.over, &mut over)]
            {
                if wants {
                    list.push(compiled.clone());
                }
            }
        }
        Self {
            edits,
            admit: admit.into(),
            respond: respond.into(),
            over: over.into(),
            logging,
            body_max,
            cache,
        }
    }

    /// Asks each policy whether the request may go on; the first that says no decides.
    pub(crate) async fn admit(&self, exchange: &mut Exchange<'_>) -> Verdict<'static> {
        for policy in &self.admit {
            match Self::ask(policy, exchange).await {
                Verdict::Pass => {}
                verdict => return verdict,
            }
        }
        Verdict::Pass
    }

    async fn ask(policy: &Arc<dyn Policy>, exchange: &mut Exchange<'_>) -> Verdict<'static> {
        match policy.admit(exchange) {
            Verdict::Pass => Verdict::Pass,
            Verdict::Answer(reply) => Verdict::Answer(reply),
            Verdict::Refuse(failure) => Verdict::Refuse(failure),
            Verdict::Later(verdict) => verdict.await,
        }
    }

    /// Shows each policy the answer.
    fn respond(&self, exchange: &mut Exchange<'_>, answer: &Answered<'_>, passing: &mut Passing) {
        for policy in &self.respond {
            match (policy.respond(exchange, answer), &passing) {
                (Passing::AsIs, _) | (_, Passing::Instead(_)) => {}
                (Passing::Through(_), Passing::Through(_)) => {}
                (other, _) => *passing = other,
            }
        }
    }

    /// Tells each policy that the exchange is over.
    pub(crate) fn over(&self, exchange: &Exchange<'_>) {
        self.over.iter().for_each(|policy| policy.over(exchange));
    }

    /// No policy wants to see requests before they are passed on.
    pub(crate) fn admits_all(&self) -> bool {
        self.admit.is_empty()
    }

    /// Edits of the request's fields, in order.
    pub(crate) fn request_edits(&self) -> impl Iterator<Item = &Edits> + Clone {
        self.edits.request.iter()
    }

    /// Edits of the response's fields, in order.
    pub(crate) fn response_edits(&self) -> impl Iterator<Item = &Edits> + Clone {
        self.edits.response.iter()
    }

    /// No field is edited in the same way for every exchange.
    pub(crate) fn edits_nothing(&self) -> bool {
        self.edits.request.is_empty() && self.edits.response.is_empty()
    }
}

/// Shows the answer to every policy of the exchange.
pub(crate) fn respond(exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
    if exchange.is_own {
        return Passing::AsIs;
    }
    let generation = exchange.generation.clone();
    let listener = generation.snapshot.listener(exchange.listener_id());
    let route = exchange.route.and_then(|id| generation.snapshot.route(id));
    let mut passing = Passing::AsIs;
    for chain in [listener.map(|l| &l.chain), route.map(|r| &r.chain)].into_iter().flatten() {
        chain.respond(exchange, answer, &mut passing);
    }
    passing
}
