//! Ejection by what real traffic shows: failures in a row, and a share of failures clearly higher
//! than that of the others. Each ejection takes longer than the last, until the server has been
//! well for a while; never are more ejected than may be; the way back is on probation.

use std::sync::atomic::Ordering::Relaxed;

use crate::gate::Passage;
use crate::lease::Trial;
use crate::standing::saturating_nanos;
use crate::verdict::FailureKind;
use crate::window::Counts;
use crate::{FailureRate, Outlier, Pool, ServerId, SharedServer};

/// Successes that end probation.
pub(crate) const PROBATION: u32 = 3;
/// Requests at a time to a server on probation: what is lost if it is not well yet.
pub(crate) const TRIALS: u32 = 1;
/// How long only requests that can be sent again go to a server on probation.
const ONLY_REPLAYABLE: u64 = 1_000_000_000;
/// The least time without an ejection that makes the next one shorter by a step.
const HEALING: u64 = 10_000_000_000;
/// A server that goes down whenever it comes back stays on probation for longer, up to this.
const PROBATION_MAX: u64 = 30_000_000_000;
/// The rest of the pool fails at most this much of what an outlier fails.
const REST_MAX: f64 = 0.5;

/// One request's end.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) failed: Option<FailureKind>,
    /// It was judged a success before.
    pub(crate) again: bool,
    pub(crate) trial: Trial,
    /// When it began.
    pub(crate) begun: u64,
}

/// Whether trials are due and nobody has come who could be sent again.
pub(crate) fn is_waiting(server: &SharedServer, now: u64) -> bool {
    [&server.ejection, &server.breaker].into_iter().any(|gate| {
        matches!(gate.passage(), Passage::Trial { .. })
            && now.saturating_sub(gate.since()) > ONLY_REPLAYABLE
    })
}

pub(crate) fn judge(pool: &mut Pool, id: ServerId, case: Case, now: u64) {
    let Some(rules) = &pool.rules.outlier else { return };
    let most = pool.servers.ejected_most;
    let Some(server) = pool.servers.server_mut(id) else { return };
    let shared = &*server.shared;
    let broken = case.failed.is_some_and(FailureKind::is_broken);
    let is_error = case.failed == Some(FailureKind::Error);
    if case.trial.ejection {
        // It fails like the others: the cause is elsewhere.
        let stands_out = |rate: FailureRate| {
            let rest = pool.outlier.as_mut().map(|all| all.counts(now)).unwrap_or_default();
            is_well(rate, rest, rate.share)
        };
        let bad = broken || is_error && rules.rate.is_some_and(stands_out);
        return tried(shared, rules, bad, now);
    }
    let bad = broken || is_error && rules.rate.is_some();
    // What began before it was ejected or came back says nothing about it as it is now.
    if !shared.ejection.is_passing() || case.begun < shared.ejection.since() {
        return;
    }
    let mut outlies = false;
    if let (Some(rate), Some(own), Some(all)) = (rules.rate, &mut server.outlier, &mut pool.outlier)
    {
        let (one, bad) = (u32::from(!case.again), u32::from(bad));
        let own = own.add(now, one, bad);
        let all = all.add(now, one, bad);
        outlies = bad > 0 && is_outlier(rate, own, all.minus(own));
    }
    let mark_down =
        rules.mark_down.filter(|_| case.failed.is_some_and(FailureKind::is_unreachable));
    let in_a_row = match broken {
        true => shared.fail(now),
        false => {
            shared.answer(case.begun);
            0
        }
    };
    let too_many = rules.consecutive > 0 && in_a_row >= rules.consecutive;
    if too_many || outlies || mark_down.is_some() {
        let at_least = mark_down.map_or(0, saturating_nanos);
        if eject(shared, rules, at_least, most, now)
            && let (Some(own), Some(all)) = (&mut server.outlier, &mut pool.outlier)
        {
            // The others are not to be measured by what this one did.
            all.take_out(own, now);
            own.clear(now);
        }
    }
}

/// Whether it fails enough, and clearly more than the rest: where all fail alike the cause is
/// elsewhere, and ejecting some would only burden the others.
fn is_outlier(rate: FailureRate, own: Counts, rest: Counts) -> bool {
    own.first >= rate.requests_min.max(1)
        && own.share() >= rate.share
        && is_well(rate, rest, own.share())
}

/// Whether the rest of the pool, as far as enough is known of it, fails clearly less than `share`.
fn is_well(rate: FailureRate, rest: Counts, share: f64) -> bool {
    rest.first >= rate.requests_min.max(1) && rest.share() <= share * REST_MAX
}

/// On trial it failed again, or never said anything: ejected for longer.
pub(crate) fn relapse(shared: &SharedServer, rules: &Outlier, now: u64) {
    let gate = &shared.ejection;
    let times = gate.times.load(Relaxed).saturating_add(1);
    let on_trial = gate.passage();
    let until = now.saturating_add(duration(rules, times));
    if matches!(on_trial, Passage::Trial { .. })
        && gate.turn(on_trial, Passage::Shut { until }, now)
    {
        gate.times.store(times, Relaxed);
        shared.pool().bump();
    }
}

/// A trial is over.
fn tried(shared: &SharedServer, rules: &Outlier, bad: bool, now: u64) {
    if bad {
        return relapse(shared, rules, now);
    }
    let gate = &shared.ejection;
    let passes = match gate.passage() {
        // It was given up, and answers after all: slow, or it hangs no more.
        shut @ Passage::Shut { .. } => gate.turn(shut, Passage::Passing, now),
        _ => {
            let relapses = u64::from(gate.relapses.load(Relaxed));
            let longer = saturating_nanos(rules.eject).saturating_mul(relapses).min(PROBATION_MAX);
            gate.succeed(now, gate.since().saturating_add(longer))
        }
    };
    if passes {
        shared.failures.store(0, Relaxed);
        shared.begin(now);
        shared.pool().release_ejection();
        shared.pool().bump();
    }
}

/// Ejects, if there is a place among those that may be; whether it did.
fn eject(shared: &SharedServer, rules: &Outlier, at_least: u64, most: u32, now: u64) -> bool {
    let (pool, gate) = (shared.pool(), &shared.ejection);
    if !pool.claim_ejection(most) {
        return false;
    }
    let healed = now.saturating_sub(gate.since()) / saturating_nanos(rules.eject).max(HEALING);
    let healed = u32::try_from(healed).unwrap_or(u32::MAX);
    let before = gate.times.load(Relaxed).saturating_sub(healed);
    let times = before.saturating_add(1);
    let until = now.saturating_add(duration(rules, times).max(at_least));
    if !gate.turn(Passage::Passing, Passage::Shut { until }, now) {
        pool.release_ejection();
        return false;
    }
    let relapses = gate.relapses.load(Relaxed).saturating_sub(healed);
    gate.relapses.store(relapses.saturating_add(u32::from(before > 0)), Relaxed);
    gate.times.store(times, Relaxed);
    shared.failures.store(0, Relaxed);
    pool.bump();
    true
}

/// The `times`th ejection.
fn duration(rules: &Outlier, times: u32) -> u64 {
    let grown = saturating_nanos(rules.eject).saturating_mul(u64::from(times.max(1)));
    grown.min(saturating_nanos(rules.eject_max))
}
