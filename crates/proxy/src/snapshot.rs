//! A configuration compiled for serving: settings only, immutable, shared by all workers and
//! swapped whole. Owns no state; what workers learn lives in [`crate::generation`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use evenkeel_config::Config;
use evenkeel_config::model::{
    Action, Address, HostRewrite, Hsts, HttpsRedirect, Listener, ListenerId, Match, Part,
    PathMatch, Plain, PolicyId, Pool, PoolId, Redirect, RouteId, Sticky, Template, Variable,
};

use regex::bytes::Regex;
use rustls::pki_types::ServerName;

use crate::http::affinity::Stickiness;
pub use crate::http::cache::Purge;
use crate::listener::ConnectionRate;
use crate::policy::{self, CachePolicy, Chain, Policy};
use crate::route::Table;
use crate::services::Services;
use crate::tls::{ClientTls, Materials, ServerTls};

/// What is looked up before a snapshot is compiled, since the data path asks no resolver and reads no
/// file: where the names of servers point, and key material.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    addresses: HashMap<Address, Vec<SocketAddr>>,
    /// For those that speak TLS.
    pub tls: Materials,
    /// What policies read: the content of files and documents, by path or URL as configured.
    pub documents: HashMap<String, Arc<[u8]>>,
    /// What policies have done for them.
    pub services: Services,
}

impl Resolved {
    /// Notes the addresses of a name, best first.
    pub fn insert(&mut self, address: Address, found: Vec<SocketAddr>) {
        self.addresses.insert(address, found);
    }

    /// Literal addresses need no look-up.
    pub fn addresses(&self, address: &Address) -> Vec<SocketAddr> {
        match address {
            Address::Socket(socket) => vec![*socket],
            Address::Name(..) => self.addresses.get(address).cloned().unwrap_or_default(),
        }
    }
}

/// Settings for serving; see the module's head.
pub struct Snapshot {
    /// Indexed by [`ListenerId`].
    pub listeners: Vec<ListenerSettings>,
    /// Indexed by [`RouteId`].
    pub routes: Vec<RouteSettings>,
    /// Indexed by [`PoolId`].
    /// Of a pool that is as it was before, the same.
    pub pools: Vec<Arc<PoolSettings>>,
    /// Indexed by [`PolicyId`]; those that have something of their own. One that is as it was before
    /// is the same, with what it has counted.
    policies: Vec<Option<Arc<dyn Policy>>>,
    /// What the policies were made of that is not in the configuration.
    documents: HashMap<String, Arc<[u8]>>,
    /// Request → route.
    pub table: Arc<Table>,
    /// See [`Materials::challenges`].
    pub(crate) challenges: HashMap<String, String>,
}

/// One listener.
pub struct ListenerSettings {
    /// As configured.
    pub config: Listener,
    /// How fast one address may make connections, if that is limited.
    pub(crate) connection_rate: Option<ConnectionRate>,
    /// Its policies, for requests that match no route too.
    pub chain: Chain,
    /// How it speaks TLS, if it does.
    pub tls: Option<Arc<ServerTls>>,
    /// The field line of its HSTS.
    pub(crate) hsts: Option<Box<[u8]>>,
    /// Where requests without TLS are sent.
    pub(crate) to_https: Option<Redirect>,
}

impl ListenerSettings {
    /// Whether a client may make one more connection now.
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        self.connection_rate.as_ref().is_none_or(|rate| rate.admits(client))
    }

    /// Whether `peer` may say who its client is.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.config.trusted_proxies.iter().any(|net| net.contains(&peer))
    }
}

/// One route.
pub struct RouteSettings {
    /// Unique among routes.
    pub name: String,
    /// What is done with its requests.
    pub action: Action,
    /// Its policies.
    pub chain: Chain,
    /// The expressions for its path that have named groups.
    pub(crate) patterns: Box<[Regex]>,
}

/// One pool.
pub struct PoolSettings {
    /// As configured.
    pub config: Pool,
    /// Its servers, in the order configured.
    pub targets: Vec<Target>,
    /// How its servers are spoken to over TLS, if they are.
    pub tls: Option<Arc<ClientTls>>,
    /// How clients are bound to its servers by a cookie, if they are.
    pub(crate) stickiness: Option<Stickiness>,
}

/// One server of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What identifies it: the address as configured.
    pub key: Box<str>,
    /// Relative share.
    pub weight: u32,
    /// See [`evenkeel_config::model::Server::priority`].
    pub priority: u32,
    /// Where to connect, best first; a name that could not be resolved has none.
    pub addresses: Arc<[SocketAddr]>,
    /// What its certificate is for: its name as configured, else its address; `None` if no
    /// certificate can be.
    pub name: Option<ServerName<'static>>,
}

