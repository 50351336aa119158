//! Puts a world together: workers of the proxy, servers, clients, attackers; changes the
//! configuration under them; ends with a drain, after which nothing may be left.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_balancer::{SharedPool, SharedServer};
use evenkeel_config::Source;
use evenkeel_proxy::counters::WorkerCounters;
use evenkeel_proxy::shared::{Ledger, ListenerShared, Publication, Shared};
use evenkeel_proxy::snapshot::{Resolved, Snapshot};
use evenkeel_proxy::worker::{self, Adoption, Command, Drain, Opening, Setup};
use evenkeel_runtime::{self as runtime, Bound, TcpListener, mailbox};

use crate::attacker;
use crate::client::Client;
use crate::oracle::Oracle;
use crate::scenario::{Kind, Scenario, front};
use crate::server;
use crate::sick::{self, Promises};

/// The proxy in a world.
pub(crate) struct Proxy {
    pub(crate) ledger: RefCell<Ledger>,
    shared: Arc<Shared>,
    counters: Vec<Arc<WorkerCounters>>,
    pub(crate) inboxes: Vec<mailbox::Sender<Command>>,
    /// All that was ever published: their numbers must all come back to zero.
    pub(crate) published: RefCell<Vec<Publication>>,
    running: Cell<usize>,
}

impl Proxy {
    /// Connections of every worker and of every listener.
    fn gauges(&self) -> Vec<u32> {
        let published = self.published.borrow();
        let listeners = published.last().map(|publication| publication.listeners.clone());
        let listeners = listeners.iter().flat_map(|all| all.iter()).map(|l| l.connections.value());
        self.shared.workers.iter().map(|gauge| gauge.value()).chain(listeners).collect()
    }
}

impl Proxy {
    /// What is shared about the pool.
    pub(crate) fn pool(&self) -> Option<Arc<SharedPool>> {
        self.published.borrow().last()?.pools.first().cloned()
    }

    /// What is shared about each of its servers.
    pub(crate) fn standings(&self) -> Vec<Arc<SharedServer>> {
        let published = self.published.borrow();
        let servers = published.last().and_then(|publication| publication.servers.first().cloned());
        servers.iter().flatten().map(|server| server.standing.clone()).collect()
    }
}

/// What is looked at after each step.
#[derive(Clone, Default)]
pub(crate) struct Watch(Rc<RefCell<Watched>>);

#[derive(Default)]
struct Watched {
    proxy: Option<Rc<Proxy>>,
    promises: Option<Promises>,
}

impl Watch {
    /// From now on these are looked at.
    pub(crate) fn follow(&self, proxy: Rc<Proxy>, promises: Option<Promises>) {
        self.0.replace(Watched { proxy: Some(proxy), promises });
    }

    /// Numbers that are never negative, and loads that nobody has.
    pub(crate) fn check(&self) -> Result<(), String> {
        let watched = self.0.borrow();
        let Some(proxy) = &watched.proxy else { return Ok(()) };
        if let Some(promises) = &watched.promises {
            promises.watch()?;
        }
        const ABSURD: u32 = 1_000_000;
        if let Some(gauge) = proxy.gauges().into_iter().find(|value| *value > ABSURD) {
            return Err(format!("a count of connections is {}", gauge as i32));
        }
        let open: u32 = proxy.shared.workers.iter().map(|gauge| gauge.value()).sum();
        let published = proxy.published.borrow();
        for server in published.iter().rev().take(1).flat_map(|p| p.servers.iter().flatten()) {
            let load = server.standing.in_flight();
            if load > open {
                return Err(format!("a server has {} requests of {open} clients", load as i32));
            }
        }
        Ok(())
    }
}

/// The whole story of a world.
pub(crate) async fn live(mut scenario: Scenario, oracle: Oracle, watch: Watch) {
    if scenario.sick.is_some() {
        return sick::live(scenario, oracle, watch).await;
    }
    let all: Vec<usize> = (0..scenario.servers.len()).collect();
    for (index, nature) in scenario.servers.iter().enumerate() {
        let Ok(listener) = TcpListener::bind(nature.address) else { continue };
        let chance = scenario.chance.fork();
        let serve = server::serve(index, Rc::new(nature.clone()), oracle.clone(), chance, listener);
        runtime::spawn(serve);
    }
    let proxy = match start(&scenario, &all) {
        Ok(proxy) => proxy,
        Err(why) => return oracle.object(why),
    };
    watch.follow(proxy.clone(), None);
    let people = Rc::new(Cell::new(0_usize));
    for n in 0..scenario.clients {
        let client = Client {
            kind: scenario.kind,
            oracle: oracle.clone(),
            chance: scenario.chance.fork(),
            ids: n * 1000 + 1..n * 1000 + 1 + scenario.requests,
            aborts: scenario.clients_abort,
            races: scenario.servers.iter().any(|nature| nature.idle_close.is_some()),
        };
        go(&people, client.run());
    }
    let sound = !matches!(scenario.kind, Kind::Rough | Kind::Storm);
    let honest =
        scenario.servers.iter().all(|nature| nature.spoils == 0 && nature.idle_close.is_none());
    for _ in 0..scenario.attackers {
        go(&people, attacker::run(oracle.clone(), scenario.chance.fork(), sound, honest));
    }
    for _ in 0..scenario.changes {
        runtime::sleep(scenario.chance.millis(1..80)).await;
        change(&mut scenario, &proxy, &oracle).await;
    }
    let drains_early = scenario.kind == Kind::Storm && scenario.chance.percent(30);
    if drains_early {
        runtime::sleep(scenario.chance.millis(1..200)).await;
    } else {
        while people.get() > 0 {
            runtime::sleep(Duration::from_millis(20)).await;
        }
    }
    drain(&proxy, &oracle).await;
    while people.get() > 0 {
        runtime::sleep(Duration::from_millis(20)).await;
    }
    runtime::sleep(Duration::from_secs(1)).await; // what crossed on the way has arrived
    if sound {
        oracle.judge_suspects();
    }
    settle(&proxy, &oracle);
}

