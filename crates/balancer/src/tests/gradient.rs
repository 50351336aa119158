//! The adaptive limit on a server that works on so many requests at once and queues the rest.

use std::collections::BTreeMap;

use super::*;
use crate::Adaptive;

/// A closed loop of many clients against one server with `slots` of 10 ms each: the limit after so
/// many seconds, the least limit on the way, and the requests served.
fn serve(slots: usize, clients: usize, seconds: u64) -> (u32, u32, usize) {
    let adaptive = Adaptive { initial: 20, min: 10, max: 1_000, tolerance: 1.5 };
    let mut world = World::new(1, 1, Rules { adaptive: Some(adaptive), ..Rules::default() });
    let begun = world.now;
    let mut free = vec![0_u64; slots];
    let mut running: BTreeMap<(u64, usize), (Lease, u64)> = BTreeMap::new();
    let (mut served, mut least, mut number) = (0, u32::MAX, 0);
    let mut at = 0;
    while at < seconds * 1_000_000 {
        world.now = begun + Duration::from_micros(at);
        while running.len() < clients {
            let Ok(lease) = world.pick(0) else { break };
            let slot = free.iter_mut().min().expect("a slot");
            *slot = (*slot).max(at) + 10_000;
            number += 1;
            running.insert((*slot, number), (lease, at));
        }
        let ((done, _), (lease, asked)) = running.pop_first().expect("traffic is never pinned");
        at = done;
        world.now = begun + Duration::from_micros(at);
        let latency = Duration::from_micros(done - asked);
        world.workers[0].finish(lease, Outcome::Success { latency }, world.now);
        served += 1;
        least = least.min(world.servers[0].standing().limit.unwrap_or(20));
    }
    (world.servers[0].standing().limit.unwrap_or(0), least, served)
}

#[test]
fn it_finds_a_limit_at_which_the_server_is_busy_and_its_queue_short() {
    let (limit, least, served) = serve(50, 500, 60);
    assert!((45..=120).contains(&limit), "{limit} for 50 slots");
    assert!(least >= 10);
    // 5,000 a second at best.
    assert!(served > 60 * 5_000 * 9 / 10, "{served}");
}

#[test]
fn a_limit_that_is_not_used_does_not_grow() {
    let (limit, ..) = serve(50, 5, 20);
    assert_eq!(limit, 0, "nothing was published: it is as at the start");
}