impl Snapshot {
    /// Cannot fail: whatever could be wrong with the configuration was a diagnostic before.
    pub fn compile(config: &Config, resolved: &Resolved) -> Arc<Self> {
        Self::compile_after(None, config, resolved)
    }

    /// The same; what is as it was `before` is not made again.
    pub fn compile_after(
        before: Option<(&Config, &Self)>,
        config: &Config,
        resolved: &Resolved,
    ) -> Arc<Self> {
        let policies = policies(before, config, resolved);
        let policy = |id: &PolicyId| {
            let at = id.0 as usize;
            Some((config.policies.get(at)?, policies.get(at)?.as_ref()))
        };
        let chain = |ids: &[PolicyId]| Chain::compile(ids.iter().filter_map(policy));
        let listeners = config
            .listeners
            .iter()
            .map(|l| ListenerSettings {
                config: l.clone(),
                connection_rate: connection_rate(l, before.map(|(_, snapshot)| snapshot)),
                chain: chain(&l.policies),
                tls: resolved.tls.listeners.get(&l.name).cloned(),
                hsts: l.tls.as_ref().and_then(|tls| tls.hsts.as_ref()).map(hsts_line),
                to_https: l.redirect_https.as_ref().map(to_https),
            })
            .collect();
        let routes = config
            .routes
            .iter()
            .map(|r| RouteSettings {
                name: r.name.clone(),
                action: r.action.clone(),
                chain: chain(&r.policies),
                patterns: patterns(&r.matches).into(),
            })
            .collect();
        let known: HashMap<&str, &Arc<PoolSettings>> = before
            .iter()
            .flat_map(|(_, snapshot)| &snapshot.pools)
            .map(|pool| (pool.config.name.as_str(), pool))
            .collect();
        let pool = |pool: &Pool| {
            let targets = targets(pool, resolved);
            let tls = resolved.tls.pools.get(&pool.name);
            let is_same = |known: &PoolSettings| {
                known.config == *pool
                    && known.targets == targets
                    && known.tls.as_ref().map(Arc::as_ptr) == tls.map(Arc::as_ptr)
            };
            match known.get(pool.name.as_str()) {
                Some(known) if is_same(known) => Arc::clone(known),
                _ => Arc::new(PoolSettings::compile(pool, targets, tls.cloned())),
            }
        };
        let pools = config.pools.iter().map(pool).collect();
        // Routes name listeners by their place.
        let names =
            |config: &Config| config.listeners.iter().map(|l| l.name.clone()).collect::<Vec<_>>();
        let is_same = |old: &Config| names(old) == names(config) && old.routes == config.routes;
        let table = match before {
            Some((old, snapshot)) if is_same(old) => snapshot.table.clone(),
            _ => Arc::new(Table::compile(config)),
        };
        let challenges = resolved.tls.challenges.clone();
        let documents = resolved.documents.clone();
        Arc::new(Self { listeners, routes, pools, policies, documents, table, challenges })
    }

    /// What was known of a document.
    pub fn document(&self, place: &str) -> Option<&Arc<[u8]>> {
        self.documents.get(place)
    }

    /// What the caches hold: policy, bytes, answers and marks.
    pub fn caches(&self) -> impl Iterator<Item = (&str, u64, usize)> {
        self.cache_policies().map(|policy| {
            let (bytes, places) = policy.cache.usage();
            (&*policy.name, bytes, places)
        })
    }

    /// Forgets answers, of one cache or of all; how many. `None`: there is no such cache.
    pub fn purge(&self, policy: Option<&str>, what: &Purge) -> Option<usize> {
        let is = |cache: &&CachePolicy| policy.is_none_or(|name| *cache.name == *name);
        self.cache_policies()
            .filter(is)
            .map(|policy| policy.cache.purge(what))
            .reduce(usize::saturating_add)
    }

    fn cache_policies(&self) -> impl Iterator<Item = &CachePolicy> {
        self.policies.iter().flatten().filter_map(|policy| CachePolicy::of(&**policy))
    }

    /// A listener of this snapshot.
    pub fn listener(&self, id: ListenerId) -> Option<&ListenerSettings> {
        self.listeners.get(id.0 as usize)
    }

    /// A route of this snapshot.
    pub fn route(&self, id: RouteId) -> Option<&RouteSettings> {
        self.routes.get(id.0 as usize)
    }

