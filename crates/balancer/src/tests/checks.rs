//! The verdict of active checks, and when they are made.

use proptest::prelude::*;

use super::{World, ms, secs};
use crate::health::{Schedule, Verdict};
use crate::{Check, Rng, Rules};
use std::time::Duration;

const SCHEDULE: Schedule = Schedule {
    interval: Duration::from_secs(5),
    interval_changing: Duration::from_secs(1),
    interval_down_max: Duration::from_secs(30),
    rise: 2,
    fall: 3,
};

fn take(verdict: &mut Verdict, good: bool) -> (Option<Check>, Duration) {
    let next = verdict.take(good, Duration::ZERO, &SCHEDULE, &mut Rng::from_seed(1));
    (next.changed, next.wait)
}

#[test]
fn so_many_failures_in_a_row_take_it_out_and_so_many_successes_bring_it_back() {
    let mut verdict = Verdict::default();
    assert_eq!(take(&mut verdict, true).0, Some(Check::Up), "the first answer is enough");
    let results = [false, false, true, false, false, false, true, false, true, true];
    let changes: Vec<_> = results.map(|good| take(&mut verdict, good).0).into();
    let mut expected = vec![None; 10];
    expected[5] = Some(Check::Down);
    expected[9] = Some(Check::Up);
    assert_eq!(changes, expected);
}

#[test]
fn it_is_checked_faster_while_it_changes_and_slower_while_it_stays_down() {
    let about = |wait: Duration, want: f64| (wait.as_secs_f64() / want - 1.0).abs() <= 0.1001;
    let mut verdict = Verdict::of(Check::Up);
    assert!(about(take(&mut verdict, true).1, 5.0));
    assert!(about(take(&mut verdict, false).1, 1.0));
    assert!(about(take(&mut verdict, false).1, 1.0));
    let waits: Vec<f64> = (0..12).map(|_| take(&mut verdict, false).1.as_secs_f64()).collect();
    assert!(waits[0] < 5.6 && waits[11] > 26.9 && waits.iter().all(|w| *w <= 33.01), "{waits:?}");
    assert!(about(take(&mut verdict, true).1, 1.0), "the first sign of life is followed up");
}

#[test]
fn a_time_limit_that_fires_late_is_this_processs_own_failure() {
    let mut verdict = Verdict::of(Check::Up);
    for _ in 0..10 {
        let next = verdict.take(false, secs(2), &SCHEDULE, &mut Rng::from_seed(1));
        assert_eq!(next.changed, None);
    }
    assert_eq!(verdict, Verdict::of(Check::Up));
}

#[test]
fn ten_thousand_servers_are_checked_without_a_burst() {
    let mut rng = Rng::from_seed(3);
    let mut slots = vec![0_u32; 60 * 100];
    for nth in 0..10_000 {
        let mut verdict = Verdict::default();
        let mut at = SCHEDULE.first(nth, 10_000, &mut rng);
        while at < secs(60) {
            slots[(at.as_millis() / 10) as usize] += 1;
            at += verdict.take(true, Duration::ZERO, &SCHEDULE, &mut rng).wait;
        }
    }
    // 2,000 a second: 20 in each 10 ms.
    let most = slots.iter().max().copied().unwrap_or(0);
    assert!(most <= 50, "{most} in 10 ms");
}

proptest! {
    #[test]
    fn waits_are_within_their_bounds_whatever_happens(seed: u64, results in prop::collection::vec(any::<bool>(), 1..200)) {
        let mut rng = Rng::from_seed(seed);
        let mut verdict = Verdict::default();
        for good in results {
            let next = verdict.take(good, Duration::ZERO, &SCHEDULE, &mut rng);
            prop_assert!(next.wait >= ms(900) && next.wait <= ms(33_000));
        }
    }

    #[test]
    fn no_setting_makes_it_panic(interval: u64, most: u64, n: usize, count: usize, good: bool, seed: u64) {
        let schedule = Schedule {
            interval: Duration::from_secs(interval),
            interval_changing: Duration::from_secs(most),
            interval_down_max: Duration::from_secs(most),
            rise: 0,
            fall: 0,
        };
        let mut rng = Rng::from_seed(seed);
        let _ = schedule.first(n, count, &mut rng);
        let _ = Verdict::default().take(good, Duration::ZERO, &schedule, &mut rng);
    }
}

#[test]
fn only_what_changes_who_may_be_picked_makes_workers_look_again() {
    let world = World::new(1, 2, Rules::default());
    let mut version = world.shared.version();
    for (check, changes) in [
        (Check::Up, false), // unknown counted as up
        (Check::Down, true),
        (Check::Unknown, true),
        (Check::Down, true),
        (Check::Up, true),
        (Check::Unknown, false),
    ] {
        world.servers[0].set_check(check, world.now);
        let before = std::mem::replace(&mut version, world.shared.version());
        assert_eq!(version != before, changes, "{check:?}");
    }
}
