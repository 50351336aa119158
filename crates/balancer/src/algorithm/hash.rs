//! What the two consistent hashes share: the bound on load, and the walk from a full or ineligible
//! server to the next candidate.

use crate::{Pick, ServerId, Servers};

/// Candidates asked before the bound is given up: with a bound above 1 some server is below the
/// mean, and a walk of this many finds one almost always.
pub(super) const WALK_MAX: u32 = 64;

/// The most that any server may have in flight, for its weight, under the bound `factor`
/// (Mirrokni, Thorup and Zadimoghaddam 2016).
pub(super) struct Bound {
    per_weight: f64,
}

impl Bound {
    pub(super) fn new(servers: &Servers, factor: Option<f64>) -> Option<Self> {
        let factor = factor?.max(1.0);
        let (mut load, mut weight) = (0.0, 0.0);
        for server in servers.eligible().iter().filter_map(|id| servers.server(*id)) {
            load += f64::from(server.shared.in_flight());
            weight += server.effective_weight();
        }
        Some(Self { per_weight: factor * (load + 1.0) / weight.max(0.1) })
    }

    fn allows(&self, servers: &Servers, id: ServerId) -> bool {
        servers.server(id).is_some_and(|server| {
            let capacity = (self.per_weight * server.effective_weight()).ceil();
            f64::from(server.shared.in_flight().saturating_add(1)) <= capacity
        })
    }
}

/// The first of `candidates` that was not tried, is not saturated and is within the bound; if none
/// is, the first that is only beyond the bound.
pub(super) fn choose(
    servers: &Servers,
    pick: &Pick<'_>,
    bound: Option<&Bound>,
    candidates: impl Iterator<Item = ServerId>,
) -> Option<ServerId> {
    let mut fallback = None;
    for id in candidates {
        if pick.tried.contains(&id) {
            continue;
        }
        if !servers.has_room(id) {
            continue;
        }
        if bound.is_none_or(|bound| bound.allows(servers, id)) {
            return Some(id);
        }
        fallback = fallback.or(Some(id));
    }
    fallback
}
