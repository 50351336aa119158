//! Tiers, panic, slow start, draining, bound clients.

use super::*;
use crate::algorithm::{
    LeastConnections, Maglev, PeakEwma, PowerOfTwo, Random, RingHash, WeightedRoundRobin,
};
use crate::{Admin, Check, Outlier, Passage, hash_key};

/// Makes an algorithm.
type Make = fn() -> Box<dyn Algorithm>;

fn round_robin() -> Box<dyn Algorithm> {
    Box::new(RoundRobin::default())
}

#[test]
fn a_tier_without_a_healthy_server_hands_over_to_the_next_and_takes_back() {
    let mut world = World::with(1, &[0, 0, 1, 1], Rules::default(), round_robin);
    assert_eq!(world.shares(40), [20, 20, 0, 0]);
    world.servers[0].set_check(Check::Down, world.now);
    assert_eq!(world.shares(40), [0, 40, 0, 0]);
    world.servers[1].set_check(Check::Down, world.now);
    assert_eq!(world.shares(40), [0, 0, 20, 20]);
    world.servers[1].set_check(Check::Up, world.now);
    assert_eq!(world.shares(40), [0, 40, 0, 0]);
}

#[test]
fn a_tier_below_the_panic_threshold_is_passed_over_and_only_the_last_resort_ignores_health() {
    let rules = Rules { panic_threshold: 0.5, ..Rules::default() };
    let mut world = World::with(1, &[0, 0, 0, 1], rules, round_robin);
    for down in [0, 1] {
        world.servers[down].set_check(Check::Down, world.now);
    }
    assert_eq!(world.shares(12), [0, 0, 0, 12], "a third of the first tier is too few");
    world.servers[3].set_check(Check::Down, world.now);
    assert_eq!(world.shares(12), [4, 4, 4, 0], "nobody suffices: all of the first tier");
    assert!(world.workers[0].servers().is_panicking());
    world.servers[0].set_admin(Admin::Draining, world.now);
    world.servers[1].set_admin(Admin::Disabled, world.now);
    assert_eq!(world.shares(12), [0, 0, 12, 0], "what its operator says is never ignored");
}

#[test]
fn without_a_panic_threshold_nobody_is_asked_when_all_are_down() {
    let mut world = World::new(1, 2, Rules::default());
    for server in &world.servers {
        server.set_check(Check::Down, world.now);
    }
    assert_eq!(world.request(0, |_| good()), Err(Unavailable::NoneHealthy));
    let rules = Rules { panic_threshold: 0.1, ..Rules::default() };
    world.workers[0].set_rules(rules, world.now);
    assert_eq!(world.shares(10), [5, 5]);
}

#[test]
fn an_ejected_backup_that_nobody_asks_keeps_no_place_among_the_ejected() {
    let rules = Rules { outlier: Some(Outlier::default()), ..Rules::default() };
    let mut world = World::with(1, &[0, 1, 1], rules, round_robin);
    world.servers[0].set_admin(Admin::Draining, world.now);
    let fails = |at| move |slot| if slot == at { bad(FailureKind::Refused) } else { good() };
    for _ in 0..10 {
        world.request(0, fails(1)).expect("a server");
    }
    assert!(matches!(world.servers[1].standing().ejection, Passage::Shut { .. }));
    world.servers[0].set_admin(Admin::Enabled, world.now);
    world.pass(secs(60));
    assert_eq!(world.shares(4), [4, 0, 0]);
    assert_eq!(world.shared.ejected(), 0);
    for _ in 0..5 {
        world.request(0, fails(0)).expect("a server");
    }
    assert!(matches!(world.servers[0].standing().ejection, Passage::Shut { .. }));
}

#[test]
fn an_ejected_tier_is_tried_again_while_its_backup_serves() {
    let rules = Rules { outlier: Some(Outlier::default()), ..Rules::default() };
    let mut world = World::with(1, &[0, 1], rules, round_robin);
    for _ in 0..5 {
        assert_eq!(world.request(0, |_| bad(FailureKind::Refused)), Ok(0));
    }
    assert_eq!(world.request(0, |_| good()), Ok(1));
    world.pass(secs(5));
    for _ in 0..4 {
        assert_eq!(world.request(0, |_| good()), Ok(0), "trials, and then as before");
    }
}

