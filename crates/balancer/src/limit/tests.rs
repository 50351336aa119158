//! What limits promise, on virtual time: never more than rate × time + burst for any key, whatever
//! others do, in memory that does not grow.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

#[allow(clippy::disallowed_methods)] // some moment; only differences matter
fn start() -> Instant {
    Instant::now()
}

fn rate(count: u32, period: Duration) -> Rate {
    Rate { count, period }
}

fn limiter(kind: Kind, rate: Rate, memory: u64, now: Instant) -> Limiter {
    Limiter::new(Meter::new(kind, rate), memory, 7, now)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_burst_passes_at_once_and_then_as_many_as_the_rate_allows() {
    let start = start();
    let limiter = limiter(Kind::TokenBucket { burst: 3 }, rate(10, SECOND), 4096, start);
    let remaining: Vec<_> = (0..3).map(|_| limiter.take(b"a", start).remaining).collect();
    assert_eq!(remaining, [2, 1, 0]);
    let refused = limiter.take(b"a", start);
    assert_eq!((refused.allowed, refused.retry_after), (false, SECOND / 10));
    assert_eq!(refused.reset, 3 * SECOND / 10);
    assert!(!limiter.take(b"a", start + SECOND / 10 - Duration::from_nanos(1)).allowed);
    assert!(limiter.take(b"a", start + SECOND / 10).allowed);
    assert!(limiter.take(b"b", start).allowed, "another key has its own");
}

#[test]
fn the_quota_of_a_policy_is_its_rate() {
    let quota = |kind, count, period| Meter::new(kind, rate(count, period)).quota();
    assert_eq!(quota(Kind::TokenBucket { burst: 200 }, 100, SECOND), (200, 2));
    assert_eq!(quota(Kind::TokenBucket { burst: 1 }, 100, SECOND), (1, 1));
    assert_eq!(quota(Kind::FixedWindow, 1000, 60 * SECOND), (1000, 60));
}

#[test]
fn a_fixed_window_begins_again_for_everybody_at_the_same_moment() {
    let start = start();
    let limiter = limiter(Kind::FixedWindow, rate(2, 10 * SECOND), 4096, start);
    let late = start + 9 * SECOND;
    assert!(limiter.take(b"a", late).allowed && limiter.take(b"a", late).allowed);
    let refused = limiter.take(b"a", late);
    assert_eq!((refused.allowed, refused.retry_after), (false, SECOND));
    assert!(limiter.take(b"a", start + 10 * SECOND).allowed);
}

#[test]
fn a_clock_that_was_read_a_moment_earlier_brings_no_window_back() {
    let start = start();
    for kind in [Kind::FixedWindow, Kind::SlidingWindow] {
        let limiter = limiter(kind, rate(2, SECOND), 4096, start);
        let (before, after) = (start + SECOND - SECOND / 1000, start + SECOND);
        assert!(limiter.take(b"a", after).allowed && limiter.take(b"a", after).allowed);
        assert!(!limiter.take(b"a", before).allowed, "{kind:?}");
        assert!(!limiter.take(b"a", after).allowed, "{kind:?}");
    }
}

#[test]
fn a_sliding_window_remembers_the_one_before() {
    let start = start();
    let limiter = limiter(Kind::SlidingWindow, rate(10, 10 * SECOND), 4096, start);
    let count = |now| (0..20).filter(|_| limiter.take(b"a", now).allowed).count();
    assert_eq!(count(start + 9 * SECOND), 10);
    assert_eq!(count(start + 10 * SECOND), 0, "nothing at the border");
    assert_eq!(count(start + 15 * SECOND), 5);
    assert_eq!(count(start + 35 * SECOND), 10);
}

#[test]
fn who_waits_as_long_as_told_is_let_through() {
    let start = start();
    for kind in [Kind::TokenBucket { burst: 4 }, Kind::FixedWindow, Kind::SlidingWindow] {
        let limiter = limiter(kind, rate(7, 3 * SECOND), 4096, start);
        let mut now = start;
        for step in 0..200_u32 {
            let decision = limiter.take(b"a", now);
            if !decision.allowed {
                assert!(decision.retry_after > Duration::ZERO, "{kind:?} {step}");
                now += decision.retry_after;
                assert!(limiter.take(b"a", now).allowed, "{kind:?} {step}");
            }
            now += SECOND * (step % 5) / 20;
        }
    }
}

#[test]
fn ten_million_keys_stay_in_their_memory_and_a_hot_key_stays_exact() {
    let start = start();
    let memory = 1 << 20;
    let limiter = limiter(Kind::TokenBucket { burst: 10 }, rate(100, SECOND), memory, start);
    let bytes = limiter.table.memory();
    let (mut hot, mut strangers) = (0_u64, 0_u64);
    for n in 0..10_000_000_u64 {
        let now = start + Duration::from_micros(n); // a million new keys a second
        strangers += u64::from(limiter.take(&n.to_le_bytes(), now).allowed);
        if n % 1000 == 0 {
            hot += u64::from(limiter.take(b"hot", now).allowed); // a thousand a second
        }
    }
    assert_eq!(limiter.table.memory(), bytes);
    assert!(bytes as u64 <= memory);
    let most = 100 * 10 + 10;
    assert!(hot <= most, "{hot}");
    assert!(hot >= most * 9 / 10, "{hot}: the flood took what was the hot key's");
    // 61,440 words of 100 a second are more than the flood needs.
    assert!(strangers > 9_990_000, "{strangers}");
}

#[test]
fn a_full_table_is_stricter_and_never_laxer() {
    let start = start();
    // One set: fifteen words for a thousand keys, none of which may have more than two in an hour.
    let limiter = limiter(Kind::TokenBucket { burst: 2 }, rate(2, 3600 * SECOND), 1, start);
    let mut passed = vec![0_u32; 1000];
    for round in 0..20_u32 {
        for (key, passed) in passed.iter_mut().enumerate() {
            let now = start + Duration::from_millis(u64::from(round) * 1000 + key as u64);
            *passed += u32::from(limiter.take(&key.to_le_bytes(), now).allowed);
        }
    }
    assert!(passed.iter().all(|passed| *passed <= 2), "{passed:?}");
    assert!(passed.iter().sum::<u32>() >= 30);
}

#[test]
fn four_workers_that_hammer_one_key_get_what_one_would() {
    let start = start();
    for round in 0..20 {
        let limiter = limiter(Kind::TokenBucket { burst: 50 }, rate(1000, SECOND), 4096, start);
        let (passed, clock) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let micros = clock.fetch_add(10, Relaxed);
                        let now = start + Duration::from_micros(micros);
                        passed.fetch_add(u64::from(limiter.take(b"k", now).allowed), Relaxed);
                    }
                });
            }
        });
        let most = clock.load(Relaxed) / 1000 + 50;
        let passed = passed.load(Relaxed);
        assert!(passed <= most, "round {round}: {passed} of {most}");
        assert!(passed >= most - 5, "round {round}: {passed} of {most}");
    }
}

