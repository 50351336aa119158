//! The data plane as the control plane holds it: its workers, its sockets, its logs and what it
//! serves by. Owns how a change reaches the workers; first everything that may fail, then the rest.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_config::Config;
use evenkeel_config::model::Address;
use evenkeel_proxy::services::Services;
use evenkeel_proxy::shared::{Ledger, Publication, Shared};
use evenkeel_proxy::snapshot::{Resolved, Snapshot};
use evenkeel_proxy::worker::{Adoption, Command, Cut, Drain};
use evenkeel_runtime::{self as runtime, mailbox};

use super::access_logs::{AccessLogs, NewLogs};
use super::lookout;
use super::sockets::{self, Plan, Sockets};
use super::udp_sockets;
use crate::certs::Keyring;
use crate::failure::Failure;
use crate::upgrade::Inherited;

/// How long a worker may take to take an order, and to take over other settings: it looks between
/// two requests, so this is far more than it ever needs.
const ORDER_MAX: Duration = Duration::from_secs(2);

/// See the module's head.
pub(crate) struct Plane {
    pub(crate) workers: Vec<mailbox::Sender<Command>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) ledger: Ledger,
    pub(crate) publication: Publication,
    pub(crate) config: Arc<Config>,
    pub(crate) sockets: Sockets,
    pub(crate) logs: AccessLogs,
    /// By name and port.
    pub(crate) addresses: HashMap<Address, Vec<SocketAddr>>,
    pub(crate) keyring: Keyring,
    pub(crate) services: Services,
}

/// What a change needs, had but not yet in use.
pub(crate) struct Prepared {
    plan: Plan,
    found: Vec<(Address, Vec<SocketAddr>)>,
    logs: NewLogs,
    keyring: Keyring,
}

impl Plane {
    /// Gets what `config` needs beyond what there is: addresses of names, sockets, log files.
    ///
    /// # Errors
    /// When something cannot be had; then nothing has changed.
    pub(crate) async fn prepare(
        &self,
        config: &Arc<Config>,
        closed: &BTreeSet<String>,
        keyring: Keyring,
    ) -> Result<Prepared, Failure> {
        let plan = self.sockets.plan(
            &config.listeners,
            |name| closed.contains(name),
            &mut Inherited::default(),
        )?;
        let logs = self.logs.prepare(config)?;
        let found = lookout::new_addresses(&self.config, config).await;
        Ok(Prepared { plan, found, logs, keyring })
    }

    /// Puts `config` in force; `drain` is for what it takes away from listeners. Ends once every
    /// worker serves by it.
    pub(crate) async fn publish(&mut self, config: Arc<Config>, prepared: Prepared, drain: Drain) {
        let Prepared { mut plan, found, logs, keyring } = prepared;
        self.keyring = keyring;
        self.addresses.extend(found);
        let before = self.publication.clone();
        self.compile(config);
        self.logs.commit(logs, runtime::now(), drain.tunnels_until);
        // A listener that is gone has its key from before.
        let keys = |left: &[(String, SocketAddr)]| -> Vec<_> {
            let left = left.iter();
            left.filter_map(|(name, address)| Some((sockets::key_of(&before, name)?, *address)))
                .collect()
        };
        let (leave, leave_udp) = (keys(&plan.left), keys(&plan.udp.left));
        let offers = std::mem::take(&mut plan.offers);
        let udp_offers = std::mem::take(&mut plan.udp.offers);
        self.sockets.commit(plan);
        let (mut offers, mut udp_offers) = (offers.into_iter(), udp_offers.into_iter());
        for worker in self.workers.clone() {
            let offer = offers.next().unwrap_or_default();
            let udp_offer = udp_offers.next().unwrap_or_default();
            let adoption = Adoption {
                publication: self.publication.clone(),
                open: sockets::openings(offer, &self.publication),
                open_udp: udp_sockets::openings(udp_offer, &self.publication),
                leave: leave.clone(),
                leave_udp: leave_udp.clone(),
                drain: Some(drain),
                logs: Some(self.logs.sinks()),
            };
            self.order(&worker, Command::Adopt(Box::new(adoption))).await;
        }
        self.await_adoption().await;
        self.sockets.udp.steer();
    }

