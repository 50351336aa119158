//! What is promised while servers are ill, and what the people of such a world know that shows
//! whether it is kept: which server got what and when, and when each was last anything but well.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_balancer::{Admin, Check, Passage, SharedPool, SharedServer};
use evenkeel_runtime as runtime;

use crate::oracle::Oracle;
use crate::sick::server::{Condition, Patient};
use crate::sick::settings::{Affinity, Settings};

/// In this time everybody has heard of what happened, and a request has come from the proxy to a
/// server.
pub(crate) const MOMENT: Duration = Duration::from_millis(100);

/// Shared by all people of a world.
#[derive(Clone)]
pub(crate) struct Promises(Rc<RefCell<Chart>>);

struct Chart {
    oracle: Oracle,
    settings: Settings,
    began: Instant,
    patients: Vec<Rc<Patient>>,
    pool: Option<Arc<SharedPool>>,
    records: Vec<Record>,
    asked: BTreeMap<u64, Asked>,
    running: BTreeMap<u64, Running>,
    arrivals: u64,
    successes: u64,
    /// All servers were unwell at the same time, once.
    outage: bool,
    /// Somebody was down, still or failing, or the operator did something.
    rough_at: Instant,
    recovered: bool,
    /// The last answer to each key: whose, and when it was asked for.
    keyed: BTreeMap<String, (usize, Instant)>,
}

/// What is known of one server.
struct Record {
    standing: Option<Arc<SharedServer>>,
    /// When it was last anything but well and enabled; draining is no illness.
    unwell_at: Instant,
    draining_at: Instant,
    full_at: Instant,
    shut_since: Option<Instant>,
    trial_since: Option<Instant>,
    down_since: Option<Instant>,
    admin_since: (Admin, Instant),
}

/// One request.
#[derive(Default)]
struct Asked {
    bound: Option<usize>,
    /// Servers that got it, and whether it died there on a kept connection without a word.
    arrived: Vec<(usize, bool)>,
}

struct Running {
    server: usize,
    begun: Instant,
    at: Instant,
    /// It is a tunnel: as a trial it is over.
    tunnel: bool,
}

/// A request that has arrived at a server, until it is answered.
pub(crate) struct Arrival {
    promises: Promises,
    number: u64,
    id: u64,
    place: usize,
    first: bool,
    spoken: bool,
}

/// How a client's request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End<'a> {
    /// 200 by this server, and whether it set a cookie.
    Answered { server: usize, cookie: bool },
    /// 503 by a server.
    Failed,
    /// The proxy's own answer, for this reason.
    Refused { reason: &'a str, retry_after: bool },
    /// Without a whole answer; with its head, or without.
    Cut { head: bool },
}

impl Promises {
    pub(crate) fn new(oracle: Oracle, settings: Settings, patients: Vec<Rc<Patient>>) -> Self {
        let now = runtime::now();
        let record = |_: &Rc<Patient>| Record {
            standing: None,
            unwell_at: now,
            draining_at: now,
            full_at: now,
            shut_since: None,
            trial_since: None,
            down_since: None,
            admin_since: (Admin::Enabled, now),
        };
        Self(Rc::new(RefCell::new(Chart {
            oracle,
            settings,
            began: now,
            records: patients.iter().map(record).collect(),
            patients,
            pool: None,
            asked: BTreeMap::new(),
            running: BTreeMap::new(),
            arrivals: 0,
            successes: 0,
            outage: false,
            rough_at: now,
            recovered: false,
            keyed: BTreeMap::new(),
        })))
    }

    /// What the proxy says about the pool and its servers.
    pub(crate) fn see(&self, pool: Arc<SharedPool>, servers: Vec<Arc<SharedServer>>) {
        let mut chart = self.0.borrow_mut();
        chart.pool = Some(pool);
        for (record, standing) in chart.records.iter_mut().zip(servers) {
            record.standing = Some(standing);
        }
    }

    /// From now on everything must be answered.
    pub(crate) fn recovered(&self) {
        self.0.borrow_mut().recovered = true;
    }

    /// The operator wants this of a server.
    pub(crate) fn wants(&self, server: usize, admin: Admin) {
        let mut chart = self.0.borrow_mut();
        let now = runtime::now();
        chart.rough_at = now;
        if let Some(record) = chart.records.get_mut(server) {
            record.admin_since = (admin, now);
            if let Some(standing) = &record.standing {
                standing.set_admin(admin, now);
            }
        }
    }

