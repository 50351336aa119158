//! The rhythm of all checks of the process: whose turn it is, how many at a time, and who is told of
//! the result. One task; each check runs as one of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evenkeel_balancer::health::{Next, Schedule, Verdict};
use evenkeel_balancer::{Check, Rng, SharedServer};
use evenkeel_config::model::{HealthCheck, Probe};
use evenkeel_runtime as runtime;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::probe::{Aim, Miss, Prepared, Probed, Shop};
use super::pulse::Pulse;
use super::recent::{self, ByServer, Came, Made, Recent};
use super::target::Target;

/// Checks at a time, but for programs: each holds a socket.
const AT_A_TIME: usize = 512;
/// The first checks come at this distance, or closer if they would not fit into the interval.
const APART: Duration = Duration::from_millis(10);
/// Checks that could not be made are told of once in this time.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The state of the task.
pub(super) struct Rhythm {
    shop: Shop,
    pulse: Pulse,
    rng: Rng,
    checked: HashMap<u64, Checked>,
    ids: HashMap<(Arc<str>, Box<str>), u64>,
    next_id: u64,
    /// Whose turn it is when. Entries of a round that is over are passed over.
    turns: BinaryHeap<Reverse<(Instant, u64, u64)>>,
    running: JoinSet<Finished>,
    /// Programs, most of which wait for their turn: one for each server at most. They keep nobody
    /// from being checked who is checked by other means.
    programs: JoinSet<Finished>,
    readers: watch::Sender<Arc<ByServer>>,
    not_made: NotMade,
}

/// One server.
struct Checked {
    aim: Arc<Aim>,
    prepared: Arc<Prepared>,
    schedule: Schedule,
    shared: Arc<SharedServer>,
    verdict: Verdict,
    recent: watch::Sender<Recent>,
    /// Its next or present check; another number makes them void.
    round: u64,
    running: Option<AbortHandle>,
}

struct Finished {
    id: u64,
    round: u64,
    at: SystemTime,
    took: Duration,
    probed: Probed,
}

/// Checks that could not be made, for the log.
#[derive(Default)]
struct NotMade {
    told: Option<Instant>,
    untold: u64,
}

impl Rhythm {
    pub(super) fn new(pulse: Pulse, seed: u64, readers: watch::Sender<Arc<ByServer>>) -> Self {
        Self {
            shop: Shop::default(),
            pulse,
            rng: Rng::from_seed(seed),
            checked: HashMap::new(),
            ids: HashMap::new(),
            next_id: 0,
            turns: BinaryHeap::new(),
            running: JoinSet::new(),
            programs: JoinSet::new(),
            readers,
            not_made: NotMade::default(),
        }
    }

