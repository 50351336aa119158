//! Which servers may be picked now: weight, operator, checks, ejections, breakers, tiers of
//! priority, panic. Looked at again only when something changed or a time has come.

use std::collections::BTreeMap;

use crate::gate::Passage;
use crate::outlier::PROBATION;
use crate::server::{Server, ServerId, Servers};
use crate::standing::{Admin, Check, saturating_nanos};
use crate::{Rules, slow_start};

/// What a server may take, health and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing, whatever happens: its operator or its breaker says so.
    Out,
    /// Nothing, unless there is nobody else.
    Sick,
    /// A few requests at a time.
    Trial,
    /// Everything.
    Full,
}

/// Servers of one priority.
#[derive(Clone, Copy, Debug, Default)]
struct Tier {
    present: u32,
    healthy: u32,
    full: u32,
}

/// What a look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Who may be picked, or with which weight, is not what it was.
    pub(crate) changed: bool,
    /// When to look again though nothing was changed by anybody.
    pub(crate) again: Option<u64>,
}

impl Servers {
    /// Looks at everything.
    pub(crate) fn refresh(&mut self, rules: &Rules, now: u64) -> Look {
        let mut again = Again(None);
        let mut changed = false;
        let mut places = Vec::with_capacity(self.slots.len());
        let mut tiers: BTreeMap<u32, Tier> = BTreeMap::new();
        let (mut all, mut up) = (0_u32, 0_u32);
        let ramp = saturating_nanos(rules.slow_start);
        for slot in &mut self.slots {
            let Some(server) = &mut slot.server else {
                places.push(Place::Out);
                continue;
            };
            let (step, next) = slow_start::step(server.shared.entered(), ramp, now);
            again.at(next);
            let effective = server.weight.saturating_mul(step);
            changed |= effective != server.effective;
            server.effective = effective;
            server.apply(rules);
            let place = place(server, rules, now, &mut again);
            places.push(place);
            let enabled = server.weight > 0 && server.shared.admin() == Admin::Enabled;
            all += u32::from(enabled);
            up += u32::from(enabled && server.shared.check() != Check::Down);
            if place != Place::Out {
                let tier = tiers.entry(server.priority).or_default();
                tier.present += 1;
                tier.healthy += u32::from(place != Place::Sick);
                tier.full += u32::from(place == Place::Full);
            }
        }
        self.ejected_most = rules.outlier.as_ref().map_or(0, |outlier| {
            // Rounded down, and never the last one that is up.
            let share = (f64::from(all) * outlier.ejected_max.clamp(0.0, 1.0)) as u32;
            share.min(up.saturating_sub(1))
        });
        let (used, panics) = used_tier(&tiers, rules.panic_threshold);
        self.release_untried(used, now);
        changed |= self.list(&places, used, panics);
        self.panics = panics;
        Look { changed, again: again.0 }
    }

    /// Who is not asked for anything is not tried either, and would keep a place among those that
    /// may be ejected for ever: once its time is over it is taken for well until it is asked.
    fn release_untried(&self, used: Option<u32>, now: u64) {
        for server in self.slots.iter().filter_map(|slot| slot.server.as_ref()) {
            let shared = &server.shared;
            let is_asked = server.weight > 0
                && shared.admin() != Admin::Disabled
                && used.is_none_or(|used| server.priority <= used);
            if !is_asked
                && matches!(shared.ejection.passage(), Passage::Trial { .. })
                && shared.ejection.clear(now)
            {
                shared.pool().release_ejection();
                shared.pool().bump();
            }
        }
    }

    /// Makes the lists; whether those that may be picked are others than before.
    fn list(&mut self, places: &[Place], used: Option<u32>, panics: bool) -> bool {
        let before = std::mem::take(&mut self.eligible);
        self.eligible.reserve(before.len());
        self.trials.clear();
        let slots = self.slots.iter().zip(places).enumerate();
        for (at, (slot, place)) in slots {
            let (Some(server), Some(used)) = (&slot.server, used) else { continue };
            let id = ServerId { slot: at as u32, generation: slot.generation };
            if server.priority == used && (*place == Place::Full || panics && *place != Place::Out)
            {
                self.eligible.push(id);
            }
            // Those of better tiers too, or the pool would never return to them.
            if *place == Place::Trial && server.priority <= used {
                self.trials.push(id);
            }
        }
        self.eligible != before
    }
}

/// The tier that takes the requests, and whether health is ignored in it.
fn used_tier(tiers: &BTreeMap<u32, Tier>, threshold: f64) -> (Option<u32>, bool) {
    let suffices = |tier: &Tier| f64::from(tier.healthy) >= threshold * f64::from(tier.present);
    let lowest = |may: &dyn Fn(&Tier) -> bool| {
        tiers.iter().find(|(_, tier)| may(tier)).map(|(priority, _)| *priority)
    };
    if let Some(best) = lowest(&|tier| tier.full > 0 && suffices(tier)) {
        return (Some(best), false);
    }
    if let Some(on_trial) = lowest(&|tier| tier.healthy > 0 && suffices(tier)) {
        return (Some(on_trial), false);
    }
    match threshold > 0.0 {
        true => (lowest(&|tier| tier.present > 0), true),
        false => (None, false),
    }
}

fn place(server: &Server, rules: &Rules, now: u64, again: &mut Again) -> Place {
    let shared = &server.shared;
    shared.ejection.lapse(now, PROBATION);
    if let Some(breaker) = &rules.server_breaker {
        shared.breaker.lapse(now, breaker.probes);
    }
    if server.weight == 0 || shared.admin() != Admin::Enabled {
        return Place::Out;
    }
    let ejection = match rules.outlier {
        Some(_) => shared.ejection.passage(),
        None => Passage::Passing,
    };
    let breaker = match rules.server_breaker {
        Some(_) => shared.breaker.passage(),
        None => Passage::Passing,
    };
    for passage in [ejection, breaker] {
        if let Passage::Shut { until } = passage {
            again.at(Some(until));
        }
    }
    match (shared.check(), ejection, breaker) {
        (_, _, Passage::Shut { .. }) => Place::Out,
        (Check::Down, ..) | (_, Passage::Shut { .. }, _) => Place::Sick,
        (_, Passage::Passing, Passage::Passing) => Place::Full,
        _ => Place::Trial,
    }
}

/// The earliest of several times.
struct Again(Option<u64>);

impl Again {
    fn at(&mut self, at: Option<u64>) {
        self.0 = match (self.0, at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}
