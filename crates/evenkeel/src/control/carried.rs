//! What the control plane tells the process that takes over: what was changed at runtime, and which
//! servers are known to be down or ejected, so that the new one does not begin by asking those, and the
//! versions that can be gone back to. Owns what is carried and how it is read again; counters and
//! latencies are not carried: a counter that begins again is what those who read them expect.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use evenkeel_balancer::{Check, Passage};
use evenkeel_proxy::shared::{Publication, ServerShared};
use serde::{Deserialize, Serialize};

use super::actor::servers;
use super::past::Past;
use super::state::Kept;
use crate::certs::OwnTickets;

/// See the module's head. Versions differ: what is not known is ignored, what is missing is nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Carried {
    #[serde(flatten)]
    pub(crate) kept: Kept,
    /// Of servers about which there is something to say.
    #[serde(default)]
    pub(crate) servers: Vec<Known>,
    /// So that it can be gone back.
    #[serde(default)]
    pub(crate) past: Past,
    /// So that sessions are resumed.
    #[serde(default)]
    pub(crate) tickets: Vec<OwnTickets>,
}

/// What is known of a server.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Known {
    pool: String,
    server: Box<str>,
    /// Checks found it down.
    #[serde(default)]
    down: bool,
    /// It is ejected for so long yet; for 0 it is on trial.
    #[serde(default)]
    ejected_ms: Option<u64>,
    /// How often it was ejected lately.
    #[serde(default)]
    ejections: u32,
}

/// What is to be said about servers.
pub(crate) fn known(publication: &Publication, now: Instant) -> Vec<Known> {
    let known = servers(publication).filter_map(|(pool, server, ServerShared { standing, .. })| {
        let shown = standing.standing();
        let ejected_ms = match shown.ejection {
            Passage::Passing => None,
            Passage::Trial { .. } => Some(0),
            Passage::Shut { until } => {
                let left = standing.pool().instant(until)?.saturating_duration_since(now);
                Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
            }
        };
        let (down, ejections) = (shown.check == Check::Down, shown.ejections);
        let is_telling = down || ejected_ms.is_some();
        is_telling.then_some(Known { pool, server, down, ejected_ms, ejections })
    });
    known.collect()
}

/// Goes on from what another process knew: of servers that are still there, and by what is still
/// configured, since what nobody checks any more would stay down for ever.
pub(crate) fn take_over(publication: &Publication, known: &[Known], now: Instant) {
    let known: HashMap<(&str, &str), &Known> =
        known.iter().map(|known| ((&*known.pool, &*known.server), known)).collect();
    let pools = publication.snapshot.pools.iter().zip(publication.servers.iter());
    for (pool, shared) in pools {
        let config = &pool.config;
        for (target, shared) in pool.targets.iter().zip(shared) {
            let Some(known) = known.get(&(&*config.name, &*target.key)) else { continue };
            if known.down && config.health.is_some() {
                shared.standing.set_check(Check::Down, now);
            }
            if let (Some(left), Some(rules)) = (known.ejected_ms, &config.outlier) {
                let left = Duration::from_millis(left).min(rules.eject_max);
                shared.standing.continue_ejection(now + left, known.ejections, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_proxy::shared::Ledger;
    use evenkeel_proxy::snapshot::{Resolved, Snapshot};
    use evenkeel_runtime as runtime;

    use super::*;

    fn publication(pool: &str) -> Publication {
        let text = format!(
            "listeners: {{ web: {{ bind: 127.0.0.1:1 }} }}\nroutes: [ {{ to: p }} ]\npools:\n  p:\n    \
             servers: [10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1]\n{pool}"
        );
        let source = evenkeel_config::Source { name: "test".into(), text };
        let config = evenkeel_config::load(&[source], &|_| None).unwrap().config;
        Ledger::new(1).publish(Snapshot::compile(&config, &Resolved::default()))
    }

    /// As a successor reads what its predecessor says.
    fn told(publication: &Publication, now: Instant) -> Vec<Known> {
        let carried = Carried { servers: known(publication, now), ..Carried::default() };
        let value = serde_json::to_value(carried).unwrap();
        serde_json::from_value::<Carried>(value).unwrap().servers
    }

    #[test]
    fn a_successor_knows_who_is_down_and_who_is_ejected_and_for_how_long() {
        let now = runtime::now();
        let old = publication("    health: { http: / }\n");
        old.servers[0][0].standing.set_check(Check::Down, now);
        old.servers[0][1].standing.continue_ejection(now + Duration::from_secs(7), 3, now);
        let new = publication("    health: { http: / }\n");
        take_over(&new, &told(&old, now), now);
        let standing = |n: usize| new.servers[0][n].standing.standing();
        assert_eq!((standing(0).check, standing(0).ejection), (Check::Down, Passage::Passing));
        assert_eq!((standing(1).check, standing(1).ejections), (Check::Unknown, 3));
        let Passage::Shut { until } = standing(1).ejection else { panic!("{:?}", standing(1)) };
        let left = new.pools[0].instant(until).unwrap().saturating_duration_since(now);
        assert_eq!((left.as_secs_f64().round(), new.pools[0].ejected()), (7.0, 1));
        assert_eq!(standing(2).ejection, Passage::Passing);
    }

    #[test]
    fn what_nothing_would_ever_correct_is_not_taken_over() {
        let now = runtime::now();
        let old = publication("    health: { http: / }\n");
        old.servers[0][0].standing.set_check(Check::Down, now);
        old.servers[0][0].standing.continue_ejection(now + Duration::from_secs(7), 3, now);
        let new = publication("    outlier: false\n");
        take_over(&new, &told(&old, now), now);
        let standing = new.servers[0][0].standing.standing();
        assert_eq!((standing.check, standing.ejection), (Check::Unknown, Passage::Passing));
    }

    #[test]
    fn a_predecessor_that_says_nothing_of_servers_is_understood() {
        let value = serde_json::to_value(Kept::default()).unwrap();
        assert_eq!(serde_json::from_value::<Carried>(value).unwrap().servers, []);
    }
}
