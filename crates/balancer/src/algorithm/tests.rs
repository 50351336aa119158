//! What each algorithm promises, as properties on virtual time and seeded chance.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::tests::epoch;
use crate::{
    Admin, Check, FailureKind, Lease, Pool, ServerSpec, SharedPool, SharedServer, Unavailable,
    hash_key,
};

fn specs(weights: &[u32]) -> Vec<ServerSpec> {
    crate::tests::specs(&SharedPool::new(epoch()), weights)
}

fn pool(weights: &[u32], algorithm: impl Algorithm + 'static, seed: u64) -> Pool {
    of(specs(weights), Box::new(algorithm), seed)
}

fn of(specs: Vec<ServerSpec>, algorithm: Box<dyn Algorithm>, seed: u64) -> Pool {
    let shared = specs.first().map(|spec| spec.shared.pool().clone());
    let mut pool = Pool::new(shared.unwrap_or_else(|| SharedPool::new(epoch())), algorithm, seed);
    pool.set_servers(specs, epoch());
    pool
}

/// Active checks say that a server is down, or up.
fn check(pool: &Pool, id: ServerId, check: Check) {
    pool.server(id).expect("known").shared.set_check(check, epoch());
}

fn pick(pool: &mut Pool, key: Option<u64>, now: Instant) -> Lease {
    pool.pick(Pick { key, ..Pick::new(now) }).expect("a server")
}

/// How often each slot is picked when every request ends at once.
fn shares(pool: &mut Pool, picks: usize) -> Vec<usize> {
    let now = epoch();
    let mut counts = Vec::new();
    for _ in 0..picks {
        let slot = pick(pool, None, now).server.slot as usize;
        if counts.len() <= slot {
            counts.resize(slot + 1, 0);
        }
        counts[slot] += 1;
    }
    counts
}

