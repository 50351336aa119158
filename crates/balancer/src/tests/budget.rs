//! The retry budget and the delay of hedges.

use proptest::prelude::*;

use super::*;
use crate::Budget;

/// Attempts for each request when everything fails for ten seconds after a minute of health; each
/// failed request asks for two more tries.
fn amplification(rate: u64) -> f64 {
    let mut world = World::new(1, 3, Rules::default());
    let gap = Duration::from_nanos(1_000_000_000 / rate);
    for _ in 0..rate * 10 {
        world.pass(gap);
        world.request(0, |_| good()).expect("a server");
    }
    let (mut requests, mut attempts) = (0_u64, 0_u64);
    for _ in 0..rate * 10 {
        world.pass(gap);
        requests += 1;
        for attempt in 0..3 {
            if attempt > 0 && !world.workers[0].withdraw(world.now) {
                break;
            }
            attempts += 1;
            world.request(0, |_| bad(FailureKind::Refused)).expect("a server");
        }
    }
    attempts as f64 / requests as f64
}

#[test]
fn when_everything_fails_retries_stop() {
    for rate in [10, 100, 1_000, 10_000] {
        let amplification = amplification(rate);
        assert!(amplification <= 1.1, "{amplification} at {rate} a second");
    }
}

#[test]
fn a_pool_with_little_traffic_may_retry_so_often_a_second_and_a_hopeless_one_not() {
    let mut world = World::new(2, 3, Rules::default());
    let granted = (0..40).filter(|n| world.workers[n % 2].withdraw(world.now)).count();
    assert_eq!(granted, 15, "3 a second, over 5 s, of all workers together");
    world.pass(secs(5));
    assert!(world.workers[1].withdraw(world.now));
    for _ in 0..20 {
        let _ = world.request(0, |_| bad(FailureKind::Reset));
    }
    world.pass(secs(5));
    assert!(!world.workers[0].withdraw(world.now));
    world.request(0, |_| good()).expect("a server");
    assert!(world.workers[0].withdraw(world.now), "the first success ends it");
}

proptest! {
    #[test]
    fn the_budget_is_never_exceeded(
        ratio in 0.0_f64..1.0, min in 0_u32..6,
        steps in prop::collection::vec((0_u64..400, 0_u8..3), 1..600),
    ) {
        let budget = Budget { ratio, min };
        let mut world = World::new(1, 2, Rules { budget, ..Rules::default() });
        let (mut earned, mut spent) = (Vec::new(), Vec::new());
        for (time, what) in steps {
            world.pass(ms(time));
            match what {
                0 => { world.request(0, |_| bad(FailureKind::Reset)).expect("a server"); }
                1 => {
                    world.request(0, |_| good()).expect("a server");
                    earned.push(world.now);
                }
                _ if world.workers[0].withdraw(world.now) => spent.push(world.now),
                _ => {}
            }
            // Of the last two seconds: the share, and the minimum of at most two periods of five.
            let since = world.now - secs(2);
            let of = |times: &[Instant]| times.iter().filter(|at| **at > since).count() as f64;
            // Successes leave the window by tenths.
            let whole = earned.iter().filter(|at| **at > since - secs(2)).count() as f64;
            prop_assert!(of(&spent) <= ratio * whole + f64::from(min) * 10.0);
        }
    }
}

#[test]
fn a_hedge_waits_for_the_p95_that_the_pool_shows_and_follows_it() {
    let mut world = World::new(1, 2, Rules { hedge: true, ..Rules::default() });
    let serve = |world: &mut World, latency| {
        let outcome = Outcome::Success { latency };
        world.request(0, |_| outcome).expect("a server");
        world.workers[0].hedge_delay()
    };
    assert!((0..19).all(|_| serve(&mut world, ms(1)).is_none()), "too little is known");
    assert_eq!(serve(&mut world, ms(1)), Some(ms(5)), "never below 5 ms");
    for n in 0..1_000 {
        serve(&mut world, ms(if n % 100 < 90 { 20 } else { 100 }));
    }
    let delay = world.workers[0].hedge_delay().expect("known");
    assert!((ms(100)..ms(120)).contains(&delay), "{delay:?}");
    for _ in 0..10_000 {
        serve(&mut world, ms(10));
    }
    let delay = world.workers[0].hedge_delay().expect("known");
    assert!((ms(10)..ms(12)).contains(&delay), "{delay:?}");
    for latency in [Duration::ZERO, Duration::MAX] {
        assert!(serve(&mut world, latency).is_some());
    }
}
