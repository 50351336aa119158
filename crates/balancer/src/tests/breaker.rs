//! Breakers of a server and of the pool, and limits.

use super::*;
use crate::{Breaker, FailureRate, Limits, Passage};

fn breaker() -> Breaker {
    let rate = FailureRate { share: 0.5, requests_min: 10, window: secs(10) };
    Breaker { rate, open: secs(5), probes: 3 }
}

#[test]
fn a_pool_that_fails_is_left_alone_and_tried_again_with_so_many_probes() {
    let rules = Rules { breaker: Some(breaker()), ..Rules::default() };
    let mut world = World::new(1, 2, rules);
    for _ in 0..9 {
        assert!(world.request(0, |_| bad(FailureKind::Error)).is_ok());
    }
    assert_eq!(world.shared.breaker(), Passage::Passing, "too few to say");
    assert!(world.request(0, |_| bad(FailureKind::Error)).is_ok());
    assert!(matches!(world.shared.breaker(), Passage::Shut { .. }));
    assert_eq!(world.request(0, |_| good()), Err(Unavailable::BreakerOpen));
    world.pass(ms(4_999));
    assert_eq!(world.request(0, |_| good()), Err(Unavailable::BreakerOpen));
    world.pass(ms(1));
    let probes: Vec<Lease> = (0..3).map(|_| world.pick(0).expect("a probe")).collect();
    assert_eq!(world.pick(0).map(|_| ()), Err(Unavailable::BreakerOpen), "no fourth");
    for probe in probes {
        assert!(matches!(world.shared.breaker(), Passage::Trial { .. }));
        world.workers[0].finish(probe, good(), world.now);
    }
    assert_eq!(world.shared.breaker(), Passage::Passing);
    for _ in 0..9 {
        assert!(world.request(0, |_| bad(FailureKind::Error)).is_ok(), "counted anew");
    }
    assert_eq!(world.shared.breaker(), Passage::Passing);
}

#[test]
fn a_failed_probe_opens_it_for_twice_as_long_up_to_ten_times() {
    let rules = Rules { breaker: Some(breaker()), ..Rules::default() };
    let mut world = World::new(1, 2, rules);
    for _ in 0..10 {
        let _ = world.request(0, |_| bad(FailureKind::Timeout));
    }
    let mut taken = Vec::new();
    for _ in 0..6 {
        let Passage::Shut { until } = world.shared.breaker() else { panic!("not open") };
        let until = world.shared.instant(until).expect("in reach");
        taken.push((until - world.now).as_secs());
        world.now = until;
        assert!(world.request(0, |_| bad(FailureKind::Timeout)).is_ok());
    }
    assert_eq!(taken, [5, 10, 20, 40, 50, 50]);
}

#[test]
fn an_abandoned_probe_leaves_room_for_another() {
    let rules = Rules { breaker: Some(breaker()), ..Rules::default() };
    let mut world = World::new(1, 1, rules);
    for _ in 0..10 {
        let _ = world.request(0, |_| bad(FailureKind::Reset));
    }
    world.pass(secs(5));
    for _ in 0..50 {
        assert!(world.request(0, |_| Outcome::Abandoned).is_ok());
    }
    assert_eq!(world.shared.breaker(), Passage::Trial { left: 3 });
}

#[test]
fn a_server_whose_answers_are_failures_is_left_alone_by_all_workers() {
    let rules = Rules { server_breaker: Some(breaker()), ..Rules::default() };
    let mut world = World::new(2, 3, rules);
    for _ in 0..60 {
        world.request(0, |at| if at == 2 { bad(FailureKind::Error) } else { good() }).expect("one");
    }
    assert!(matches!(world.servers[2].standing().breaker, Passage::Shut { .. }));
    assert!((0..20).all(|_| world.request(1, |_| good()) != Ok(2)));
    world.pass(secs(5));
    let probes: Vec<Lease> = (0..3).map(|_| world.pick(1).expect("a server")).collect();
    assert!(probes.iter().all(|probe| probe.server.slot == 2));
    assert_ne!(world.pick(0).expect("a server").server.slot, 2, "as many probes as set");
    for probe in probes {
        world.workers[1].finish(probe, good(), world.now);
    }
    assert_eq!(world.servers[2].standing().breaker, Passage::Passing);
}

#[test]
fn limits_hold_exactly_across_workers_and_a_finished_request_makes_room() {
    let limits = Limits { server_in_flight: Some(3), ..Limits::default() };
    let mut world = World::new(4, 5, Rules { limits, ..Rules::default() });
    let mut leases: Vec<Lease> = (0..15).map(|n| world.pick(n % 4).expect("room")).collect();
    assert!(world.servers.iter().all(|server| server.in_flight() == 3));
    assert_eq!(world.pick(0).map(|_| ()), Err(Unavailable::Saturated));
    leases.pop();
    assert!(world.pick(3).is_ok());
    let limits = Limits { in_flight: Some(7), waiting: 2, ..Limits::default() };
    let mut world = World::new(2, 5, Rules { limits, ..Rules::default() });
    let leases: Vec<Lease> = (0..7).map(|n| world.pick(n % 2).expect("room")).collect();
    assert_eq!(world.pick(1).map(|_| ()), Err(Unavailable::Saturated));
    let waiting = [world.workers[0].wait(), world.workers[1].wait(), world.workers[0].wait()];
    assert_eq!(waiting.each_ref().map(Option::is_some), [true, true, false]);
    drop(leases);
    assert_eq!(world.shared.in_flight(), 0);
    assert!(world.servers.iter().all(|server| server.in_flight() == 0));
    drop(waiting);
    assert_eq!(world.shared.waiting(), 0);
}

#[test]
fn connections_to_a_server_are_bounded_and_counted_while_they_are_held() {
    let limits = Limits { server_connections: Some(2), ..Limits::default() };
    let world = World::new(2, 1, Rules { limits, ..Rules::default() });
    let id = world.id(0);
    let held = [world.workers[0].connect(id), world.workers[1].connect(id)];
    assert!(held.iter().all(Option::is_some));
    assert!(world.workers[0].connect(id).is_none());
    drop(held);
    assert_eq!(world.servers[0].connections(), 0);
    assert!(world.workers[0].connect(id).is_some());
}
