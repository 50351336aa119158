//! Looks out beyond the process: keeps checks and discovery at work on whatever is in force, and
//! passes what discovery finds on to the actor. Owns neither; decides nothing.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::Config;
use evenkeel_config::model::{Address, Probe, Server};

use super::Handle;
use super::view::Stand;
use crate::discovery::{Discovery, Found};
use crate::health::{Checks, Reader, Target};

/// How long the start, or a change with new names, waits for what discovery finds.
const FIRST_MAX: Duration = Duration::from_secs(2);

/// See the module's head.
pub(crate) struct Lookout {
    checks: Checks,
    discovery: Discovery,
    /// The addresses of servers that have names.
    names: HashMap<String, Vec<IpAddr>>,
}

/// What is found before the first request.
#[derive(Debug, Default)]
pub(crate) struct First {
    /// By pool.
    pub(crate) servers: Vec<(String, Vec<Server>)>,
    /// By name and port.
    pub(crate) addresses: Vec<(Address, Vec<SocketAddr>)>,
}

impl Lookout {
    /// Begins to look; waits for first answers, but not for long. Call it within the control plane's
    /// runtime.
    pub(crate) async fn begin(config: &Config, seed: u64) -> (Self, First) {
        let (checks, discovery) = (Checks::start(seed), Discovery::new(seed));
        let mut lookout = Self { checks, discovery, names: HashMap::new() };
        lookout.discovery.set(config);
        let mut first = First::default();
        for found in lookout.discovery.first(FIRST_MAX).await {
            match found {
                Found::Servers { pool, servers } => first.servers.push((pool, servers)),
                Found::Addresses { name, addresses } => drop(lookout.names.insert(name, addresses)),
            }
        }
        first.addresses = lookout.resolved(written(config));
        for address in written(config) {
            if let Address::Name(name, _) = address
                && !lookout.names.contains_key(name)
            {
                tracing::warn!("server `{address}` has no address yet and gets nothing until then");
            }
        }
        (lookout, first)
    }

    /// Reads what the last checks came to.
    pub(crate) fn checks(&self) -> Reader {
        self.checks.reader()
    }

    /// Follows what is in force until the process ends.
    pub(crate) async fn run(mut self, handle: Handle) {
        let mut stand = handle.follow();
        loop {
            let now = stand.borrow_and_update().clone();
            self.discovery.set(&now.config);
            self.checks.set(self.targets(&now));
            let missing = self.resolved(without_address(&now));
            if !missing.is_empty() {
                handle.resolved(missing).await;
            }
            loop {
                tokio::select! {
                    changed = stand.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    found = self.discovery.next() => {
                        let names = self.pass_on(found, &handle).await;
                        if !names.is_empty() {
                            let of_them = |address: &&Address| is_of(address, &names);
                            let found = self.resolved(written(&now.config).filter(of_them));
                            handle.resolved(found).await;
                            self.checks.set(self.targets(&now)); // those that are checked elsewhere
                        }
                    }
                }
            }
        }
    }

    /// Tells of servers; returns the names that have other addresses.
    async fn pass_on(&mut self, found: Vec<Found>, handle: &Handle) -> HashSet<String> {
        let mut names = HashSet::new();
        for found in found {
            match found {
                Found::Servers { pool, servers } => handle.discovered(&pool, servers).await,
                Found::Addresses { name, addresses } => {
                    names.insert(name.clone());
                    self.names.insert(name, addresses);
                }
            }
        }
        names
    }

    /// Names among these that have addresses.
    fn resolved<'a>(
        &self,
        addresses: impl Iterator<Item = &'a Address>,
    ) -> Vec<(Address, Vec<SocketAddr>)> {
        let named: HashSet<&Address> =
            addresses.filter(|address| matches!(address, Address::Name(..))).collect();
        let found = named.into_iter().map(|address| (address.clone(), self.sockets(address)));
        found.filter(|(_, sockets)| !sockets.is_empty()).collect()
    }

    fn sockets(&self, address: &Address) -> Vec<SocketAddr> {
        match address {
            Address::Socket(socket) => vec![*socket],
            Address::Name(name, port) => {
                let known = self.names.get(name).into_iter().flatten();
                known.map(|ip| SocketAddr::new(*ip, *port)).collect()
            }
        }
    }

    /// Everybody who is to be checked.
    fn targets(&self, stand: &Stand) -> Vec<Target> {
        let publication = &stand.publication;
        let mut targets = Vec::new();
        for (settings, servers) in publication.snapshot.pools.iter().zip(publication.servers.iter())
        {
            let Some(check) = &settings.config.health else { continue };
            let tls = match &check.probe {
                Probe::Http(probe) => probe.tls.as_ref(),
                Probe::Grpc(probe) => probe.tls.as_ref(),
                _ => None,
            };
            let keys = settings.tls.clone().filter(|_| tls == settings.config.tls.as_ref());
            let (pool, check) = (Arc::from(settings.config.name.as_str()), Arc::new(check.clone()));
            let out = settings.config.proxy_protocol.as_ref().filter(|out| out.checks);
            let header = out.map(|out| out.version);
            let members = settings.config.servers.iter().zip(&settings.targets).zip(servers);
            for ((server, target), shared) in members {
                let elsewhere = server.check.as_ref();
                let elsewhere = elsewhere.map(|address| (address.clone(), self.sockets(address)));
                let target = Target {
                    pool: Arc::clone(&pool),
                    server: target.key.clone(),
                    address: server.address.clone(),
                    addresses: target.addresses.clone(),
                    elsewhere,
                    check: check.clone(),
                    keys: keys.clone(),
                    header,
                    shared: shared.standing.clone(),
                };
                // Without an address it gets no requests either; it is not well, nor ill.
                targets.extend(target.has_address().then_some(target));
            }
        }
        targets
    }
}

fn is_of(address: &Address, names: &HashSet<String>) -> bool {
    matches!(address, Address::Name(name, _) if names.contains(name))
}

/// The addresses of names that `new` has and `old` has not, as far as they are found soon. What is
/// not found is no obstacle: its server gets nothing until it is.
pub(crate) async fn new_addresses(old: &Config, new: &Config) -> Vec<(Address, Vec<SocketAddr>)> {
    let known: HashSet<&Address> = written(old).collect();
    let is_name = |address: &&Address| matches!(address, Address::Name(..));
    let unknown: HashSet<&Address> =
        written(new).filter(is_name).filter(|address| !known.contains(address)).collect();
    if unknown.is_empty() {
        return Vec::new();
    }
    let mut discovery = Discovery::new(0);
    discovery.follow_names(&new.resolvers, unknown.iter().copied());
    let mut found = Vec::new();
    for names in discovery.first(FIRST_MAX).await {
        let Found::Addresses { name, addresses } = names else { continue };
        for address in &unknown {
            if let Address::Name(its, port) = address
                && *its == name
            {
                let sockets = addresses.iter().map(|ip| SocketAddr::new(*ip, *port));
                found.push(((*address).clone(), sockets.collect()));
            }
        }
    }
    found
}

/// The addresses of servers as they are written.
fn written(config: &Config) -> impl Iterator<Item = &Address> {
    config.pools.iter().flat_map(|pool| pool.servers.iter().map(|server| &server.address))
}

/// Addresses of servers that cannot be reached yet.
fn without_address(stand: &Stand) -> impl Iterator<Item = &Address> {
    let pools = stand.publication.snapshot.pools.iter();
    pools
        .flat_map(|pool| pool.config.servers.iter().zip(&pool.targets))
        .filter_map(|(server, target)| target.addresses.is_empty().then_some(&server.address))
}