    /// What ran there was cut, and the server does not know yet.
    pub(crate) fn cut(&self, server: usize) {
        self.0.borrow_mut().running.retain(|_, running| running.server != server);
    }

    pub(crate) fn is_recovered(&self) -> bool {
        self.0.borrow().recovered
    }

    /// After each step of the world.
    pub(crate) fn watch(&self) -> Result<(), String> {
        self.0.borrow_mut().watch(runtime::now())
    }

    /// A client is about to ask, bound to this server.
    pub(crate) fn asks(&self, id: u64, bound: Option<usize>) {
        let asked = Asked { bound, ..Asked::default() };
        self.0.borrow_mut().asked.insert(id, asked);
    }

    /// A request has arrived at a server; `first` on its connection.
    pub(crate) fn arrives(&self, id: u64, server: usize, first: bool) -> Arrival {
        let mut chart = self.0.borrow_mut();
        if let Some(objection) = chart.arrives(id, server) {
            chart.oracle.object(objection);
        }
        let begun = chart.begun(id);
        let number = chart.arrivals;
        chart.arrivals += 1;
        chart.running.insert(number, Running { server, begun, at: runtime::now(), tunnel: false });
        let asked = chart.asked.entry(id).or_default();
        asked.arrived.push((server, false));
        let place = asked.arrived.len() - 1;
        drop(chart);
        Arrival { promises: self.clone(), number, id, place, first, spoken: false }
    }

    /// A client's request has ended; it was asked with this key.
    pub(crate) fn ends(&self, id: u64, what: &str, key: Option<&str>, end: End<'_>) {
        let mut chart = self.0.borrow_mut();
        if matches!(end, End::Answered { .. }) {
            chart.successes += 1;
        }
        if let Some(objection) = chart.ends(id, what, key, end) {
            chart.oracle.object(objection);
        }
    }

    /// When nobody is there any more.
    pub(crate) fn settle(&self) {
        let chart = self.0.borrow();
        let oracle = &chart.oracle;
        let settings = &chart.settings;
        let (mut more, mut free) = (0_u64, 0_u64);
        for asked in chart.asked.values() {
            more += (asked.arrived.len() as u64).saturating_sub(1);
            free += asked.arrived.iter().filter(|(_, free)| *free).count() as u64;
        }
        let seconds = runtime::now().duration_since(chart.began).as_secs() + 2;
        let allowed = settings.ratio * chart.successes / 100 + settings.min * seconds;
        if more > allowed + free {
            oracle.object(format!(
                "{more} tries beside first ones, {free} for dead connections, of {} answered: {allowed} were allowed",
                chart.successes
            ));
        }
        if let Some(pool) = &chart.pool {
            let counts = [pool.in_flight(), pool.waiting()];
            if counts != [0, 0] {
                oracle.object(format!("in flight and waiting in the end: {counts:?}"));
            }
        }
        for record in chart.records.iter().filter_map(|record| record.standing.as_ref()) {
            let counts = [record.in_flight(), record.connections()];
            if counts != [0, 0] {
                oracle.object(format!("in flight and connections in the end: {counts:?}"));
            }
        }
    }

    /// How many servers are not fully back yet. A backup is tried only when it is needed.
    pub(crate) fn ejected(&self) -> u32 {
        if self.0.borrow().settings.backup {
            return 0;
        }
        self.0.borrow().pool.as_ref().map_or(0, |pool| pool.ejected())
    }
}

impl Chart {
    fn begun(&self, id: u64) -> Instant {
        self.oracle.request(id).and_then(|request| request.begun).unwrap_or(self.began)
    }

