//! Consistent hashing on a ring (Karger et al. 1997): every server has points on it in proportion
//! to its weight; a key belongs to the next point. When a server comes or goes, only keys next to
//! its own points move.

use super::hash::{Bound, WALK_MAX, choose};
use super::{Algorithm, PowerOfTwo};
use crate::slow_start::STEPS;
use crate::{Pick, Rng, ServerId, Servers, hash_key};

/// Points for each unit of weight: the share of a server then varies by about 8 %.
const POINTS: u32 = 160;
/// Points of the whole ring: 16 MiB. With more weight than that, servers get fewer points each.
const POINTS_MAX: u32 = 1 << 20;

/// See the module's head.
#[derive(Debug, Default)]
pub struct RingHash {
    points: Vec<(u64, ServerId)>,
    bounded_load: Option<f64>,
    keyless: PowerOfTwo,
}

impl RingHash {
    /// With a bound, a server takes at most `bounded_load` times the mean load.
    pub fn new(bounded_load: Option<f64>) -> Self {
        Self { bounded_load, ..Self::default() }
    }
}

impl Algorithm for RingHash {
    fn pick(&mut self, servers: &Servers, pick: &Pick<'_>, rng: &mut Rng) -> Option<ServerId> {
        let Some(key) = pick.key else { return self.keyless.pick(servers, pick, rng) };
        let begin = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at(begin);
        let walk = after.iter().chain(before).map(|(_, id)| *id).take(WALK_MAX as usize);
        let bound = Bound::new(servers, self.bounded_load);
        choose(servers, pick, bound.as_ref(), walk)
    }

    fn rebuild(&mut self, servers: &Servers) {
        let total: u64 = servers.eligible().iter().map(|id| u64::from(servers.tenths(*id))).sum();
        let fits = u64::from(POINTS_MAX) * u64::from(STEPS) / total.max(1);
        let per_weight = u64::from(POINTS).min(fits.max(1));
        self.points.clear();
        for id in servers.eligible() {
            let Some(server) = servers.server(*id) else { continue };
            let own = hash_key(server.key.as_bytes());
            for point in 0..points(per_weight, server.effective) {
                let mut place = [0; 16];
                let (first, second) = place.split_at_mut(8);
                first.copy_from_slice(&own.to_le_bytes());
                second.copy_from_slice(&point.to_le_bytes());
                self.points.push((hash_key(&place), *id));
            }
        }
        self.points.sort_unstable_by_key(|(point, id)| (*point, id.slot));
    }
}

fn points(per_weight: u64, tenths: u32) -> u64 {
    (per_weight * u64::from(tenths) / u64::from(STEPS)).max(1)
}
