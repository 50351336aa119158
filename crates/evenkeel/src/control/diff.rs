//! What differs between two configurations, in words and in names. Pure; what is done about it is
//! the actor's business.

use std::collections::{BTreeMap, HashMap};

use evenkeel_config::Config;
use evenkeel_config::model::{
    Action, Listener, ListenerId, ListenerKind, Match, Policy, PolicyId, Pool, PoolId, Route,
    Server,
};

/// Longest list of one kind of change; the rest is counted.
const NAMES_MAX: usize = 20;

/// Names of what came, went, or is not as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) changed: Vec<String>,
}

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) listeners: Names,
    pub(crate) routes: Names,
    pub(crate) pools: Names,
    /// By pool, of pools that are in both.
    pub(crate) servers: BTreeMap<String, Names>,
    /// What became of servers that are in both.
    pub(crate) details: Vec<String>,
    pub(crate) policies: Names,
    /// `shutdown`, `admin`, `watch`: what is changed at once.
    pub(crate) settings: Vec<&'static str>,
    /// What only a restart changes.
    pub(crate) restart: Vec<&'static str>,
}

/// From `old` to `new`.
pub(crate) fn difference(old: &Config, new: &Config) -> Difference {
    let ids = Ids { old, new };
    let mut difference = Difference {
        listeners: names(&old.listeners, &new.listeners, |l| &l.name, |a, b| ids.listener(a, b)),
        routes: names(&old.routes, &new.routes, |r| &r.name, |a, b| ids.route(a, b)),
        pools: names(&old.pools, &new.pools, |p| &p.name, same_pool),
        policies: names(&old.policies, &new.policies, |p| &p.name, |a, b| a.kind == b.kind),
        ..Difference::default()
    };
    let known: HashMap<&str, &Pool> = old.pools.iter().map(|p| (p.name.as_str(), p)).collect();
    for pool in &new.pools {
        let Some(before) = known.get(pool.name.as_str()) else { continue };
        if before.servers != pool.servers {
            let name = |server: &Server| server.address.to_string();
            let servers = names_by(&before.servers, &pool.servers, name, |a, b| a == b);
            difference.details.extend(details(before, pool, &servers.changed));
            difference.servers.insert(pool.name.clone(), servers);
        }
    }
    let settings = [
        ("shutdown", old.shutdown != new.shutdown),
        ("watch", old.watch != new.watch),
        ("admin", old.admin != new.admin),
        ("acme", old.acme != new.acme),
    ];
    difference.settings = settings.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    if old.workers != new.workers {
        difference.restart.push("workers");
    }
    difference
}

/// What was meant by changing these servers.
fn details(old: &Pool, new: &Pool, changed: &[String]) -> Vec<String> {
    let find = |pool: &Pool, name: &String| {
        pool.servers.iter().find(|server| server.address.to_string() == *name).cloned()
    };
    let detail = |name: &String| {
        let (old, new) = (find(old, name)?, find(new, name)?);
        let mut words = Vec::new();
        if old.weight != new.weight {
            words.push(format!("weight {} → {}", old.weight, new.weight));
        }
        if old.priority != new.priority {
            words.push(format!("priority {} → {}", old.priority, new.priority));
        }
        if old.check != new.check {
            words.push("checked elsewhere".to_owned());
        }
        Some(format!("`{name}`: {}", words.join(", "))).filter(|_| !words.is_empty())
    };
    changed.iter().take(NAMES_MAX).filter_map(detail).collect()
}

fn same_pool(old: &Pool, new: &Pool) -> bool {
    match old.servers == new.servers {
        true => old == new,
        false => *old == Pool { servers: old.servers.clone(), ..new.clone() },
    }
}

fn names<T>(
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &String,
    same: impl Fn(&T, &T) -> bool,
) -> Names {
    names_by(old, new, |item| name(item).clone(), same)
}

fn names_by<T>(
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> String,
    same: impl Fn(&T, &T) -> bool,
) -> Names {
    let mut before: HashMap<String, &T> = old.iter().map(|item| (name(item), item)).collect();
    let mut names = Names::default();
    for item in new {
        let called = name(item);
        match before.remove(&called) {
            None => names.added.push(called),
            Some(was) if !same(was, item) => names.changed.push(called),
            Some(_) => {}
        }
    }
    names.removed = old.iter().map(&name).filter(|called| before.contains_key(called)).collect();
    names
}

/// Ids are places in lists that may have changed: what they stand for is compared.
struct Ids<'c> {
    old: &'c Config,
    new: &'c Config,
}

