//! A world of sick servers: they go down, stand still, fail, slow down and come back, while active
//! checks look at them and an operator drains, disables and cuts; then all recover, and everything
//! must be answered again. The network is sound. Owns the story; what is promised is in
//! `promises.rs`.

mod client;
mod promises;
mod server;
mod settings;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_balancer::health::{Schedule, Verdict};
use evenkeel_balancer::{Admin, Rng, SharedServer};
use evenkeel_proxy::worker::{Adoption, Command, Cut, Running};
use evenkeel_runtime as runtime;

use crate::chance::Chance;
use crate::message::Peer;
use crate::oracle::Oracle;
use crate::scenario::Scenario;
use crate::town::{self, Proxy, Watch};
use client::Client;
use promises::MOMENT;
pub(crate) use promises::Promises;
use server::{Condition, Patient};
pub(crate) use settings::{KEY, Settings};

/// Until all is as it should be, once every server is well: the longest ejection, probation and
/// breaker of these worlds, and their checks.
const RECOVERY: Duration = Duration::from_secs(10);
const CHECKS: Schedule = Schedule {
    interval: Duration::from_millis(300),
    interval_changing: Duration::from_millis(60),
    interval_down_max: Duration::from_millis(900),
    rise: 2,
    fall: 2,
};
const CHECK_TIMEOUT: Duration = Duration::from_millis(250);

/// Who is there.
#[derive(Clone)]
struct Ward {
    oracle: Oracle,
    promises: Promises,
    proxy: Rc<Proxy>,
    patients: Vec<Rc<Patient>>,
    standings: Vec<Arc<SharedServer>>,
    over: Rc<Cell<bool>>,
}

/// The whole story of such a world.
pub(crate) async fn live(mut scenario: Scenario, oracle: Oracle, watch: Watch) {
    let Some(settings) = scenario.sick.clone() else { return };
    runtime::sim::note("settings", 0, settings.yaml(&[]).as_bytes());
    let natures = scenario.servers.iter().enumerate();
    let patients: Vec<_> = natures.map(|(n, nature)| Patient::new(n, nature.address)).collect();
    let promises = Promises::new(oracle.clone(), settings.clone(), patients.clone());
    for patient in &patients {
        let chance = scenario.chance.fork();
        let serving = server::serve(patient.clone(), oracle.clone(), promises.clone(), chance);
        runtime::spawn(serving);
    }
    let all: Vec<usize> = (0..patients.len()).collect();
    let proxy = match town::start(&scenario, &all) {
        Ok(proxy) => proxy,
        Err(why) => return oracle.object(why),
    };
    let standings = proxy.standings();
    if let Some(pool) = proxy.pool() {
        promises.see(pool, standings.clone());
    }
    watch.follow(proxy.clone(), Some(promises.clone()));
    let over = Rc::new(Cell::new(false));
    let ward = Ward { oracle, promises, proxy, patients, standings, over };
    if settings.checks {
        for n in 0..ward.patients.len() {
            runtime::spawn(check(ward.clone(), n, scenario.chance.draw()));
        }
    }
    let people = Rc::new(Cell::new(0_usize));
    let ids = Rc::new(Cell::new(0));
    let pace = *scenario.chance.one_of(&[20, 60, 150]);
    for name in 0..scenario.clients {
        let client = Client {
            oracle: ward.oracle.clone(),
            promises: ward.promises.clone(),
            chance: scenario.chance.fork(),
            affinity: settings.affinity,
            name,
            ids: ids.clone(),
            pace,
            jar: None,
        };
        town::go(&people, client.run());
    }
    ward.happen(scenario).await;
    ward.recover().await;
    while people.get() > 0 {
        runtime::sleep(Duration::from_millis(20)).await;
    }
    ward.over.set(true);
    town::drain(&ward.proxy, &ward.oracle).await;
    runtime::sleep(Duration::from_secs(1)).await;
    town::settle(&ward.proxy, &ward.oracle);
    ward.promises.settle();
}

impl Ward {
    /// One thing after another goes wrong.
    async fn happen(&self, mut scenario: Scenario) {
        let mut chance = scenario.chance.fork();
        let chance = &mut chance;
        let events = chance.within(2..9);
        let often = chance.within(50..900);
        let operated = chance.percent(50);
        runtime::sleep(chance.millis(200..800)).await;
        for _ in 0..events {
            runtime::sleep(chance.millis(0..often)).await;
            let server = chance.within(0..self.patients.len() as u64) as usize;
            match chance.within(0..10) {
                0..=1 if operated => self.operate(server, &scenario, chance).await,
                2 if operated => self.publish(&scenario),
                _ => self.afflict(server, chance),
            }
            if chance.percent(25) {
                for n in 0..self.patients.len() {
                    if chance.percent(70) {
                        self.afflict(n, chance);
                    }
                }
            }
        }
        let well = || self.patients.iter().all(|patient| patient.condition() == Condition::Well);
        while !well() {
            runtime::sleep(Duration::from_millis(20)).await;
        }
    }