proptest! {
    #[test]
    fn round_robin_gives_each_server_exactly_its_turn(n in 1_usize..40, rounds in 1_usize..20, seed: u64) {
        let mut pool = pool(&vec![1; n], RoundRobin::default(), seed);
        prop_assert!(shares(&mut pool, n * rounds).iter().all(|count| *count == rounds));
    }

    #[test]
    fn weights_are_exact_over_a_cycle_and_spread_within_it(
        weights in prop::collection::vec(1_u32..20, 1..12),
        cycles in 1_usize..4,
    ) {
        let total: u32 = weights.iter().sum();
        let mut pool = pool(&weights, WeightedRoundRobin::default(), 1);
        let now = epoch();
        let mut counts = vec![0_u32; weights.len()];
        for turn in 1..=total * cycles as u32 {
            counts[pick(&mut pool, None, now).server.slot as usize] += 1;
            // Smooth: at every moment each server has its share, to within two requests.
            for (count, weight) in counts.iter().zip(&weights) {
                let due = f64::from(turn) * f64::from(*weight) / f64::from(total);
                prop_assert!((f64::from(*count) - due).abs() < 2.0, "{counts:?} of {weights:?}");
            }
        }
        for (count, weight) in counts.iter().zip(&weights) {
            prop_assert_eq!(*count, weight * cycles as u32);
        }
    }

    #[test]
    fn a_seed_replays(seed: u64) {
        let weights = [1, 2, 3, 4, 5];
        let run = || {
            let mut all = Vec::new();
            let algorithms: Vec<Box<dyn Algorithm>> = vec![
                Box::new(Random::default()), Box::new(PowerOfTwo), Box::new(LeastConnections),
                Box::new(PeakEwma::default()), Box::new(RoundRobin::default()),
            ];
            for algorithm in algorithms {
                let mut pool = of(specs(&weights), algorithm, seed);
                all.push(shares(&mut pool, 200));
            }
            all
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn nobody_is_picked_who_was_tried_is_down_or_weighs_nothing(seed: u64, down in 0_usize..5, tried in 0_u32..5) {
        let algorithms: Vec<Box<dyn Algorithm>> = vec![
            Box::new(RoundRobin::default()), Box::new(WeightedRoundRobin::default()), Box::new(Random::default()),
            Box::new(LeastConnections), Box::new(PowerOfTwo), Box::new(PeakEwma::default()),
            Box::new(RingHash::default()), Box::new(Maglev::default()),
        ];
        for algorithm in algorithms {
            let mut pool = of(specs(&[3, 0, 1, 5, 2]), algorithm, seed);
            let sick = pool.servers().ids().nth(down).expect("an id");
            check(&pool, sick, Check::Down);
            let tried = [ServerId { slot: tried, generation: 0 }];
            for key in 0..40 {
                let key = Some(hash_key(&u64::to_le_bytes(key)));
                let lease = pool.pick(Pick { key, ..Pick::new(epoch()).tried(&tried) }).expect("three are left");
                prop_assert_ne!(lease.server, tried[0]);
                prop_assert_ne!(lease.server, sick);
                prop_assert_ne!(lease.server.slot, 1);
            }
        }
    }

    #[test]
    fn hashes_agree_whatever_the_order_of_the_servers(seed: u64, keys in prop::collection::vec(any::<u64>(), 50)) {
        for ring in [true, false] {
            let build = |specs: Vec<ServerSpec>, seed| {
                let algorithm: Box<dyn Algorithm> =
                    if ring { Box::new(RingHash::default()) } else { Box::new(Maglev::default()) };
                of(specs, algorithm, seed)
            };
            let (mut one, mut other) = (specs(&[1, 2, 1, 3]), specs(&[1, 2, 1, 3]));
            other.reverse();
            let (mut one, mut other) = (build(std::mem::take(&mut one), seed), build(other, !seed));
            for key in &keys {
                let names = [&mut one, &mut other].map(|pool| {
                    let lease = pick(pool, Some(*key), epoch());
                    pool.server(lease.server).expect("known").key.clone()
                });
                prop_assert_eq!(&names[0], &names[1]);
            }
        }
    }
}

#[test]
fn random_follows_the_weights_within_two_percent() {
    let weights = [1, 2, 7];
    let counts = shares(&mut pool(&weights, Random::default(), 7), 100_000);
    for (count, weight) in counts.iter().zip(weights) {
        let share = *count as f64 / 100_000.0 - f64::from(weight) / 10.0;
        assert!(share.abs() < 0.02, "{counts:?}");
    }
}

/// Requests of random length on a pool; the largest number in flight at once at any server.
fn most_in_flight(algorithm: impl Algorithm + 'static) -> u32 {
    let mut pool = pool(&[1; 20], algorithm, 3);
    let mut rng = crate::Rng::from_seed(9);
    let mut running: Vec<Lease> = Vec::new();
    let mut most = 0;
    for _ in 0..20_000 {
        while running.len() >= 200 {
            drop(running.swap_remove(rng.below(running.len() as u32) as usize));
        }
        running.push(pick(&mut pool, None, epoch()));
        let loads = pool.servers().eligible().iter().filter_map(|id| pool.server(*id));
        most = most.max(loads.map(|server| server.shared.in_flight()).max().unwrap_or(0));
    }
    most
}

#[test]
fn load_aware_choices_keep_the_fullest_server_near_the_mean() {
    // 200 requests on 20 servers: a mean of 10.
    let random = most_in_flight(Random::default());
    let two = most_in_flight(PowerOfTwo);
    let least = most_in_flight(LeastConnections);
    assert!(random > 18, "{random}");
    assert!(two <= 16 && two < random, "{two}");
    assert!(least <= 13 && least <= two, "{least}");
}

#[test]
fn weights_count_for_load() {
    for algorithm in [Box::new(PowerOfTwo) as Box<dyn Algorithm>, Box::new(LeastConnections)] {
        let mut pool = of(specs(&[1, 3]), algorithm, 1);
        let leases: Vec<Lease> = (0..80).map(|_| pick(&mut pool, None, epoch())).collect();
        let heavy = leases.iter().filter(|lease| lease.server.slot == 1).count();
        assert!((55..=65).contains(&heavy), "{heavy} of 80");
    }
}

#[test]
fn load_is_true_across_workers() {
    let shared: Vec<ServerSpec> = specs(&[1, 1]);
    let mut workers: Vec<Pool> =
        (0..4).map(|seed| of(shared.clone(), Box::new(LeastConnections), seed)).collect();
    let mut leases = Vec::new();
    for n in 0..100 {
        leases.push(pick(&mut workers[n % 4], None, epoch()));
    }
    let loads: Vec<u32> = shared.iter().map(|spec| spec.shared.in_flight()).collect();
    assert_eq!(loads, [50, 50], "each worker sees what the others sent");
    drop(leases);
    assert!(shared.iter().all(|spec| spec.shared.in_flight() == 0));
}

/// Which server each of many keys goes to.
fn mapping(pool: &mut Pool) -> Vec<Box<str>> {
    let keys = (0..20_000_u64).map(|n| hash_key(&n.to_le_bytes()));
    keys.map(|key| {
        let lease = pick(pool, Some(key), epoch());
        pool.server(lease.server).expect("known").key.clone()
    })
    .collect()
}

fn moved(before: &[Box<str>], after: &[Box<str>]) -> f64 {
    let moved = before.iter().zip(after).filter(|(a, b)| a != b).count();
    moved as f64 / before.len() as f64
}

#[test]
fn a_ring_moves_only_the_keys_of_the_server_that_went() {
    for n in [5_usize, 20] {
        let mut pool = pool(&vec![1; n], RingHash::default(), 1);
        let before = mapping(&mut pool);
        let gone = pool.servers().ids().nth(2).expect("an id");
        let name = pool.server(gone).expect("known").key.clone();
        check(&pool, gone, Check::Down);
        let after = mapping(&mut pool);
        for (before, after) in before.iter().zip(&after) {
            assert!(*before == name || before == after, "a key of another server moved");
        }
        assert!(moved(&before, &after) < 1.5 / n as f64);
        check(&pool, gone, Check::Up);
        assert_eq!(mapping(&mut pool), before, "back as before");
    }
}

#[test]
fn maglev_moves_little_more_than_it_must_and_is_even() {
    for n in [5_usize, 20] {
        let mut pool = pool(&vec![1; n], Maglev::default(), 1);
        let before = mapping(&mut pool);
        let mut shares: HashMap<&str, usize> = HashMap::new();
        before.iter().for_each(|name| *shares.entry(name).or_default() += 1);
        let mean = 20_000.0 / n as f64;
        assert!(
            shares.values().all(|count| (*count as f64 / mean - 1.0).abs() < 0.15),
            "{shares:?}"
        );
        let gone = pool.servers().ids().nth(2).expect("an id");
        check(&pool, gone, Check::Down);
        assert!(moved(&before, &mapping(&mut pool)) < 2.0 / n as f64);
    }
}

#[test]
fn hashes_follow_the_weights() {
    for ring in [true, false] {
        let algorithm: Box<dyn Algorithm> =
            if ring { Box::new(RingHash::default()) } else { Box::new(Maglev::default()) };
        let mut pool = of(specs(&[1, 3, 6]), algorithm, 1);
        let mapping = mapping(&mut pool);
        for (n, weight) in [1.0, 3.0, 6.0].iter().enumerate() {
            let count = mapping.iter().filter(|name| ***name == *format!("10.0.0.{n}:80")).count();
            let share = count as f64 / 20_000.0;
            assert!((share / (weight / 10.0) - 1.0).abs() < 0.25, "{share} for weight {weight}");
        }
    }
}

#[test]
fn a_key_hashes_the_same_after_every_restart_and_on_every_machine() {
    assert_eq!(hash_key(b""), 0x2d06_8005_38d3_94c2);
    assert_eq!(hash_key(b"evenkeel"), hash_key(b"evenkeel"));
    let mut pool = pool(&[1; 4], Maglev::default(), 1);
    let lease = pick(&mut pool, Some(hash_key(b"user-1")), epoch());
    let mut again = super::tests::pool(&[1; 4], Maglev::default(), 99);
    assert_eq!(pick(&mut again, Some(hash_key(b"user-1")), epoch()).server, lease.server);
}

#[test]
fn a_bounded_hash_never_exceeds_its_bound() {
    for ring in [true, false] {
        let algorithm: Box<dyn Algorithm> = if ring {
            Box::new(RingHash::new(Some(1.25)))
        } else {
            Box::new(Maglev::new(Some(1.25)))
        };
        let mut pool = of(specs(&[1; 10]), algorithm, 1);
        let mut leases = Vec::new();
        for n in 1..=500 {
            // Everybody asks for the same key.
            leases.push(pick(&mut pool, Some(42), epoch()));
            let most = pool.servers().eligible().iter().filter_map(|id| pool.server(*id));
            let most = most.map(|server| server.shared.in_flight()).max().unwrap_or(0);
            assert!(f64::from(most) <= (1.25 * f64::from(n) / 10.0).ceil(), "{most} of {n}");
        }
    }
}

#[test]
fn the_slow_server_is_avoided_after_one_answer_and_tried_again_later() {
    let mut pool = pool(&[1, 1], PeakEwma::default(), 5);
    let mut now = epoch();
    let serve = |pool: &mut Pool, now: Instant, slow: Duration| {
        let lease = pick(pool, None, now);
        let is_slow = lease.server.slot == 0;
        let latency = if is_slow { slow } else { Duration::from_millis(10) };
        pool.finish(lease, Outcome::Success { latency }, now + latency);
        usize::from(is_slow)
    };
    let count = |pool: &mut Pool, now: &mut Instant, slow| {
        (0..200)
            .map(|_| {
                *now += Duration::from_millis(20);
                serve(pool, *now, slow)
            })
            .sum::<usize>()
    };
    assert!(count(&mut pool, &mut now, Duration::from_millis(500)) <= 5);
    now += Duration::from_secs(60); // forgotten
    let again = count(&mut pool, &mut now, Duration::from_millis(10));
    assert!(again >= 2, "{again} of 200: alone it is chosen only while it seems the faster one");
    let now = now + Duration::from_secs(1);
    let leases: Vec<Lease> = (0..40).map(|_| pick(&mut pool, None, now)).collect();
    let share = leases.iter().filter(|lease| lease.server.slot == 0).count();
    assert!((10..=30).contains(&share), "under load it has its share: {share} of 40");
}

/// A closed loop in virtual time: so many clients, each asking again as soon as it has its answer;
/// every server works on 16 requests at once and queues the rest. The latencies, and how many went
/// to the first server.
fn closed_loop(takes: &[u64], clients: usize, requests: usize) -> (Vec<Duration>, usize) {
    const SLOTS: usize = 16;
    let weights = vec![1; takes.len()];
    let mut pool = pool(&weights, PeakEwma::default(), 5);
    // For each server, when each of its slots is free again, in microseconds.
    let mut free = vec![[0_u64; SLOTS]; takes.len()];
    let mut running: BTreeMap<(u64, usize), (Lease, u64)> = BTreeMap::new();
    let (mut latencies, mut first) = (Vec::new(), 0);
    for asked in 0..requests {
        let now = match asked < clients {
            true => asked as u64,
            false => {
                let ((now, _), (lease, begun)) = running.pop_first().expect("a request runs");
                let latency = Duration::from_micros(now - begun);
                latencies.push(latency);
                let at = epoch() + Duration::from_micros(now);
                pool.finish(lease, Outcome::Success { latency }, at);
                now
            }
        };
        let lease = pick(&mut pool, None, epoch() + Duration::from_micros(now));
        let server = lease.server.slot as usize;
        first += usize::from(server == 0);
        let slot = free[server].iter_mut().min().expect("a slot");
        *slot = (*slot).max(now) + takes[server];
        running.insert((*slot, asked), (lease, now));
    }
    latencies.sort_unstable();
    (latencies, first)
}

#[test]
fn a_server_ten_times_slower_gets_next_to_nothing_while_the_others_are_busy() {
    let (latencies, slow) = closed_loop(&[20_000, 2_000, 2_000, 2_000], 64, 100_000);
    assert!(slow < 100, "{slow} of 100,000");
    let p99 = latencies[latencies.len() * 99 / 100];
    assert!(p99 < Duration::from_millis(8), "p99 is {p99:?}");
}

#[test]
fn a_server_half_as_fast_has_a_smaller_share_and_equal_ones_have_equal_shares() {
    let (_, slow) = closed_loop(&[4_000, 2_000, 2_000, 2_000], 24, 100_000);
    assert!((2_000..15_000).contains(&slow), "{slow} of 100,000");
    let (_, even) = closed_loop(&[2_000; 4], 24, 100_000);
    assert!((20_000..30_000).contains(&even), "{even} of 100,000");
}

#[test]
fn a_server_that_hangs_is_left_alone_whatever_it_was_like_before() {
    let mut pool = pool(&[1; 4], PeakEwma::default(), 5);
    let mut now = epoch();
    let mut held = Vec::new();
    for _ in 0..400 {
        now += Duration::from_millis(1);
        let lease = pick(&mut pool, None, now);
        let latency = Duration::from_millis(if lease.server.slot == 0 { 2 } else { 8 });
        match (lease.server.slot, now > epoch() + Duration::from_millis(100)) {
            (0, true) => held.push(lease), // it never answers again
            _ => pool.finish(lease, Outcome::Success { latency }, now + latency),
        }
    }
    assert!(held.len() < 30, "{} requests were lost on it", held.len());
}

#[test]
fn failing_fast_does_not_look_fast() {
    let mut pool = pool(&[1, 1], PeakEwma::default(), 5);
    let mut now = epoch();
    let mut failures = 0;
    for _ in 0..300 {
        now += Duration::from_millis(10);
        let lease = pick(&mut pool, None, now);
        let outcome = match lease.server.slot {
            0 => Outcome::Failure { latency: Duration::from_micros(50), kind: FailureKind::Error },
            _ => Outcome::Success { latency: Duration::from_millis(20) },
        };
        failures += usize::from(lease.server.slot == 0);
        pool.finish(lease, outcome, now);
    }
    assert!(failures <= 10, "{failures} of 300");
}

#[test]
fn a_failure_is_forgotten_within_seconds() {
    let mut pool = pool(&[1, 1], PeakEwma::default(), 5);
    let mut now = epoch();
    let mut failed = None;
    let mut again = None;
    for _ in 0..20_000 {
        now += Duration::from_millis(1);
        let lease = pick(&mut pool, None, now);
        let latency = Duration::from_millis(1);
        let outcome = match (lease.server.slot, failed) {
            (0, None) => {
                failed = Some(now);
                Outcome::Failure { latency, kind: FailureKind::Error }
            }
            _ => Outcome::Success { latency },
        };
        if lease.server.slot == 0 && failed.is_some_and(|at| at < now) && again.is_none() {
            again = failed.map(|at| now - at);
        }
        pool.finish(lease, outcome, now);
    }
    let again = again.expect("it is asked again");
    let expected = Duration::from_secs(2)..Duration::from_secs(10);
    assert!(expected.contains(&again), "{again:?}");
}

#[test]
fn a_server_that_stood_still_is_asked_again_within_seconds_and_a_slow_one_now_and_then() {
    let mut pool = pool(&[1, 1, 1], PeakEwma::default(), 5);
    let mut now = epoch();
    let mut asked = [0_u32; 40];
    for step in 0..40_000_usize {
        now += Duration::from_millis(1);
        let lease = pick(&mut pool, None, now);
        let latency = match (lease.server.slot, step) {
            (0, 1_000..2_000) => Duration::from_secs(5), // it stood still
            (0, 20_000..) => Duration::from_millis(50),  // it is slow
            _ => Duration::from_millis(1),
        };
        asked[step / 1_000] += u32::from(lease.server.slot == 0);
        pool.finish(lease, Outcome::Success { latency }, now);
    }
    assert!(asked[6..19].iter().all(|times| *times > 50), "{asked:?}");
    let slow: u32 = asked[21..].iter().sum();
    assert!((1..20).contains(&slow), "{asked:?}");
}

#[test]
fn a_server_that_came_back_is_not_measured_by_what_it_was() {
    let mut pool = pool(&[1, 1], PeakEwma::default(), 5);
    let mut now = epoch();
    for _ in 0..200 {
        now += Duration::from_millis(1);
        let lease = pick(&mut pool, None, now);
        let latency = Duration::from_millis(if lease.server.slot == 0 { 900 } else { 1 });
        pool.finish(lease, Outcome::Success { latency }, now);
    }
    let slow = pool.servers().ids().next().expect("two");
    let shared = pool.server(slow).expect("known").shared.clone();
    shared.set_check(Check::Down, now);
    now += Duration::from_secs(1);
    shared.set_check(Check::Up, now);
    // Slow start takes ten seconds; its old latency would need over a minute to be forgotten.
    let mut asked = 0;
    for step in 0..12_000 {
        now += Duration::from_millis(1);
        let lease = pick(&mut pool, None, now);
        asked += usize::from(lease.server == slow && step > 10_000);
        pool.finish(lease, Outcome::Success { latency: Duration::from_millis(1) }, now);
    }
    assert!(asked > 200, "{asked} of the last 2000");
}

#[test]
fn a_server_without_history_neither_floods_nor_starves() {
    let mut pool = pool(&[1; 4], PeakEwma::default(), 5);
    let mut now = epoch();
    for _ in 0..200 {
        now += Duration::from_millis(5);
        let lease = pick(&mut pool, None, now);
        pool.finish(lease, Outcome::Success { latency: Duration::from_millis(5) }, now);
    }
    let mut five = specs(&[1; 5]);
    for (spec, old) in five.iter_mut().zip(pool.servers().ids().filter_map(|id| pool.server(id))) {
        spec.shared = old.shared.clone();
    }
    pool.set_servers(five, now);
    let leases: Vec<Lease> = (0..50).map(|_| pick(&mut pool, None, now)).collect();
    let newcomer = leases.iter().filter(|lease| lease.server.slot == 4).count();
    assert!((1..=20).contains(&newcomer), "{newcomer} of 50");
}

#[test]
fn a_late_answer_of_a_removed_server_credits_nobody() {
    let mut pool = pool(&[1], PeakEwma::default(), 1);
    let now = epoch();
    let late = pick(&mut pool, None, now);
    let shared = SharedServer::new(pool.shared());
    pool.set_servers([ServerSpec { key: "new:80".into(), weight: 1, priority: 0, shared }], now);
    pool.finish(late, Outcome::Success { latency: Duration::from_secs(9) }, now);
    let id = pool.servers().ids().next().expect("one");
    assert_eq!((id.slot, id.generation), (0, 1), "the slot was given to another tenant");
    assert_eq!(pool.server(id).expect("known").latency(), None);
}

#[test]
fn servers_that_stay_keep_what_was_learned() {
    let mut pool = pool(&[1, 1], PeakEwma::default(), 1);
    let now = epoch();
    for _ in 0..20 {
        let lease = pick(&mut pool, None, now);
        pool.finish(lease, Outcome::Success { latency: Duration::from_millis(7) }, now);
    }
    let mut specs = specs(&[1, 1, 1]);
    specs.remove(0);
    pool.set_servers(specs, now);
    let known: Vec<Option<Duration>> =
        pool.servers().ids().filter_map(|id| pool.server(id)).map(crate::Server::latency).collect();
    assert_eq!(known.iter().flatten().count(), 1);
}

#[test]
fn why_there_is_no_server() {
    let now = epoch();
    let ask =
        |pool: &mut Pool, tried: &[ServerId]| pool.pick(Pick::new(now).tried(tried)).map(|_| ());
    assert_eq!(ask(&mut pool(&[], PowerOfTwo, 1), &[]), Err(Unavailable::NoServers));
    let mut one = pool(&[1], PowerOfTwo, 1);
    let id = one.servers().ids().next().expect("one");
    assert_eq!(ask(&mut one, &[id]), Err(Unavailable::AllTried));
    one.server(id).expect("known").shared.set_admin(Admin::Draining, now);
    assert_eq!(ask(&mut one, &[]), Err(Unavailable::NoneHealthy));
}
