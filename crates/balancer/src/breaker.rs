//! Circuit breakers by error rate, for a server and for the pool: closed, open, half-open with so
//! many probes; a failed probe opens it again for twice as long. And the pool's limit on requests
//! in flight, which is asked at the same place.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::gate::{Gate, Passage};
use crate::outlier::Case;
use crate::standing::saturating_nanos;
use crate::verdict::FailureKind;
use crate::window::Window;
use crate::{Breaker, Pool, Rules, ServerId, SharedPool, Unavailable};

/// An open time grows to at most this many times the first.
const GROWTH_MAX: u64 = 10;

/// A request counted as the pool's, and as a probe of its breaker.
#[derive(Debug)]
pub(crate) struct Admission {
    pool: Arc<SharedPool>,
    counted: bool,
    pub(crate) probe: bool,
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.counted {
            self.pool.leave();
        }
        if self.probe {
            self.pool.breaker.leave(true);
        }
    }
}

/// Whether the pool takes one more.
pub(crate) fn admit(
    pool: &Arc<SharedPool>,
    rules: &Rules,
    now: Instant,
) -> Result<Admission, Unavailable> {
    let mut admission = Admission { pool: pool.clone(), counted: false, probe: false };
    if let Some(limit) = rules.limits.in_flight {
        admission.counted = pool.enter(limit);
        if !admission.counted {
            return Err(Unavailable::Saturated);
        }
    }
    if let Some(breaker) = &rules.breaker {
        let now = pool.nanos(now);
        if pool.breaker.lapse(now, breaker.probes) {
            pool.bump();
        }
        admission.probe = match pool.breaker.passage() {
            Passage::Passing => false,
            Passage::Shut { .. } => return Err(Unavailable::BreakerOpen),
            Passage::Trial { .. } => {
                if !pool.breaker.enter(now, breaker.probes) {
                    return Err(Unavailable::BreakerOpen);
                }
                true
            }
        };
    }
    Ok(admission)
}

/// Tells the breakers of the server and of the pool how a request went.
pub(crate) fn judge(pool: &mut Pool, id: ServerId, case: Case, probe: bool, now: u64) {
    if let Some(rules) = &pool.rules.server_breaker
        && let Some(server) = pool.servers.server_mut(id)
        && learn(
            &server.shared.breaker,
            rules,
            server.breaker.as_deref_mut(),
            case,
            case.trial.breaker,
            now,
        )
    {
        pool.shared.bump();
    }
    if let Some(rules) = &pool.rules.breaker
        && learn(&pool.shared.breaker, rules, pool.breaker.as_deref_mut(), case, probe, now)
    {
        pool.shared.bump();
    }
}

/// Whether the breaker turned.
fn learn(
    gate: &Gate,
    rules: &Breaker,
    window: Option<&mut Window>,
    case: Case,
    probe: bool,
    now: u64,
) -> bool {
    let bad = case.failed.is_some_and(|kind| kind != FailureKind::Busy);
    match (probe, gate.passage()) {
        (true, half_open @ Passage::Trial { .. }) if bad => open(gate, rules, half_open, now),
        (true, Passage::Trial { .. }) => {
            let closes = gate.succeed(now, 0);
            if closes {
                gate.times.store(0, Relaxed);
            }
            closes
        }
        (_, Passage::Passing) if case.begun >= gate.since() => {
            let Some(window) = window else { return false };
            if window.from < gate.since() {
                window.clear(gate.since());
            }
            let counts = window.add(now, u32::from(!case.again), u32::from(bad));
            bad && counts.first >= rules.rate.requests_min.max(1)
                && counts.share() >= rules.rate.share
                && open(gate, rules, Passage::Passing, now)
        }
        _ => false,
    }
}

fn open(gate: &Gate, rules: &Breaker, from: Passage, now: u64) -> bool {
    let times = gate.times.load(Relaxed);
    let growth = 1_u64.checked_shl(times).unwrap_or(GROWTH_MAX).min(GROWTH_MAX);
    let until = now.saturating_add(saturating_nanos(rules.open).saturating_mul(growth));
    let opened = gate.turn(from, Passage::Shut { until }, now);
    if opened {
        gate.times.store(times.saturating_add(1), Relaxed);
    }
    opened
}