    /// Checks whatever is to be checked, until nobody can say so any more.
    pub(super) async fn run(mut self, mut targets: watch::Receiver<Arc<[Target]>>) {
        loop {
            let next = self.turns.peek().map(|Reverse((due, ..))| *due);
            let free = self.running.len() < AT_A_TIME;
            tokio::select! {
                changed = targets.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let wanted = targets.borrow_and_update().clone();
                    self.set(&wanted, runtime::now());
                }
                Some(finished) = self.running.join_next() => self.take(finished),
                Some(finished) = self.programs.join_next() => self.take(finished),
                () = until(next), if free && next.is_some() => self.begin_due(runtime::now()),
            }
        }
    }

    /// Makes these the targets; those that stay as they are notice nothing.
    fn set(&mut self, wanted: &[Target], now: Instant) {
        let mut known = std::mem::take(&mut self.ids);
        let before = self.prepared();
        let mut prepared = HashMap::new();
        let mut new = Vec::new();
        for target in wanted {
            let key = (target.pool.clone(), target.server.clone());
            if self.ids.contains_key(&key) {
                continue;
            }
            let prepared = prepared.entry(target.pool.clone()).or_insert_with(|| {
                let same = before.get(&target.pool).filter(|old| old.is_for(target));
                let new = || {
                    Arc::new(Prepared::new(
                        target.check.clone(),
                        target.keys.clone(),
                        self.shop.clone(),
                    ))
                };
                same.cloned().unwrap_or_else(new)
            });
            let (id, is_new) = match known.remove(&key) {
                Some(id) => (id, self.renew(id, target, prepared)),
                None => (self.add(target, prepared), true),
            };
            if is_new {
                new.push(id);
            }
            self.ids.insert(key, id);
        }
        for id in known.into_values() {
            if let Some(gone) = self.checked.remove(&id) {
                gone.stop();
                gone.shared.set_check(Check::Unknown, now); // nobody says anything any more
            }
        }
        self.spread(&new, now);
        self.publish();
    }

    /// What is prepared for each pool.
    fn prepared(&self) -> HashMap<Arc<str>, Arc<Prepared>> {
        let all = self.checked.values();
        all.map(|checked| (checked.aim.pool.clone(), checked.prepared.clone())).collect()
    }

    fn add(&mut self, target: &Target, prepared: &Arc<Prepared>) -> u64 {
        self.next_id += 1;
        self.checked.insert(self.next_id, Checked::new(target, prepared.clone()));
        self.next_id
    }

    /// Takes over what is new about a server; whether it is to be checked anew.
    fn renew(&mut self, id: u64, target: &Target, prepared: &Arc<Prepared>) -> bool {
        let Some(checked) = self.checked.get_mut(&id) else { return false };
        if !Arc::ptr_eq(&checked.shared, &target.shared) {
            checked.shared = target.shared.clone();
            checked.verdict = Verdict::of(target.shared.check());
        }
        let aim = target.aim();
        if Arc::ptr_eq(&checked.prepared, prepared) && *checked.aim == aim {
            return false;
        }
        checked.stop();
        checked.running = None;
        checked.schedule = schedule(&prepared.check);
        checked.verdict = Verdict::of(checked.verdict.state());
        (checked.aim, checked.prepared) = (Arc::new(aim), prepared.clone());
        true
    }

    /// First checks, spread so that there is no burst however many they are.
    fn spread(&mut self, new: &[u64], now: Instant) {
        let count = u32::try_from(new.len()).unwrap_or(u32::MAX);
        for (nth, id) in new.iter().enumerate() {
            let Some(checked) = self.checked.get(id) else { continue };
            let interval = checked.schedule.interval.min(APART.saturating_mul(count));
            let spread = Schedule { interval, ..checked.schedule };
            let wait = spread.first(nth, new.len(), &mut self.rng);
            self.plan(*id, now + wait);
        }
    }

    fn plan(&mut self, id: u64, due: Instant) {
        if let Some(checked) = self.checked.get_mut(&id) {
            checked.round += 1;
            self.turns.push(Reverse((due, id, checked.round)));
        }
    }

    fn begin_due(&mut self, now: Instant) {
        while self.running.len() < AT_A_TIME {
            match self.turns.peek() {
                Some(Reverse((due, id, round))) if *due <= now => {
                    let (id, round) = (*id, *round);
                    self.turns.pop();
                    self.begin(id, round);
                }
                _ => return,
            }
        }
    }

    fn begin(&mut self, id: u64, round: u64) {
        let Some(checked) = self.checked.get_mut(&id).filter(|c| c.round == round) else { return };
        let (aim, prepared) = (checked.aim.clone(), checked.prepared.clone());
        let pulse = self.pulse.clone();
        let check = async move {
            let (at, begun) = (runtime::wall_clock(), runtime::now());
            let away = pulse.away(begun);
            let probed = prepared.make(&aim).await;
            let now = runtime::now();
            let away = pulse.away(now).saturating_sub(away);
            let took = now.saturating_duration_since(begun);
            let probed = probed.map_err(|miss| excuse(miss, away, prepared.check.timeout));
            Finished { id, round, at, took, probed }
        };
        let is_program = matches!(checked.prepared.check.probe, Probe::Command(_));
        let tasks = if is_program { &mut self.programs } else { &mut self.running };
        checked.running = Some(tasks.spawn(check));
    }

    fn take(&mut self, finished: Result<Finished, JoinError>) {
        let Finished { id, round, at, took, probed } = match finished {
            Ok(finished) => finished,
            Err(error) if error.is_cancelled() => return,
            Err(error) => match self.find(&error) {
                Some((id, round)) => {
                    let probed = Err(Miss::NotMade("the check panicked".into()));
                    Finished { id, round, at: runtime::wall_clock(), took: Duration::ZERO, probed }
                }
                None => return,
            },
        };
        let Some(checked) = self.checked.get_mut(&id).filter(|c| c.round == round) else { return };
        checked.running = None;
        recent::note(&checked.recent, Made { at, took, result: Came::from(&probed) });
        let before = checked.verdict.state();
        // What could not be made counts as too late to say anything.
        let late =
            if matches!(probed, Err(Miss::NotMade(_))) { Duration::MAX } else { Duration::ZERO };
        let good = probed.is_ok();
        let Next { changed, wait } =
            checked.verdict.take(good, late, &checked.schedule, &mut self.rng);
        let now = runtime::now();
        if let Some(state) = changed {
            checked.shared.set_check(state, now);
            checked.tell(before, state, &probed);
        }
        if let Err(Miss::NotMade(why)) = &probed {
            self.not_made.tell(&checked.aim, why, now);
        }
        self.plan(id, now + wait);
    }

    fn find(&self, error: &JoinError) -> Option<(u64, u64)> {
        let is_it = |c: &Checked| c.running.as_ref().is_some_and(|task| task.id() == error.id());
        self.checked.iter().find(|(_, checked)| is_it(checked)).map(|(id, c)| (*id, c.round))
    }

    fn publish(&self) {
        let mut found = ByServer::new();
        for ((pool, server), id) in &self.ids {
            let Some(checked) = self.checked.get(id) else { continue };
            let servers = found.entry(pool.clone()).or_default();
            servers.insert(server.clone(), checked.recent.subscribe());
        }
        self.readers.send_replace(Arc::new(found));
    }
}

