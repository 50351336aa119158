//! Servers and addresses found by DNS: a name's addresses (A, AAAA), or the targets of its service
//! records (SRV) with their weights and priorities.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::model::{Address, DnsSource, Server};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::addresses::Addresses;
use super::resolver::{Asker, Found, Nothing, Resolver, Service};
use super::source::{Look, Looking, Source};

/// Servers taken of one name.
const SERVERS_MAX: usize = 1000;
/// Targets of one name looked up at a time.
const TARGETS_AT_A_TIME: usize = 16;
/// The largest weight of a server.
const WEIGHT_MAX: u32 = 1000;
/// The least and the most time between two look-ups of a server's name.
const NAMES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The servers of a pool.
pub(super) struct Dns {
    settings: DnsSource,
    resolver: Resolver,
    turns: Arc<Semaphore>,
    /// By target; with a port, of the name itself.
    known: HashMap<String, Addresses>,
    told_too_many: bool,
}

impl Dns {
    pub(super) fn new(settings: &DnsSource, turns: Arc<Semaphore>) -> Self {
        Self {
            settings: settings.clone(),
            resolver: Resolver::asking(&settings.resolvers),
            turns,
            known: HashMap::new(),
            told_too_many: false,
        }
    }

    async fn servers(&mut self) -> Result<Look<Server>, Nothing> {
        let _turn = self.turns.clone().acquire_owned().await;
        let asker = self.resolver.ready()?;
        let mut look = match self.settings.port {
            Some(port) => self.by_port(&asker, port).await?,
            None => self.by_service(&asker).await?,
        };
        look.found.sort_by_key(|server| (server.priority, socket(server)));
        look.found.dedup_by_key(|server| socket(server));
        let count = look.found.len();
        if count > SERVERS_MAX {
            look.found.truncate(SERVERS_MAX);
            if !std::mem::replace(&mut self.told_too_many, true) {
                let name = self.name();
                tracing::warn!("{name}: of {count} servers the first {SERVERS_MAX} are taken");
            }
        }
        Ok(look)
    }

    async fn by_port(&mut self, asker: &Asker, port: u16) -> Result<Look<Server>, Nothing> {
        let answer = asker.addresses(&self.settings.name).await;
        let known = self.known.entry(self.settings.name.clone()).or_default();
        let ttl = known.take(answer).map_err(Nothing::NoAnswer)?;
        let server = |ip| server(SocketAddr::new(ip, port), 1, 0);
        Ok(Look { found: known.all().map(server).collect(), ttl })
    }

    async fn by_service(&mut self, asker: &Asker) -> Result<Look<Server>, Nothing> {
        let Found { records, mut ttl } = asker.services(&self.settings.name).await?;
        let names: Vec<&String> = records.iter().map(|service| &service.target).collect();
        self.known.retain(|name, _| names.contains(&name));
        let mut failed = None;
        for (name, answer) in look_up_all(asker, &records).await {
            let known = self.known.entry(name.clone()).or_default();
            match known.take(answer) {
                Ok(until) => ttl = ttl.min(until),
                Err(why) => failed = Some(Nothing::NoAnswer(format!("`{name}`: {why}"))),
            }
        }
        let most = records.iter().map(|service| service.weight).max().unwrap_or(0);
        let mut found = Vec::new();
        for service in &records {
            let addresses = self.known.get(&service.target).into_iter().flat_map(Addresses::all);
            let weight = weight(service.weight, most);
            let at = |ip| SocketAddr::new(ip, service.port);
            found.extend(addresses.map(|ip| server(at(ip), weight, service.priority.into())));
        }
        match failed {
            Some(failed) if found.is_empty() => Err(failed),
            _ => Ok(Look { found, ttl }),
        }
    }
}

impl Source for Dns {
    type Item = Server;

    fn name(&self) -> String {
        match self.settings.port {
            Some(_) => format!("dns `{}`", self.settings.name),
            None => format!("dns `{}` (SRV)", self.settings.name),
        }
    }

    fn pace(&self) -> (Duration, Duration) {
        (self.settings.refresh_min, self.settings.refresh_max)
    }

    fn look(&mut self) -> Looking<'_, Server> {
        Box::pin(async move {
            let looked = self.servers().await;
            looked.map_err(|nothing| complain(nothing, &mut self.resolver))
        })
    }
}

/// The addresses of one server that has a name in the file.
pub(super) struct ServerName {
    name: String,
    resolver: Resolver,
    turns: Arc<Semaphore>,
    known: Addresses,
}

impl ServerName {
    pub(super) fn new(name: &str, resolvers: &[SocketAddr], turns: Arc<Semaphore>) -> Self {
        let resolver = Resolver::asking(resolvers);
        Self { name: name.into(), resolver, turns, known: Addresses::default() }
    }

    async fn addresses(&mut self) -> Result<Look<IpAddr>, Nothing> {
        let _turn = self.turns.clone().acquire_owned().await;
        let answer = self.resolver.ready()?.addresses(&self.name).await;
        let ttl = self.known.take(answer).map_err(Nothing::NoAnswer)?;
        Ok(Look { found: self.known.all().collect(), ttl })
    }
}

impl Source for ServerName {
    type Item = IpAddr;

    fn name(&self) -> String {
        format!("the name `{}`", self.name)
    }

    fn pace(&self) -> (Duration, Duration) {
        NAMES
    }

    fn look(&mut self) -> Looking<'_, IpAddr> {
        Box::pin(async move {
            let looked = self.addresses().await;
            looked.map_err(|nothing| complain(nothing, &mut self.resolver))
        })
    }
}

fn complain(nothing: Nothing, resolver: &mut Resolver) -> String {
    resolver.forget();
    let (Nothing::NoRecords(why) | Nothing::NoAnswer(why)) = nothing;
    why
}

async fn look_up_all(
    asker: &Asker,
    services: &[Service],
) -> Vec<(String, super::resolver::Families)> {
    let mut targets: Vec<&String> = services.iter().map(|service| &service.target).collect();
    targets.sort_unstable();
    targets.dedup();
    targets.truncate(SERVERS_MAX);
    let mut running = JoinSet::new();
    let mut found = Vec::new();
    for target in targets {
        if running.len() >= TARGETS_AT_A_TIME
            && let Some(Ok(answer)) = running.join_next().await
        {
            found.push(answer);
        }
        let (asker, target) = (asker.clone(), target.clone());
        running.spawn(async move {
            let answer = asker.addresses(&target).await;
            (target, answer)
        });
    }
    found.extend(running.join_all().await);
    found
}

/// RFC 2782 weights go to 65,535, and 0 is "hardly ever", not "never".
fn weight(weight: u16, most: u16) -> u32 {
    let (weight, most) = (u32::from(weight), u32::from(most));
    let scaled = if most > WEIGHT_MAX { weight * WEIGHT_MAX / most } else { weight };
    scaled.max(1)
}

fn server(address: SocketAddr, weight: u32, priority: u32) -> Server {
    Server { address: Address::Socket(address), weight, priority, check: None }
}

fn socket(server: &Server) -> Option<SocketAddr> {
    match server.address {
        Address::Socket(address) => Some(address),
        Address::Name(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_service_records_become_weights_of_servers() {
        let scaled = |weights: &[u16]| {
            let most = weights.iter().copied().max().unwrap();
            weights.iter().map(|w| weight(*w, most)).collect::<Vec<_>>()
        };
        assert_eq!(scaled(&[10, 60, 0]), [10, 60, 1]);
        assert_eq!(scaled(&[0, 0]), [1, 1]);
        assert_eq!(scaled(&[65535, 6553, 1]), [1000, 99, 1]);
    }
}