    fn afflict(&self, server: usize, chance: &mut Chance) {
        let Some(patient) = self.patients.get(server).cloned() else { return };
        if patient.condition() != Condition::Well {
            return;
        }
        let condition = match chance.within(0..9) {
            0..=2 => Condition::Down,
            3..=4 => Condition::Still,
            5..=6 => Condition::Failing,
            _ => Condition::Slow(*chance.one_of(&[60, 300, 1500])),
        };
        let time = match chance.percent(30) {
            true => chance.millis(5..60),
            false => chance.millis(100..1500),
        };
        patient.suffer(condition, time);
        runtime::spawn(async move {
            runtime::sleep(time).await;
            patient.recover();
        });
    }

    /// The operator drains or disables a server, cuts what runs there, and enables it again.
    async fn operate(&self, server: usize, scenario: &Scenario, chance: &mut Chance) {
        let (Some(standing), Some(patient)) =
            (self.standings.get(server), self.patients.get(server))
        else {
            return;
        };
        let drains = chance.percent(60);
        if drains {
            self.promises.wants(server, Admin::Draining);
            runtime::sim::note("drain", server as u64, b"");
            runtime::sleep(chance.millis(20..600)).await;
        }
        self.promises.wants(server, Admin::Disabled);
        runtime::sim::note("disable", server as u64, b"");
        if chance.percent(40) {
            self.publish(scenario);
        }
        if chance.percent(70) {
            let cut = Cut {
                pool: "app".into(),
                server: patient.address.to_string().into(),
                what: Running::All,
            };
            for inbox in &self.proxy.inboxes {
                let _ = inbox.try_send(Command::Cut(Box::new(cut.clone())));
            }
            self.promises.cut(server);
            runtime::sleep(MOMENT).await;
            // A request that was only waiting for another server may have come from there.
            let left = standing.in_flight();
            if left > 0 || patient.tunnels.get() > 0 {
                let tunnels = patient.tunnels.get();
                self.oracle.object(format!(
                    "server {server} was cut and has {left} requests, {tunnels} tunnels"
                ));
            }
        }
        runtime::sleep(chance.millis(0..400)).await;
        self.promises.wants(server, Admin::Enabled);
        runtime::sim::note("enable", server as u64, b"");
    }

    /// The same configuration once more: nobody may notice.
    fn publish(&self, scenario: &Scenario) {
        let all: Vec<usize> = (0..self.patients.len()).collect();
        let publication = match town::publish(scenario, &mut self.proxy.ledger.borrow_mut(), &all) {
            Ok(publication) => publication,
            Err(why) => return self.oracle.object(why),
        };
        self.proxy.published.borrow_mut().push(publication.clone());
        for inbox in &self.proxy.inboxes {
            let _ = inbox.try_send(Command::Adopt(Adoption::of(publication.clone())));
        }
        runtime::sim::note("publish", 0, b"");
    }

    /// Everybody is well: soon nobody may notice that it was not so.
    async fn recover(&self) {
        runtime::sim::note("well", 0, b"");
        let until = runtime::now() + RECOVERY;
        while runtime::now() < until {
            runtime::sleep(MOMENT).await;
        }
        let ejected = self.promises.ejected();
        if ejected > 0 {
            self.oracle.object(format!("{ejected} servers are still ejected"));
        }
        self.promises.recovered();
    }
}

/// Active checks of one server.
async fn check(ward: Ward, server: usize, seed: u64) {
    let (Some(patient), Some(standing)) =
        (ward.patients.get(server).cloned(), ward.standings.get(server).cloned())
    else {
        return;
    };
    let mut rng = Rng::from_seed(seed);
    let mut verdict = Verdict::default();
    runtime::sleep(CHECKS.first(server, ward.patients.len(), &mut rng)).await;
    while !ward.over.get() {
        let good = is_good(&patient).await;
        let next = verdict.take(good, Duration::ZERO, &CHECKS, &mut rng);
        if let Some(changed) = next.changed {
            runtime::sim::note("check", server as u64, format!("{changed:?}").as_bytes());
            standing.set_check(changed, runtime::now());
        }
        runtime::sleep(next.wait).await;
    }
}

async fn is_good(patient: &Patient) -> bool {
    let until = runtime::now() + CHECK_TIMEOUT;
    let Some(mut peer) = Peer::connect(patient.address, CHECK_TIMEOUT).await else { return false };
    let ask = b"GET /healthz HTTP/1.1\r\nHost: check\r\n\r\n";
    if peer.write(ask, until).await.is_err() {
        return false;
    }
    peer.head(false, until).await.is_ok_and(|head| head.status == 200)
}