#[test]
fn a_draining_server_serves_those_bound_to_it_and_a_disabled_or_ejected_one_nobody() {
    let rules = Rules { outlier: Some(Outlier::default()), ..Rules::default() };
    let mut world = World::new(1, 3, rules);
    let bound = Some(world.id(1));
    let ask = |world: &mut World, tried: &[ServerId]| {
        let pick = Pick { bound, ..Pick::new(world.now).tried(tried) };
        world.workers[0].pick(pick).expect("a server").server
    };
    assert!((0..9).all(|_| Some(ask(&mut world, &[])) == bound));
    assert_ne!(
        Some(ask(&mut world, &[ServerId { slot: 1, generation: 0 }])),
        bound,
        "not where it was tried"
    );
    world.servers[1].set_admin(Admin::Draining, world.now);
    assert!((0..9).all(|_| Some(ask(&mut world, &[])) == bound));
    assert_eq!(world.shares(10)[1], 0, "no new ones");
    world.servers[1].set_admin(Admin::Disabled, world.now);
    assert!((0..9).all(|_| Some(ask(&mut world, &[])) != bound));
    world.servers[1].set_admin(Admin::Enabled, world.now);
    world.servers[1].set_check(Check::Down, world.now);
    assert!((0..9).all(|_| Some(ask(&mut world, &[])) != bound));
    world.servers[1].set_check(Check::Up, world.now);
    for _ in 0..5 {
        let lease = world.workers[0].pick(Pick { bound, ..Pick::new(world.now) }).expect("it");
        world.workers[0].finish(lease, bad(FailureKind::Reset), world.now);
    }
    assert!(matches!(world.servers[1].standing().ejection, Passage::Shut { .. }));
    assert!((0..9).all(|_| Some(ask(&mut world, &[])) != bound));
}

#[test]
fn a_key_of_affinity_decides_whatever_the_pool_balances_by() {
    let mut world = World::new(2, 5, Rules::default());
    for worker in &mut world.workers {
        worker.set_affinity(Some(Box::new(Maglev::default())));
    }
    let ask = |world: &mut World, worker: usize, key: u64| {
        let affinity = Some(hash_key(&key.to_le_bytes()));
        let pick = Pick { affinity, ..Pick::new(world.now) };
        world.workers[worker].pick(pick).expect("a server").server
    };
    for key in 0..200 {
        let first = ask(&mut world, 0, key);
        assert!((0..4).all(|n| ask(&mut world, n % 2, key) == first));
    }
    let gone = ask(&mut world, 0, 7);
    world.servers[gone.slot as usize].set_check(Check::Down, world.now);
    let next = ask(&mut world, 0, 7);
    assert_ne!(next, gone);
    assert_eq!(ask(&mut world, 1, 7), next, "all agree on the next best");
}

#[test]
fn a_server_that_comes_back_gets_its_share_by_and_by_with_every_algorithm() {
    let algorithms: [(&str, Make); 8] = [
        ("round_robin", || Box::new(RoundRobin::default())),
        ("weighted_round_robin", || Box::new(WeightedRoundRobin::default())),
        ("random", || Box::new(Random::default())),
        ("least_connections", || Box::new(LeastConnections)),
        ("p2c", || Box::new(PowerOfTwo)),
        ("p2c_ewma", || Box::new(PeakEwma::default())),
        ("ring", || Box::new(RingHash::default())),
        ("maglev", || Box::new(Maglev::default())),
    ];
    for (name, make) in algorithms {
        let rules = Rules { slow_start: secs(10), ..Rules::default() };
        let mut world = World::with(1, &[0, 0], rules, make);
        world.servers[0].set_check(Check::Down, world.now);
        assert!(world.pick(0).is_ok());
        world.servers[0].set_check(Check::Up, world.now);
        let mut shares = Vec::new();
        for _ in 0..12 {
            // 400 requests at a time, so that load counts for those that go by it.
            let pick =
                |n: u64| Pick { key: Some(hash_key(&n.to_le_bytes())), ..Pick::new(world.now) };
            let leases: Vec<Lease> =
                (0..400).map(|n| world.workers[0].pick(pick(n)).expect("a server")).collect();
            shares.push(leases.iter().filter(|lease| lease.server.slot == 0).count());
            drop(leases);
            world.pass(secs(1));
        }
        assert!(shares[0] < 100, "{name}: {shares:?}");
        assert!((150..=250).contains(&shares[11]), "{name}: {shares:?}");
        let falls = shares.windows(2).filter(|pair| pair[1] + 30 < pair[0]).count();
        assert_eq!(falls, 0, "{name}: {shares:?}");
    }
}

#[test]
fn servers_of_the_beginning_start_at_once_and_joining_ones_slowly() {
    let rules = Rules { slow_start: secs(10), ..Rules::default() };
    let mut world = World::new(1, 2, rules);
    let weight = |world: &World, slot| {
        world.workers[0].server(world.id(slot)).expect("known").effective_weight()
    };
    assert_eq!(weight(&world, 0), 1.0);
    let mut specs = specs(&world.shared, &[1, 1, 1]);
    for (spec, kept) in specs.iter_mut().zip(&world.servers) {
        spec.shared = kept.clone();
    }
    specs[2].shared = SharedServer::joining(&world.shared, world.now);
    world.workers[0].set_servers(specs, world.now);
    assert_eq!([weight(&world, 1), weight(&world, 2)], [1.0, 0.1]);
    world.pass(secs(9));
    assert!(world.pick(0).is_ok());
    assert_eq!(weight(&world, 2), 1.0);
}
