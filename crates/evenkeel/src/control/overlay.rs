//! What was changed at runtime, on top of the file: servers, shares, what is drained, pools and
//! routes made by the API, services that registered. Owns how a change alters it, and what it makes
//! of a pool's servers; pure. Whether the whole is a good configuration is decided in `intent`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use evenkeel_config::model::{Address, Config, Pool, Server};
use evenkeel_config::{Report, Source};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::op::{Mode, Op, Target, span};

/// Most servers of one pool that may be added at runtime: far above use, far below what hurts.
const ADDED_MAX: usize = 20_000;
/// Most pools, routes and leases made at runtime.
const MADE_MAX: usize = 20_000;

/// See the module's head. Two overlays that are equal mean the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Overlay {
    /// Pools made at runtime, as written in `pools`.
    pub(crate) pools: BTreeMap<String, Value>,
    /// Routes made at runtime, as written in `routes`.
    pub(crate) routes: BTreeMap<String, Value>,
    /// By pool.
    pub(crate) servers: BTreeMap<String, PoolChanges>,
    /// Listeners that accept nothing.
    pub(crate) closed: BTreeSet<String>,
    /// In the order they came.
    pub(crate) leases: Vec<Lease>,
}

/// What was changed about the servers of one pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PoolChanges {
    /// Those of the file do not count.
    pub(crate) replaced: bool,
    /// Beside those of the file.
    pub(crate) added: Vec<Value>,
    /// Of those of the file or found.
    pub(crate) removed: BTreeSet<String>,
    pub(crate) weights: BTreeMap<String, u32>,
    pub(crate) standing: BTreeMap<String, Wish>,
    /// Of all of them, whatever is said of one.
    pub(crate) whole: Option<Wish>,
}

/// What an operator wants of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wish {
    /// Only clients bound to it.
    Draining,
    /// Nothing.
    Disabled,
}

/// A service that registered itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) pool: String,
    /// The server's key.
    pub(crate) key: String,
    /// As written.
    pub(crate) server: Value,
    #[serde(with = "span")]
    pub(crate) ttl: Duration,
    pub(crate) owner: String,
    #[serde(default)]
    pub(crate) routes: Vec<Value>,
}

/// Why an overlay does not take a change.
#[derive(Debug)]
pub(crate) enum Objection {
    /// It names something that is not there.
    NotFound(String),
    /// It is there, but cannot be changed so.
    Impossible(String),
    /// What it says is no server.
    Invalid(Report),
}

/// What an overlay lies on.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'g> {
    /// The file's.
    pub(crate) file: &'g Config,
    /// By pool.
    pub(crate) discovered: &'g BTreeMap<String, Vec<Server>>,
}

impl Ground<'_> {
    fn pool(&self, name: &str) -> Option<&Pool> {
        self.file.pools.iter().find(|pool| pool.name == name)
    }

    /// Servers of the file, then those found that it does not have.
    fn servers(&self, pool: &str, made: Option<&Value>) -> Vec<Server> {
        let mut servers = match (self.pool(pool), made.and_then(|spec| spec.get("servers"))) {
            (Some(pool), _) => pool.servers.clone(),
            (None, Some(spec)) => read(spec).unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        let found = self.discovered.get(pool).into_iter().flatten();
        let mut taken: HashSet<Address> = servers.iter().map(|s| s.address.clone()).collect();
        servers.extend(found.filter(|server| taken.insert(server.address.clone())).cloned());
        servers
    }
}

/// What identifies a server in its pool.
pub(crate) fn key(server: &Server) -> String {
    server.address.to_string()
}

/// Servers as written: one, or a list.
pub(crate) fn read(spec: &Value) -> Result<Vec<Server>, Report> {
    evenkeel_config::servers(&Source::json("request", spec))
}