#[test]
fn workers_that_fight_over_one_set_let_no_key_have_more() {
    let start = start();
    let limiter = limiter(Kind::TokenBucket { burst: 3 }, rate(3, 3600 * SECOND), 1, start);
    let passed: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        for worker in 0..4_usize {
            let (limiter, passed) = (&limiter, &passed);
            scope.spawn(move || {
                for n in 0..50_000_usize {
                    let key = n.wrapping_mul(31).wrapping_add(worker * 7) % passed.len();
                    let allowed = limiter.take(&key.to_le_bytes(), start).allowed;
                    passed[key].fetch_add(u64::from(allowed), Relaxed);
                }
            });
        }
    });
    for (key, passed) in passed.iter().enumerate() {
        assert!(passed.load(Relaxed) <= 3, "{key}: {passed:?}");
    }
}

#[test]
fn slots_are_given_back_and_never_more_than_there_are() {
    let slots = Slots::new(2, 4096, 7);
    let (first, second) = (slots.enter(b"a"), slots.enter(b"a"));
    assert!(first.is_some() && second.is_some());
    assert!(slots.enter(b"a").is_none());
    assert!(slots.enter(b"b").is_some());
    drop(first);
    assert!(slots.enter(b"a").is_some());
}

#[test]
fn slots_of_a_full_table_are_all_given_back() {
    let slots = Slots::new(4, 1, 7);
    std::thread::scope(|scope| {
        for worker in 0..4_u32 {
            let slots = &slots;
            scope.spawn(move || {
                for n in 0..5000_u32 {
                    let held: Vec<_> =
                        (0..20).map(|k| slots.enter(&(n + k * worker).to_le_bytes())).collect();
                    drop(held);
                }
            });
        }
    });
    for key in 0..15_u32 {
        let held: Vec<_> = (0..4).map(|_| slots.enter(&key.to_le_bytes())).collect();
        assert!(held.iter().all(Option::is_some), "{key}");
    }
}

#[test]
fn what_is_owed_is_waited_for() {
    let start = start();
    let bandwidth = Bandwidth::new(1000, 500, 4096, 7, start);
    assert_eq!(bandwidth.spend(b"a", 500, start), Duration::ZERO);
    assert_eq!(bandwidth.spend(b"a", 1000, start), SECOND);
    assert_eq!(bandwidth.spend(b"b", 1000, start), SECOND / 2);
    assert_eq!(bandwidth.spend(b"a", 0, start + SECOND), Duration::ZERO);
}

proptest! {
    #[test]
    fn in_no_time_does_more_pass_than_the_rate_and_a_burst(
        count in 1_u32..200,
        period in 1_u64..100_000,
        burst in 1_u32..50,
        waits in prop::collection::vec(0_u64..5_000, 1..400),
    ) {
        let start = start();
        let period = Duration::from_millis(period);
        let limiter = limiter(Kind::TokenBucket { burst }, rate(count, period), 4096, start);
        let mut now = start;
        let mut passed = Vec::new();
        for wait in waits {
            now += Duration::from_micros(wait * 37);
            let decision = limiter.take(b"k", now);
            if decision.allowed {
                passed.push(now);
            }
            prop_assert!(decision.allowed || decision.retry_after > Duration::ZERO);
            prop_assert!(decision.remaining < u64::from(burst));
        }
        for (first, from) in passed.iter().enumerate() {
            for (last, until) in passed.iter().enumerate().skip(first) {
                let time = (*until - *from).as_secs_f64() / period.as_secs_f64();
                let most = f64::from(count) * time + f64::from(burst) + 1e-6;
                prop_assert!((last - first + 1) as f64 <= most);
            }
        }
    }

    #[test]
    fn no_window_lets_more_pass_than_its_count(
        count in 1_u32..50,
        sliding: bool,
        waits in prop::collection::vec(0_u64..400, 1..400),
    ) {
        let start = start();
        let kind = if sliding { Kind::SlidingWindow } else { Kind::FixedWindow };
        let limiter = limiter(kind, rate(count, SECOND), 4096, start);
        let mut now = start;
        let mut windows = std::collections::HashMap::new();
        for wait in waits {
            now += Duration::from_millis(wait);
            let passed = windows.entry((now - start).as_secs()).or_insert(0);
            *passed += u32::from(limiter.take(b"k", now).allowed);
            prop_assert!(*passed <= count);
        }
    }
}