pub(crate) fn go(people: &Rc<Cell<usize>>, day: impl Future<Output = ()> + 'static) {
    people.set(people.get() + 1);
    let people = people.clone();
    runtime::spawn(async move {
        day.await;
        people.set(people.get() - 1);
    });
}

pub(crate) fn publish(
    scenario: &Scenario,
    ledger: &mut Ledger,
    servers: &[usize],
) -> Result<Publication, String> {
    let text = scenario.config(servers);
    let source = Source { name: "world.yaml".into(), text };
    let loaded = evenkeel_config::load(&[source], &|_| None)
        .map_err(|report| format!("the world's configuration is wrong: {report:?}"))?;
    Ok(ledger.publish(Snapshot::compile(&loaded.config, &Resolved::default())))
}

pub(crate) fn start(scenario: &Scenario, servers: &[usize]) -> Result<Rc<Proxy>, String> {
    let workers = scenario.workers;
    let mut ledger = Ledger::new(workers);
    let publication = publish(scenario, &mut ledger, servers)?;
    let (inboxes, receivers): (Vec<_>, Vec<_>) =
        (0..workers).map(|_| mailbox::channel(256)).unzip();
    let proxy = Rc::new(Proxy {
        ledger: RefCell::new(ledger),
        shared: Shared::new(workers, 20_000, scenario.plan.seed),
        counters: (0..workers).map(|_| Arc::default()).collect(),
        inboxes,
        published: RefCell::new(vec![publication.clone()]),
        running: Cell::new(workers),
    });
    for (index, inbox) in receivers.into_iter().enumerate() {
        let open = |listener: &ListenerShared| {
            let socket = Bound::bind(front()).map_err(|e| format!("no front: {e}"))?;
            Ok(Opening { listener: listener.key, socket })
        };
        let openings = publication.listeners.iter().map(open).collect::<Result<_, String>>()?;
        let setup = Setup {
            index,
            core: None,
            seed: scenario.plan.seed.wrapping_add(index as u64),
            publication: publication.clone(),
            openings,
            shared: proxy.shared.clone(),
            counters: proxy.counters.get(index).cloned().unwrap_or_default(),
            inbox,
            peers: proxy.inboxes.clone(),
            logs: evenkeel_proxy::access_log::LogSinks::default(),
        };
        let proxy = proxy.clone();
        runtime::spawn(async move {
            worker::serve(setup).await;
            proxy.running.set(proxy.running.get() - 1);
        });
    }
    Ok(proxy)
}

/// Another configuration: some servers leave, some come back.
async fn change(scenario: &mut Scenario, proxy: &Rc<Proxy>, oracle: &Oracle) {
    let count = scenario.servers.len();
    let stay = scenario.chance.within(0..count as u64) as usize;
    let servers: Vec<usize> =
        (0..count).filter(|n| *n == stay || scenario.chance.percent(60)).collect();
    let publication = match publish(scenario, &mut proxy.ledger.borrow_mut(), &servers) {
        Ok(publication) => publication,
        Err(why) => return oracle.object(why),
    };
    proxy.published.borrow_mut().push(publication.clone());
    for inbox in &proxy.inboxes {
        let _ = inbox.try_send(Command::Adopt(Adoption::of(publication.clone())));
    }
    runtime::sim::note("change", servers.len() as u64, b"");
    // A mailbox is read within a moment; a request that began after it must know.
    let known = runtime::now() + Duration::from_millis(20);
    oracle.change((0..count).filter(|n| !servers.contains(n)).collect(), known);
}

/// Asks all workers to end, and waits until they have.
pub(crate) async fn drain(proxy: &Rc<Proxy>, oracle: &Oracle) {
    let now = runtime::now();
    let until = now + Duration::from_secs(20);
    let drain =
        Drain { requests_until: until, tunnels_until: until, idle_grace: Duration::from_secs(1) };
    for inbox in &proxy.inboxes {
        let _ = inbox.try_send(Command::Drain(drain));
    }
    while proxy.running.get() > 0 {
        runtime::sleep(Duration::from_millis(20)).await;
        if runtime::now() > until + Duration::from_secs(5) {
            return oracle.object(format!("{} workers did not drain", proxy.running.get()));
        }
    }
}

/// After everybody has gone nothing is left.
pub(crate) fn settle(proxy: &Proxy, oracle: &Oracle) {
    for gauge in proxy.gauges().into_iter().filter(|value| *value != 0) {
        oracle.object(format!("{} connections are left in a count", gauge as i32));
    }
    for server in proxy.published.borrow().iter().flat_map(|p| p.servers.iter().flatten()) {
        if server.standing.in_flight() != 0 {
            oracle.object(format!(
                "{} requests are left in a load",
                server.standing.in_flight() as i32
            ));
        }
    }
    let sum = |of: fn(&WorkerCounters) -> u64| proxy.counters.iter().map(|c| of(c)).sum::<u64>();
    let (accepted, refused) = (sum(|c| c.accepted.value()), sum(|c| c.refused.value()));
    let closed = sum(|c| c.closed.value());
    if accepted != refused + closed {
        oracle.object(format!("{accepted} accepted, {refused} refused, {closed} closed"));
    }
}
