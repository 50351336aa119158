//! The less loaded, for its weight, of two drawn at random (Mitzenmacher 2001). Needs no order
//! among servers, so it costs the same for any number of them, and workers that decide at the same
//! moment do not all choose the same one.

use super::{Algorithm, draw_two};
use crate::{Pick, Rng, ServerId, Servers};

/// See the module's head.
#[derive(Debug, Default)]
pub struct PowerOfTwo;

impl Algorithm for PowerOfTwo {
    fn pick(&mut self, servers: &Servers, _: &Pick<'_>, rng: &mut Rng) -> Option<ServerId> {
        let (first, second) = draw_two(servers, rng)?;
        // The draw is random, so taking the first of two equals favours nobody.
        Some(if servers.load(second) < servers.load(first) { second } else { first })
    }
}