    /// Accepts from everything that is held: at the start of a successor, once it is told to.
    pub(crate) async fn listen(&self) -> Result<(), String> {
        let offers = self.sockets.offer_all().map_err(|error| error.to_string())?;
        let udp_offers = self.sockets.udp.offer_all().map_err(|error| error.to_string())?;
        for ((worker, offer), udp_offer) in self.workers.iter().zip(offers).zip(udp_offers) {
            let mut adoption = Adoption::of(self.publication.clone());
            adoption.open = sockets::openings(offer, &self.publication);
            adoption.open_udp = udp_sockets::openings(udp_offer, &self.publication);
            self.order(worker, Command::Adopt(adoption)).await;
        }
        self.sockets.udp.steer();
        Ok(())
    }

    /// Nobody else serves any more: workers get the sockets that they had to share so far.
    pub(crate) async fn take_charge(&mut self) {
        let openings = self.sockets.complete(&self.publication);
        for (worker, open) in self.workers.iter().zip(openings) {
            if !open.is_empty() {
                let adoption = Adoption { open, ..*Adoption::of(self.publication.clone()) };
                self.order(worker, Command::Adopt(Box::new(adoption))).await;
            }
        }
    }

    /// Serves by other addresses of the same names; whether there are any.
    pub(crate) async fn readdress(&mut self, mut found: Vec<(Address, Vec<SocketAddr>)>) -> bool {
        found.retain(|(name, addresses)| self.addresses.get(name) != Some(addresses));
        for (name, addresses) in &found {
            let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            tracing::info!("discovery: server `{name}` is at {}", shown.join(", "));
        }
        if found.is_empty() {
            return false;
        }
        self.addresses.extend(found);
        self.republish().await;
        true
    }

    /// Serves with other key material; connections that stand go on with what they have.
    pub(crate) async fn rekey(&mut self, keyring: Keyring) {
        self.keyring = keyring;
        self.republish().await;
    }

    async fn republish(&mut self) {
        self.compile(self.config.clone());
        for worker in self.workers.clone() {
            let adoption = Adoption::of(self.publication.clone());
            self.order(&worker, Command::Adopt(adoption)).await;
        }
    }

    /// Cuts what runs at a server, in all workers.
    pub(crate) async fn cut(&self, cut: &Cut) {
        for worker in &self.workers {
            self.order(worker, Command::Cut(Box::new(cut.clone()))).await;
        }
    }

    fn compile(&mut self, config: Arc<Config>) {
        let resolved = resolved(&self.addresses, &self.keyring, &self.services);
        let before = (&*self.config, &*self.publication.snapshot);
        let snapshot = Snapshot::compile_after(Some(before), &config, &resolved);
        self.publication = self.ledger.publish(snapshot);
        self.config = config;
        let config = self.config.clone();
        let used: HashSet<&Address> = config
            .pools
            .iter()
            .flat_map(|pool| pool.servers.iter().map(|server| &server.address))
            .collect();
        self.addresses.retain(|address, _| used.contains(address));
    }

    async fn order(&self, worker: &mailbox::Sender<Command>, command: Command) {
        let sent = tokio::time::timeout(ORDER_MAX, worker.send(command)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::error!("a worker takes no orders");
        }
    }

    /// Waits until no request begins by older settings.
    pub(crate) async fn await_adoption(&self) {
        let give_up = runtime::now() + ORDER_MAX;
        let is_behind = |worker: &usize| self.shared.adopted(*worker) < self.publication.number;
        while (0..self.workers.len()).any(|worker| is_behind(&worker)) {
            if runtime::now() > give_up {
                tracing::error!("a worker is late to take over a change; it will");
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// In the words of a snapshot.
pub(crate) fn resolved(
    addresses: &HashMap<Address, Vec<SocketAddr>>,
    keyring: &Keyring,
    services: &Services,
) -> Resolved {
    let mut resolved = Resolved::default();
    resolved.tls = keyring.materials();
    resolved.documents = keyring.documents.all();
    resolved.services = services.clone();
    for (name, addresses) in addresses {
        resolved.insert(name.clone(), addresses.clone());
    }
    resolved
}

/// Deadlines counted from now.
pub(crate) fn drain(now: Instant, requests: Duration, tunnels: Duration) -> Drain {
    Drain {
        requests_until: now + requests,
        tunnels_until: now + requests.max(tunnels),
        idle_grace: crate::supervisor::IDLE_GRACE.min(requests),
    }
}
