//! From what is wanted (the file, what was changed at runtime, what discovery found, the command
//! line) to the one configuration that serves. Pure. What was changed at runtime and does not fit
//! the file (any more) is left out and told of, never an obstacle to a file that is right by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use evenkeel_config::model::{
    AccessLog, LogFormat, LogTarget, Policy, PolicyId, PolicyKind, Server,
};
use evenkeel_config::{Config, Loaded, Report, Severity, Source};
use serde::Serialize;
use serde_json::{Value, json};

use super::overlay::{Ground, Overlay, PoolChanges, key};

/// What the command line says beside the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandLine {
    pub(crate) workers: Option<NonZeroU32>,
    pub(crate) access_log: Option<LogFormat>,
}

/// Everything that is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'i> {
    /// The file's texts, which are right by themselves.
    pub(crate) sources: &'i [Source],
    /// What they say.
    pub(crate) file: &'i Arc<Config>,
    pub(crate) overlay: &'i Overlay,
    /// By pool.
    pub(crate) discovered: &'i BTreeMap<String, Vec<Server>>,
    pub(crate) command_line: &'i CommandLine,
}

/// What that comes to.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) config: Config,
    /// What of the overlay does not apply.
    pub(crate) inert: Vec<Inert>,
}

/// A change at runtime that does not apply at the moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Inert {
    pub(crate) what: String,
    pub(crate) why: String,
}

/// Reads the file's texts.
pub(crate) fn load(sources: &[Source]) -> Result<Loaded, Report> {
    evenkeel_config::load(sources, &|name| std::env::var(name).ok())
}

/// See the module's head. `seen` keeps what does not change with servers alone.
pub(crate) fn intend(inputs: Inputs<'_>, seen: &mut Seen) -> Intent {
    let ground = Ground { file: inputs.file, discovered: inputs.discovered };
    let made = made(inputs.overlay, inputs.file);
    let (mut config, mut inert) = seen.with(inputs, made.0);
    inert.extend(made.1);
    let touched = touched(inputs);
    for pool in config.pools.iter_mut().filter(|pool| touched.contains(pool.name.as_str())) {
        pool.servers = inputs.overlay.servers_of(&pool.name, ground);
    }
    for (pool, changes) in &inputs.overlay.servers {
        idle(pool, changes, &config, ground, inputs.overlay, &mut inert);
    }
    for name in &inputs.overlay.closed {
        if !config.listeners.iter().any(|listener| listener.name == *name) {
            let (what, why) = (format!("listener `{name}` is drained"), "there is none".into());
            inert.push(Inert { what, why });
        }
    }
    add_command_line(&mut config, inputs.command_line);
    Intent { config, inert }
}

/// Pools whose servers are not those of the file.
fn touched(inputs: Inputs<'_>) -> BTreeSet<&str> {
    let overlay = inputs.overlay;
    let leased = overlay.leases.iter().map(|lease| &lease.pool);
    let all = overlay.servers.keys().chain(leased).chain(inputs.discovered.keys());
    all.map(String::as_str).collect()
}

/// A pool or a route made at runtime, as a text of its own, so that a mistake names it.
struct Made {
    what: String,
    source: Source,
}

fn made(overlay: &Overlay, file: &Config) -> (Vec<Made>, Vec<Inert>) {
    let mut all = Vec::new();
    let mut inert = Vec::new();
    let pools: BTreeSet<&str> = file.pools.iter().map(|pool| pool.name.as_str()).collect();
    let routes: BTreeSet<&str> = file.routes.iter().map(|route| route.name.as_str()).collect();
    let shadowed = |what: String| Inert { what, why: "the file has one of that name".into() };
    for (name, spec) in &overlay.pools {
        match pools.contains(name.as_str()) {
            true => inert.push(shadowed(format!("pool `{name}`"))),
            false => all.push(pool(name, spec)),
        }
    }
    let mut leased: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for lease in &overlay.leases {
        let routes = leased.entry(&lease.pool).or_default();
        for route in &lease.routes {
            if !routes.contains(&route) {
                routes.push(route);
            }
        }
    }
    for (name, routes) in leased {
        if !pools.contains(name) && !overlay.pools.contains_key(name) {
            all.push(pool(name, &json!({ "servers": [] })));
        }
        for (at, spec) in routes.into_iter().enumerate() {
            all.push(leased_route(name, at, spec));
        }
    }
    for (name, spec) in &overlay.routes {
        match routes.contains(name.as_str()) {
            true => inert.push(shadowed(format!("route `{name}`"))),
            false => all.push(route(name, spec.clone())),
        }
    }
    (all, inert)
}

fn pool(name: &str, options: &Value) -> Made {
    let what = format!("pool `{name}`");
    Made { source: Source::json(&what, &json!({ "pools": { name: options } })), what }
}

fn route(name: &str, options: Value) -> Made {
    let what = format!("route `{name}`");
    Made { source: Source::json(&what, &json!({ "routes": [options] })), what }
}

/// A route that a service registered goes to its own pool.
fn leased_route(pool: &str, at: usize, spec: &Value) -> Made {
    let name = match spec.get("name").and_then(Value::as_str) {
        Some(name) => format!("{pool}/{name}"),
        None => format!("{pool}/{}", at + 1),
    };
    let mut spec = spec.clone();
    if let Value::Object(fields) = &mut spec {
        fields.insert("name".into(), name.clone().into());
        fields.insert("to".into(), pool.into());
    }
    route(&name, spec)
}