impl Checked {
    fn new(target: &Target, prepared: Arc<Prepared>) -> Self {
        Self {
            aim: Arc::new(target.aim()),
            schedule: schedule(&prepared.check),
            prepared,
            shared: target.shared.clone(),
            verdict: Verdict::of(target.shared.check()),
            recent: watch::channel(Recent::new()).0,
            round: 0,
            running: None,
        }
    }

    fn stop(&self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }

    fn tell(&self, before: Check, state: Check, probed: &Probed) {
        let (pool, server) = (&*self.aim.pool, &*self.aim.server);
        let (from, to) = (name(before), name(state));
        match probed {
            Err(Miss::Failed(got) | Miss::NotMade(got)) => {
                let rule = in_a_row(self.schedule.fall, "failed");
                tracing::warn!(pool, server, from, to, rule, got, "health check");
            }
            Ok(()) if before == Check::Down => {
                let rule = in_a_row(self.schedule.rise, "succeeded");
                tracing::info!(pool, server, from, to, rule, "health check");
            }
            Ok(()) => tracing::debug!(pool, server, from, to, "health check"),
        }
    }
}

impl NotMade {
    fn tell(&mut self, aim: &Aim, why: &str, now: Instant) {
        self.untold += 1;
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < TELL_AGAIN) {
            return;
        }
        let (pool, server, checks) = (&*aim.pool, &*aim.server, self.untold);
        tracing::warn!(
            pool,
            server,
            checks,
            "health checks could not be made, which says nothing about the servers: {why}"
        );
        *self = Self { told: Some(now), untold: 0 };
    }
}

/// A check that ended badly while this process was away for much of its time says nothing.
fn excuse(miss: Miss, away: Duration, timeout: Duration) -> Miss {
    match miss {
        Miss::Failed(why) if away > timeout / 2 => {
            Miss::NotMade(format!("{why}, but this process itself stood still for {away:.1?}"))
        }
        miss => miss,
    }
}

fn schedule(check: &HealthCheck) -> Schedule {
    Schedule {
        interval: check.interval,
        interval_changing: check.interval_changing,
        interval_down_max: check.interval_down_max,
        rise: check.rise,
        fall: check.fall,
    }
}

fn in_a_row(checks: u32, what: &str) -> String {
    if checks <= 1 { format!("a check {what}") } else { format!("{checks} checks in a row {what}") }
}

fn name(state: Check) -> &'static str {
    match state {
        Check::Unknown => "unknown",
        Check::Up => "up",
        Check::Down => "down",
    }
}

async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}