impl Overlay {
    /// Makes one change; an objection leaves it half made: work on a copy.
    pub(crate) fn apply(&mut self, op: &Op, ground: Ground<'_>) -> Result<(), Objection> {
        match op {
            Op::AddServers { pool, servers } => {
                self.know_pool(pool, ground)?;
                self.add(pool, servers, ground)
            }
            Op::ReplaceServers { pool, servers } => self.replace(pool, servers, ground),
            Op::RemoveServer { pool, server } => self.remove(pool, server, ground),
            Op::Weight { pool, server, weight } => {
                self.know_server(pool, server, ground)?;
                if *weight > 1000 {
                    return Err(Objection::Impossible("a weight is between 0 and 1000".into()));
                }
                self.of(pool).weights.insert(server.clone(), *weight);
                Ok(())
            }
            Op::Drain { target, mode, .. } => match mode {
                Mode::Graceful => self.wish(target, Some(Wish::Draining), ground),
                Mode::Immediate | Mode::Forced => self.wish(target, Some(Wish::Disabled), ground),
            },
            Op::Disable { target } => self.wish(target, Some(Wish::Disabled), ground),
            Op::Enable { target } => self.wish(target, None, ground),
            Op::PutPool { name, spec } => self.put_pool(name, spec, ground),
            Op::PutRoute { name, spec } => self.put_route(name, spec, ground),
            Op::RemovePool { name } => {
                let is_ours = self.pools.remove(name).is_some();
                self.servers.remove(name);
                made(is_ours, "pool", name, ground.pool(name).is_some())
            }
            Op::RemoveRoute { name } => {
                let in_file = ground.file.routes.iter().any(|route| route.name == *name);
                made(self.routes.remove(name).is_some(), "route", name, in_file)
            }
            Op::Forget { pool, server } => {
                self.forget(pool, server.as_deref());
                Ok(())
            }
            Op::Register { pool, server, ttl, owner, routes } => {
                self.register(pool, server, *ttl, owner, routes, ground)
            }
            Op::Deregister { pool, server, owner } => self.deregister(pool, server, owner),
        }
    }

    fn of(&mut self, pool: &str) -> &mut PoolChanges {
        self.servers.entry(pool.to_owned()).or_default()
    }

    /// Whether there is such a pool: of the file, made at runtime, or made by a registration.
    fn know_pool(&self, pool: &str, ground: Ground<'_>) -> Result<(), Objection> {
        let is_leased = || self.leases.iter().any(|lease| lease.pool == pool);
        match ground.pool(pool).is_some() || self.pools.contains_key(pool) || is_leased() {
            true => Ok(()),
            false => Err(Objection::NotFound(format!("there is no pool `{pool}`"))),
        }
    }

    fn know_server(&self, pool: &str, server: &str, ground: Ground<'_>) -> Result<(), Objection> {
        self.know_pool(pool, ground)?;
        match self.servers_of(pool, ground).iter().any(|known| key(known) == server) {
            true => Ok(()),
            false => Err(Objection::NotFound(format!("pool `{pool}` has no server `{server}`"))),
        }
    }

    /// The servers of a pool with all changes.
    pub(crate) fn servers_of(&self, pool: &str, ground: Ground<'_>) -> Vec<Server> {
        let none = PoolChanges::default();
        let changes = self.servers.get(pool).unwrap_or(&none);
        let mut servers = match changes.replaced {
            true => Vec::new(),
            false => ground.servers(pool, self.pools.get(pool)),
        };
        servers.retain(|server| !changes.removed.contains(&key(server)));
        let leased = self.leases.iter().filter(|lease| lease.pool == pool);
        let more = changes.added.iter().chain(leased.map(|lease| &lease.server)).cloned();
        let more = Value::Array(more.collect());
        let mut taken: HashSet<Address> = servers.iter().map(|s| s.address.clone()).collect();
        let more = read(&more).unwrap_or_default(); // each was read before it was taken
        servers.extend(more.into_iter().filter(|server| taken.insert(server.address.clone())));
        for server in &mut servers {
            if let Some(weight) = changes.weights.get(&key(server)) {
                server.weight = *weight;
            }
        }
        servers
    }