/// The last reading of the file together with what was made at runtime: reading 10,000 routes for
/// another weight would be a waste.
#[derive(Default)]
pub(crate) struct Seen {
    of: Option<(Arc<Config>, Vec<String>)>,
    config: Option<Arc<Config>>,
    inert: Vec<Inert>,
}

impl Seen {
    fn with(&mut self, inputs: Inputs<'_>, made: Vec<Made>) -> (Config, Vec<Inert>) {
        let texts: Vec<String> = made.iter().map(|made| made.source.text.clone()).collect();
        let is_known = |(file, known): &(Arc<Config>, Vec<String>)| {
            Arc::ptr_eq(file, inputs.file) && *known == texts
        };
        if !self.of.as_ref().is_some_and(is_known) {
            let (config, inert) = read_together(inputs, made);
            self.config = Some(config);
            self.inert = inert;
            self.of = Some((inputs.file.clone(), texts));
        }
        let config = self.config.as_ref().unwrap_or(inputs.file);
        (Config::clone(config), self.inert.clone())
    }
}

/// Leaves out whatever is blamed for a mistake until there is none.
fn read_together(inputs: Inputs<'_>, mut made: Vec<Made>) -> (Arc<Config>, Vec<Inert>) {
    let mut inert = Vec::new();
    let own = inputs.sources.len();
    while !made.is_empty() {
        let mut sources = inputs.sources.to_vec();
        sources.extend(made.iter().map(|made| made.source.clone()));
        let report = match load(&sources) {
            Ok(loaded) => return (Arc::new(loaded.config), inert),
            Err(report) => report,
        };
        let mut blamed: BTreeMap<usize, String> = BTreeMap::new();
        for mistake in report.diagnostics.iter().filter(|d| d.severity == Severity::Error) {
            let related = mistake.related.iter().map(|(span, _)| span);
            let spans = mistake.span.iter().chain(related);
            let last = spans.filter_map(|span| (span.source as usize).checked_sub(own)).max();
            if let Some(at) = last {
                blamed.entry(at).or_insert_with(|| mistake.message.clone());
            }
        }
        if blamed.is_empty() {
            // A mistake of the whole: nothing made at runtime can be kept.
            let why = report.compact();
            inert.extend(made.drain(..).map(|made| Inert { what: made.what, why: why.clone() }));
        }
        for (at, why) in blamed.into_iter().rev() {
            if at < made.len() {
                inert.push(Inert { what: made.remove(at).what, why });
            }
        }
    }
    (inputs.file.clone(), inert)
}

/// Notes what of a pool's changes is about servers that are not there.
fn idle(
    pool: &str,
    changes: &PoolChanges,
    config: &Config,
    ground: Ground<'_>,
    overlay: &Overlay,
    inert: &mut Vec<Inert>,
) {
    let mut note = |what: String, why: &str| inert.push(Inert { what, why: why.into() });
    if !config.pools.iter().any(|known| known.name == pool) {
        return note(format!("changes of the servers of pool `{pool}`"), "there is no such pool");
    }
    let present: BTreeSet<String> = overlay.servers_of(pool, ground).iter().map(key).collect();
    for server in changes.weights.keys().chain(changes.standing.keys()) {
        if !present.contains(server) {
            note(format!("changes of server `{server}` of pool `{pool}`"), "it is not there");
        }
    }
    let mut bare = overlay.clone();
    bare.servers.remove(pool);
    if changes.removed.is_empty() {
        return;
    }
    let without: BTreeSet<String> = bare.servers_of(pool, ground).iter().map(key).collect();
    for server in changes.removed.iter().filter(|server| !without.contains(*server)) {
        note(format!("removal of server `{server}` of pool `{pool}`"), "it is not there");
    }
}

fn add_command_line(config: &mut Config, line: &CommandLine) {
    if line.workers.is_some() {
        config.workers = line.workers;
    }
    if let Some(format) = line.access_log {
        add_access_log(config, format);
    }
}

/// Gives every listener that has no access log one on standard output.
fn add_access_log(config: &mut Config, format: LogFormat) {
    let is_log = |policy: &Policy| matches!(policy.kind, PolicyKind::AccessLog(_));
    let logs: Vec<bool> = config.policies.iter().map(is_log).collect();
    let added = PolicyId(u32::try_from(config.policies.len()).unwrap_or(u32::MAX));
    let kind = PolicyKind::AccessLog(AccessLog { format, to: LogTarget::Stdout, sample: 1.0 });
    config.policies.push(Policy { name: "--access-log".into(), kind });
    for listener in &mut config.listeners {
        let is_logged = |id: &PolicyId| logs.get(id.0 as usize).copied().unwrap_or(false);
        if !listener.policies.iter().any(is_logged) {
            listener.policies.push(added);
        }
    }
}

/// What operators want of servers, by pool and server.
pub(crate) type Wishes = HashMap<(String, Box<str>), super::overlay::Wish>;

/// What operators want of the servers of this configuration.
pub(crate) fn wishes(config: &Config, overlay: &Overlay) -> Wishes {
    let mut wishes = Wishes::new();
    for pool in config.pools.iter().filter(|pool| overlay.servers.contains_key(&pool.name)) {
        for server in &pool.servers {
            let key = key(server);
            if let Some(wish) = overlay.wish_for(&pool.name, &key) {
                wishes.insert((pool.name.clone(), key.into()), wish);
            }
        }
    }
    wishes
}