    /// A pool of this snapshot.
    pub fn pool(&self, id: PoolId) -> Option<&PoolSettings> {
        self.pools.get(id.0 as usize).map(|pool| &**pool)
    }
}

impl PoolSettings {
    fn compile(pool: &Pool, targets: Vec<Target>, tls: Option<Arc<ClientTls>>) -> Self {
        let stickiness = match &pool.sticky {
            Some(Sticky::Cookie(cookie)) => Some(Stickiness::compile(&pool.name, cookie)),
            _ => None,
        };
        Self { targets, tls, stickiness, config: pool.clone() }
    }

    /// The `Host` that `target` sees, unless it is the client's.
    pub fn host<'s>(&'s self, target: &'s Target) -> Option<&'s str> {
        match &self.config.host {
            HostRewrite::Preserve => None,
            HostRewrite::Server => Some(&target.key),
            HostRewrite::Set(host) => Some(host),
        }
    }
}

/// A listener of the same name goes on counting.
fn connection_rate(listener: &Listener, before: Option<&Snapshot>) -> Option<ConnectionRate> {
    let rate = listener.limits.connection_rate_per_ip?;
    let same = |l: &&ListenerSettings| l.config.name == listener.name;
    let before = before.and_then(|snapshot| snapshot.listeners.iter().find(same));
    Some(ConnectionRate::compile(rate, before.and_then(|l| l.connection_rate.as_ref())))
}

/// The expressions for the path that have named groups.
fn patterns(matches: &Match) -> Vec<Regex> {
    match matches {
        Match::All(list) | Match::Any(list) => list.iter().flat_map(patterns).collect(),
        Match::Path(PathMatch::Regex(pattern))
            if pattern.0.capture_names().flatten().next().is_some() =>
        {
            vec![pattern.0.clone()]
        }
        _ => Vec::new(),
    }
}

/// RFC 6797 §6.1.
fn hsts_line(hsts: &Hsts) -> Box<[u8]> {
    let mut line = format!("strict-transport-security: max-age={}", hsts.max_age.as_secs());
    if hsts.subdomains {
        line.push_str("; includeSubDomains");
    }
    if hsts.preload {
        line.push_str("; preload");
    }
    line.push_str("\r\n");
    line.into_bytes().into()
}

/// The same host, path and query.
fn to_https(redirect: &HttpsRedirect) -> Redirect {
    let port = match redirect.port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let text = |text: &str| Part::Text(text.to_owned());
    let plain = |plain: Plain| Part::Variable(Variable::Plain(plain));
    let to = vec![
        text("https://"),
        plain(Plain::Host),
        text(&port),
        plain(Plain::Path),
        plain(Plain::Query),
    ];
    Redirect { to: Template(to), status: redirect.status }
}

/// The policies; one that is as it was before, in settings and documents, is kept.
fn policies(
    before: Option<(&Config, &Snapshot)>,
    config: &Config,
    resolved: &Resolved,
) -> Vec<Option<Arc<dyn Policy>>> {
    let mut known = HashMap::new();
    if let Some((old, snapshot)) = before {
        let pairs = old.policies.iter().zip(&snapshot.policies);
        known.extend(pairs.map(|(policy, compiled)| (policy.name.as_str(), (policy, compiled))));
    }
    let same_documents = |policy: &evenkeel_config::model::Policy| {
        let is_same = |place: &String| {
            before.is_some_and(|(_, old)| old.documents.get(place) == resolved.documents.get(place))
        };
        policy.documents().iter().all(|document| is_same(&document.place))
    };
    let policy = |policy: &evenkeel_config::model::Policy| match known.get(policy.name.as_str()) {
        Some((old, compiled)) if old.kind == policy.kind && same_documents(policy) => {
            (*compiled).clone()
        }
        Some((_, compiled)) => policy::compile(policy, resolved, compiled.as_deref()),
        None => policy::compile(policy, resolved, None),
    };
    config.policies.iter().map(policy).collect()
}

fn targets(pool: &Pool, resolved: &Resolved) -> Vec<Target> {
    let target = |server: &evenkeel_config::model::Server| Target {
        key: server.address.to_string().into(),
        weight: server.weight,
        priority: server.priority,
        addresses: resolved.addresses(&server.address).into(),
        name: match &server.address {
            Address::Socket(socket) => Some(socket.ip().into()),
            Address::Name(name, _) => ServerName::try_from(name.clone()).ok(),
        },
    };
    pool.servers.iter().map(target).collect()
}

// Workers share it, so it must hold no state.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Snapshot>();
};