    fn add(&mut self, pool: &str, specs: &[Value], ground: Ground<'_>) -> Result<(), Objection> {
        let known = self.servers_of(pool, ground);
        let mut known: BTreeMap<String, Server> = known.into_iter().map(|s| (key(&s), s)).collect();
        let hidden = ground.servers(pool, self.pools.get(pool));
        let changes = self.of(pool);
        for spec in specs {
            for server in read(spec).map_err(Objection::Invalid)? {
                let name = key(&server);
                match known.get(&name) {
                    Some(known) if *known == server => continue,
                    Some(_) => {
                        let message = format!(
                            "pool `{pool}` has server `{name}` with other settings: remove it first"
                        );
                        return Err(Objection::Impossible(message));
                    }
                    None => {}
                }
                known.insert(name.clone(), server.clone());
                let as_in_file = !changes.replaced && hidden.contains(&server);
                if as_in_file && changes.removed.remove(&name) {
                    continue;
                }
                if changes.added.len() >= ADDED_MAX {
                    let message = format!("pool `{pool}` has {ADDED_MAX} servers added at runtime");
                    return Err(Objection::Impossible(message));
                }
                changes.added.push(single(spec, &server));
            }
        }
        self.tidy(pool);
        Ok(())
    }

    fn replace(
        &mut self,
        pool: &str,
        specs: &[Value],
        ground: Ground<'_>,
    ) -> Result<(), Objection> {
        self.know_pool(pool, ground)?;
        let old = self.servers.remove(pool).unwrap_or_default();
        self.of(pool).replaced = true;
        self.add(pool, specs, ground)?;
        let keys: BTreeSet<String> = self.servers_of(pool, ground).iter().map(key).collect();
        let changes = self.of(pool);
        changes.standing = old.standing.into_iter().filter(|(k, _)| keys.contains(k)).collect();
        changes.whole = old.whole;
        Ok(())
    }

    fn remove(&mut self, pool: &str, server: &str, ground: Ground<'_>) -> Result<(), Objection> {
        self.know_server(pool, server, ground)?;
        self.leases.retain(|lease| lease.pool != pool || lease.key != server);
        let made = self.pools.get(pool).cloned();
        let changes = self.of(pool);
        changes.added.retain(|spec| !is(spec, server));
        changes.weights.remove(server);
        changes.standing.remove(server);
        if !changes.replaced && ground.servers(pool, made.as_ref()).iter().any(|s| key(s) == server)
        {
            changes.removed.insert(server.to_owned());
        }
        self.tidy(pool);
        Ok(())
    }

    fn wish(
        &mut self,
        target: &Target,
        wish: Option<Wish>,
        ground: Ground<'_>,
    ) -> Result<(), Objection> {
        match target {
            Target::Server { pool, server } => {
                self.know_server(pool, server, ground)?;
                match wish {
                    Some(wish) => self.of(pool).standing.insert(server.clone(), wish),
                    None => self.of(pool).standing.remove(server),
                };
                self.tidy(pool);
            }
            Target::Pool(pool) => {
                self.know_pool(pool, ground)?;
                self.of(pool).whole = wish;
                self.tidy(pool);
            }
            Target::Listener(name) => {
                if !ground.file.listeners.iter().any(|listener| listener.name == *name) {
                    let message = format!("there is no listener `{name}`");
                    return Err(Objection::NotFound(message));
                }
                match wish {
                    Some(_) => self.closed.insert(name.clone()),
                    None => self.closed.remove(name),
                };
            }
            Target::Process => {
                let message = "the process can be drained, alone in its request, and nothing else";
                return Err(Objection::Impossible(message.into()));
            }
        }
        Ok(())
    }

    fn put_pool(&mut self, name: &str, spec: &Value, ground: Ground<'_>) -> Result<(), Objection> {
        if ground.pool(name).is_some() {
            return Err(in_file("pool", name));
        }
        bounded(self.pools.len(), "pools")?;
        self.pools.insert(name.to_owned(), spec.clone());
        Ok(())
    }

    fn put_route(&mut self, name: &str, spec: &Value, ground: Ground<'_>) -> Result<(), Objection> {
        if ground.file.routes.iter().any(|route| route.name == name) {
            return Err(in_file("route", name));
        }
        let Value::Object(fields) = spec else {
            return Err(Objection::Impossible("a route is a map of options".into()));
        };
        bounded(self.routes.len(), "routes")?;
        let mut fields = fields.clone();
        fields.insert("name".into(), name.into());
        self.routes.insert(name.to_owned(), Value::Object(fields));
        Ok(())
    }