    fn watch(&mut self, now: Instant) -> Result<(), String> {
        let settings = &self.settings;
        let mut shut = 0;
        let mut unwell = 0;
        for (record, patient) in self.records.iter_mut().zip(&self.patients) {
            let Some(standing) = &record.standing else { continue };
            let standing = standing.standing();
            let since = |was: Option<Instant>, is: bool| if is { was.or(Some(now)) } else { None };
            let passes = standing.ejection == Passage::Passing;
            let is_shut = matches!(standing.ejection, Passage::Shut { .. });
            record.shut_since = since(record.shut_since, is_shut);
            record.trial_since = since(record.trial_since, !passes && !is_shut);
            record.down_since = since(record.down_since, standing.check == Check::Down);
            let admin = record.admin_since.0;
            if admin == Admin::Draining {
                record.draining_at = now;
            }
            let condition = patient.condition();
            if matches!(condition, Condition::Down | Condition::Still | Condition::Failing) {
                self.rough_at = now;
            }
            let well = condition == Condition::Well
                && passes
                && standing.breaker == Passage::Passing
                && standing.check != Check::Down
                && admin != Admin::Disabled;
            if !well {
                record.unwell_at = now;
            }
            unwell += u32::from(!well || admin != Admin::Enabled);
            shut += u64::from(!passes);
            let limit = settings.server_limit.unwrap_or(u64::MAX);
            if u64::from(standing.in_flight) >= limit {
                record.full_at = now;
            }
            if u64::from(standing.in_flight) > limit {
                return Err(format!("{} requests of {limit} at a server", standing.in_flight));
            }
            let connections = u64::from(standing.connections);
            if settings.connections_limit.is_some_and(|limit| connections > limit) {
                return Err(format!("{connections} connections to a server"));
            }
        }
        let count = self.records.len();
        self.outage |= unwell as usize == count;
        let most = settings.ejected_max.unwrap_or(0) * count as u64 / 100;
        if shut > most.min(count as u64 - 1) {
            return Err(format!("{shut} of {count} servers are ejected"));
        }
        Ok(())
    }

    /// What is wrong about a request that arrives there.
    fn arrives(&self, id: u64, server: usize) -> Option<String> {
        let now = runtime::now();
        let begun = self.begun(id);
        let settings = &self.settings;
        let record = self.records.get(server)?;
        let after = |since: Option<Instant>| since.is_some_and(|since| begun > since);
        let asked = self.asked.get(&id);
        let bound = asked.and_then(|asked| asked.bound);
        match record.admin_since {
            (Admin::Disabled, since) if begun > since => {
                return Some(format!("{id} reached server {server}, which is disabled"));
            }
            (Admin::Draining, since) if begun > since && bound != Some(server) => {
                return Some(format!("{id} reached server {server}, which drains"));
            }
            _ => {}
        }
        let asked = asked?;
        // Somebody who could have been asked instead, before a last resort.
        let other = (0..self.records.len())
            .filter(|n| *n != server && asked.arrived.iter().all(|(tried, _)| tried != n))
            .find(|n| self.is_well_since(*n, begun, true))
            .filter(|_| !settings.is_limited() && !settings.backup);
        if other.is_some() && settings.panic == 0 && after(record.shut_since) {
            return Some(format!("{id} reached server {server}, which is ejected"));
        }
        if other.is_some() && settings.panic == 0 && after(record.down_since) {
            return Some(format!("{id} reached server {server}, which checks found down"));
        }
        let here = || self.running.values().filter(|running| running.server == server);
        let enabled = record.admin_since.0 == Admin::Enabled;
        if let Some(since) = record.trial_since
            && settings.panic == 0
            && !settings.is_impatient()
            && !settings.backup
            && enabled
            && begun > since
            && here().any(|running| running.begun > since && !running.tunnel)
        {
            return Some(format!("{id} is a second trial at server {server}"));
        }
        if let Some(limit) = settings.server_limit
            && settings.hedge.is_none()
        {
            let lately = settings.patience().saturating_sub(MOMENT);
            let count = here().filter(|running| now - running.at < lately).count() as u64;
            if count >= limit {
                return Some(format!("server {server} has {} requests of {limit}", count + 1));
            }
        }
        let again = asked.arrived.iter().any(|(other, free)| *other == server && !free);
        let other = other.filter(|_| again)?;
        Some(format!("{id} reached server {server} again, not {other}"))
    }

    fn is_well_since(&self, server: usize, at: Instant, enabled: bool) -> bool {
        self.records.get(server).is_some_and(|record| {
            let ill =
                if enabled { record.unwell_at.max(record.draining_at) } else { record.unwell_at };
            at > ill + MOMENT
        })
    }