impl Ids<'_> {
    fn policies(&self, old: &[PolicyId], new: &[PolicyId]) -> bool {
        fn of(config: &Config, id: PolicyId) -> Option<&Policy> {
            config.policies.get(id.0 as usize)
        }
        old.len() == new.len()
            && old.iter().zip(new).all(|(a, b)| {
                let (a, b) = (of(self.old, *a), of(self.new, *b));
                a.map(|policy| &policy.name) == b.map(|policy| &policy.name)
            })
    }

    fn pool(&self, old: PoolId, new: PoolId) -> bool {
        self.old.pools.get(old.0 as usize).map(|p| &p.name)
            == self.new.pools.get(new.0 as usize).map(|p| &p.name)
    }

    fn listener_id(&self, old: ListenerId, new: ListenerId) -> bool {
        self.old.listeners.get(old.0 as usize).map(|l| &l.name)
            == self.new.listeners.get(new.0 as usize).map(|l| &l.name)
    }

    fn listener(&self, old: &Listener, new: &Listener) -> bool {
        self.policies(&old.policies, &new.policies)
            && self.kind(&old.kind, &new.kind)
            && *old
                == Listener {
                    policies: old.policies.clone(),
                    kind: old.kind.clone(),
                    ..new.clone()
                }
    }

    fn kind(&self, old: &ListenerKind, new: &ListenerKind) -> bool {
        let (from, to) = (old.pools(), new.pools());
        let first = |_: PoolId| PoolId(0);
        from.len() == to.len()
            && from.iter().zip(&to).all(|(a, b)| self.pool(*a, *b))
            && old.clone().with_pools(first) == new.clone().with_pools(first)
    }

    fn route(&self, old: &Route, new: &Route) -> bool {
        self.policies(&old.policies, &new.policies)
            && self.action(&old.action, &new.action)
            && self.matches(&old.matches, &new.matches)
    }

    fn action(&self, old: &Action, new: &Action) -> bool {
        match (old, new) {
            (Action::Pool(old), Action::Pool(new)) => self.pool(*old, *new),
            (Action::Split(old), Action::Split(new)) => {
                let mut pairs = old.iter().zip(new);
                old.len() == new.len() && pairs.all(|(a, b)| self.pool(a.0, b.0) && a.1 == b.1)
            }
            (old, new) => old == new,
        }
    }

    fn matches(&self, old: &Match, new: &Match) -> bool {
        let all = |old: &[Match], new: &[Match]| {
            old.len() == new.len() && old.iter().zip(new).all(|(a, b)| self.matches(a, b))
        };
        match (old, new) {
            (Match::All(old), Match::All(new)) | (Match::Any(old), Match::Any(new)) => {
                all(old, new)
            }
            (Match::Not(old), Match::Not(new)) => self.matches(old, new),
            (Match::Listener(old), Match::Listener(new)) => self.listener_id(*old, *new),
            (old, new) => old == new,
        }
    }
}

impl Names {
    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn tell(&self, what: &str, lines: &mut Vec<String>) {
        let words =
            [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)];
        for (word, names) in words.into_iter().filter(|(_, names)| !names.is_empty()) {
            let shown: Vec<String> =
                names.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
            let more = match names.len().saturating_sub(NAMES_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let plural = if names.len() == 1 { "" } else { "s" };
            lines.push(format!("{what}{plural} {word}: {}{more}", shown.join(", ")));
        }
    }
}

impl Difference {
    /// Nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One sentence for each kind of change.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.listeners.tell("listener", &mut lines);
        self.routes.tell("route", &mut lines);
        self.pools.tell("pool", &mut lines);
        for (pool, servers) in &self.servers {
            match servers.is_empty() {
                true => lines.push(format!("order of the servers of pool `{pool}` changed")),
                false => {
                    let mut of = Vec::new();
                    servers.tell("server", &mut of);
                    lines.extend(of.into_iter().map(|line| format!("pool `{pool}`: {line}")));
                }
            }
        }
        lines.extend(self.details.iter().cloned());
        let mut of = Vec::new();
        self.policies.tell("policy", &mut of);
        lines.extend(of.into_iter().map(|line| line.replace("policys", "policies")));
        lines.extend(self.settings.iter().map(|name| format!("`{name}` changed")));
        let later =
            |name: &&str| format!("`{name}` changed: only a restart or an upgrade applies it");
        lines.extend(self.restart.iter().map(later));
        lines
    }
}