    fn forget(&mut self, pool: &str, server: Option<&str>) {
        let Some(server) = server else {
            self.servers.remove(pool);
            return;
        };
        if let Some(changes) = self.servers.get_mut(pool) {
            changes.added.retain(|spec| !is(spec, server));
            changes.removed.remove(server);
            changes.weights.remove(server);
            changes.standing.remove(server);
        }
        self.tidy(pool);
    }

    fn register(
        &mut self,
        pool: &str,
        spec: &Value,
        ttl: Duration,
        owner: &str,
        routes: &[Value],
        ground: Ground<'_>,
    ) -> Result<(), Objection> {
        let [server] = read(spec)
            .map_err(Objection::Invalid)?
            .try_into()
            .map_err(|_| Objection::Impossible("one server registers at a time".into()))?;
        let server: Server = server;
        let key = key(&server);
        let lease = Lease {
            pool: pool.into(),
            key: key.clone(),
            server: spec.clone(),
            ttl,
            owner: owner.into(),
            routes: routes.to_vec(),
        };
        let known = self.leases.iter_mut().find(|known| known.pool == pool && known.key == key);
        match known {
            Some(known) if known.owner == owner => *known = lease,
            Some(known) => {
                let owner = &known.owner;
                let message =
                    format!("server `{key}` of pool `{pool}` was registered by `{owner}`");
                return Err(Objection::Impossible(message));
            }
            None => {
                let servers = self.servers_of(pool, ground);
                if servers.iter().any(|known| self::key(known) == key) {
                    let message = format!("pool `{pool}` has server `{key}` already");
                    return Err(Objection::Impossible(message));
                }
                bounded(self.leases.len(), "registrations")?;
                self.leases.push(lease);
            }
        }
        Ok(())
    }

    fn deregister(&mut self, pool: &str, server: &str, owner: &str) -> Result<(), Objection> {
        let is = |lease: &Lease| lease.pool == pool && lease.key == server && lease.owner == owner;
        let before = self.leases.len();
        self.leases.retain(|lease| !is(lease));
        match self.leases.len() < before {
            true => Ok(()),
            false => {
                let message = format!("`{owner}` has not registered `{server}` in pool `{pool}`");
                Err(Objection::NotFound(message))
            }
        }
    }

    /// What an operator wants of a server; of two wishes the stricter.
    pub(crate) fn wish_for(&self, pool: &str, server: &str) -> Option<Wish> {
        let changes = self.servers.get(pool)?;
        changes.whole.max(changes.standing.get(server).copied())
    }

    /// Nothing is kept of a pool about which nothing is said.
    fn tidy(&mut self, pool: &str) {
        if self.servers.get(pool).is_some_and(|changes| *changes == PoolChanges::default()) {
            self.servers.remove(pool);
        }
    }
}

/// The server of that key alone, as written.
fn single(spec: &Value, server: &Server) -> Value {
    match spec {
        Value::Array(all) => {
            let of = |spec: &&Value| is(spec, &key(server));
            all.iter().find(of).cloned().unwrap_or_else(|| key(server).into())
        }
        one => one.clone(),
    }
}

fn is(spec: &Value, server: &str) -> bool {
    read(spec).is_ok_and(|servers| servers.iter().any(|known| key(known) == server))
}

fn made(is_ours: bool, what: &str, name: &str, in_the_file: bool) -> Result<(), Objection> {
    match (is_ours, in_the_file) {
        (true, _) => Ok(()),
        (false, true) => Err(in_file(what, name)),
        (false, false) => Err(Objection::NotFound(format!("there is no {what} `{name}`"))),
    }
}

fn in_file(what: &str, name: &str) -> Objection {
    Objection::Impossible(format!(
        "{what} `{name}` is in the configuration file: change it there and reload"
    ))
}

fn bounded(count: usize, what: &str) -> Result<(), Objection> {
    match count < MADE_MAX {
        true => Ok(()),
        false => Err(Objection::Impossible(format!("{MADE_MAX} {what} were made at runtime"))),
    }
}