    /// What is wrong about how it ended.
    fn ends(&mut self, id: u64, what: &str, key: Option<&str>, end: End<'_>) -> Option<String> {
        let now = runtime::now();
        let begun = self.begun(id);
        let settings = &self.settings;
        let took = now - begun;
        if took > settings.longest() {
            return Some(format!("{what} {id} took {took:?}"));
        }
        if let End::Refused { reason, retry_after } = end
            && let Some(why) = self.refusal(reason, retry_after, took)
        {
            return Some(format!("{what} {id}: {why}"));
        }
        let End::Answered { server, cookie } = end else {
            return self.failure(id, what, begun, end);
        };
        let bound = self.asked.get(&id).and_then(|asked| asked.bound);
        // Where its own server only had no room it stays bound to that one.
        let is_free = bound.is_none_or(|bound| {
            let tried = |(server, _): &(usize, bool)| *server == bound;
            self.asked.get(&id).is_some_and(|asked| asked.arrived.iter().any(tried))
                || self.records.get(bound).is_some_and(|record| {
                    let (admin, since) = record.admin_since;
                    record.standing.is_none() || admin == Admin::Disabled && begun > since
                })
        });
        let is_elsewhere = bound != Some(server) && is_free;
        if settings.affinity == Affinity::Cookie && is_elsewhere && !cookie {
            return Some(format!("{id} was answered by server {server} and is not bound to it"));
        }
        let steady = !settings.is_limited() && !settings.is_impatient();
        if let Some(bound) = bound.filter(|bound| *bound != server)
            && steady
            && self.is_well_since(bound, begun, false)
        {
            return Some(format!("{id} is bound to server {bound}, got {server}"));
        }
        if let Some(key) = key {
            let before = self.keyed.insert(key.to_owned(), (server, begun));
            let ramp = Duration::from_millis(self.settings.slow_start);
            if let Some((other, asked_at)) = before.map(|(other, at)| (other, at.min(begun)))
                && other != server
                && steady
                && (0..self.records.len()).all(|n| {
                    asked_at > self.began + ramp && self.is_well_since(n, asked_at - ramp, true)
                })
            {
                return Some(format!("{id} with {key} went to server {server}, not {other}"));
            }
        }
        None
    }

    /// What is wrong about an answer of the proxy's own.
    fn refusal(&self, reason: &str, retry_after: bool, took: Duration) -> Option<String> {
        let settings = &self.settings;
        if !matches!(reason, "queue_full" | "queue_timeout") {
            return None;
        }
        if !retry_after {
            return Some(format!("{reason} without Retry-After"));
        }
        let now = runtime::now();
        let roomy = |record: &Record| {
            let busy = record.unwell_at.max(record.draining_at).max(record.full_at);
            now > busy + MOMENT
        };
        let plain = settings.pool_limit.is_none() && settings.connections_limit.is_none();
        if plain && !settings.backup && self.records.iter().any(roomy) {
            return Some(format!("{reason} while a server had room"));
        }
        let timeout = Duration::from_millis(settings.queue_timeout);
        (reason == "queue_timeout" && took < timeout).then(|| format!("{reason} after {took:?}"))
    }

    /// What is wrong about a failure.
    fn failure(&self, id: u64, what: &str, begun: Instant, end: End<'_>) -> Option<String> {
        let settings = &self.settings;
        let full = matches!(end, End::Refused { reason: "queue_full" | "queue_timeout", .. });
        if self.recovered && !(full && settings.is_limited()) {
            return Some(format!("{what} {id}, after all have recovered: {end:?}"));
        }
        if settings.is_limited() {
            return None;
        }
        let asked = self.asked.get(&id)?;
        let calm = begun > self.rough_at + MOMENT;
        if calm && !asked.arrived.is_empty() && what != "tunnel" {
            return Some(format!("{what} {id}, though servers were only slow: {end:?}"));
        }
        let count = self.records.len();
        let bare = matches!(what, "GET" | "HEAD");
        let well = (0..count).any(|n| self.is_well_since(n, begun, true));
        if bare
            && well
            && settings.is_generous(count)
            && !settings.backup
            && !self.outage
            && end != (End::Cut { head: true })
        {
            return Some(format!("{what} {id}, though somebody was well: {end:?}"));
        }
        None
    }
}

impl Arrival {
    /// The answer is under way: what breaks now is not repeated for nothing.
    pub(crate) fn is_spoken(&mut self) {
        self.spoken = true;
    }

    /// It has become a tunnel.
    pub(crate) fn is_tunnel(&mut self) {
        self.spoken = true;
        if let Some(running) = self.promises.0.borrow_mut().running.get_mut(&self.number) {
            running.tunnel = true;
        }
    }

    /// It is over.
    pub(crate) fn ends(mut self) {
        self.spoken = true;
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut chart = self.promises.0.borrow_mut();
        chart.running.remove(&self.number);
        if self.spoken || self.first {
            return;
        }
        // The connection was kept, and broke: that may be repeated for nothing.
        if let Some(asked) = chart.asked.get_mut(&self.id)
            && let Some(arrived) = asked.arrived.get_mut(self.place)
        {
            arrived.1 = true;
        }
    }
}
