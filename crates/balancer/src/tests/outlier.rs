//! Ejection, probation and the way back.

use proptest::prelude::*;

use super::*;
use crate::{FailureRate, Outlier, Passage};

fn rules(outlier: Outlier) -> Rules {
    Rules { outlier: Some(outlier), ..Rules::default() }
}

fn consecutive() -> Rules {
    rules(Outlier::default())
}

/// Requests that succeed, until the server at `slot` is out of probation.
fn recover(world: &mut World, slot: usize) {
    recover_with(world, slot, good());
}

fn recover_with(world: &mut World, slot: usize, outcome: Outcome) {
    for _ in 0..1_000 {
        if world.servers[slot].standing().ejection == Passage::Passing {
            return;
        }
        world.request(0, |_| outcome).expect("a server");
        world.pass(ms(100));
    }
    panic!("still {:?}", world.servers[slot].standing());
}

/// Requests until the server at `slot` has failed so often; the others answer.
fn fail(world: &mut World, slot: usize, times: u32) {
    let mut failed = 0;
    for _ in 0..1_000 {
        if failed == times {
            return;
        }
        let turn = |at| if at == slot { bad(FailureKind::Reset) } else { good() };
        if world.request(0, turn).expect("a server") == slot {
            failed += 1;
        }
    }
    panic!("never asked: {:?}", world.servers[slot].standing());
}

#[test]
fn five_failures_in_a_row_of_all_workers_eject_at_once_everywhere() {
    let mut world = World::new(2, 3, consecutive());
    let sick = world.id(1);
    let mut failures = 0;
    for turn in 0.. {
        let lease = world.pick(turn % 2).expect("a server");
        let outcome = if lease.server == sick { bad(FailureKind::Refused) } else { good() };
        failures += u32::from(lease.server == sick);
        world.workers[turn % 2].finish(lease, outcome, world.now);
        if failures == 5 {
            break;
        }
    }
    for worker in [0, 1] {
        for _ in 0..30 {
            assert_ne!(world.pick(worker).expect("a server").server, sick, "at the next pick");
        }
    }
    assert_eq!(world.shared.ejected(), 1);
}

#[test]
fn a_success_between_failures_and_an_applications_500_are_signs_of_life() {
    let mut world = World::new(1, 3, consecutive());
    for n in 0..600 {
        let kind = if n % 5 == 4 { FailureKind::Error } else { FailureKind::Gateway };
        // Four gateway errors and a 500, again and again, from every server.
        let slot = world.request(0, |_| bad(FailureKind::Busy)).expect("a server");
        let shared = world.servers[slot].clone();
        assert!(matches!(shared.standing().ejection, Passage::Passing));
        for _ in 0..3 {
            let _ = world.request(0, |_| bad(kind));
        }
        let _ = world.request(0, |_| bad(FailureKind::Error));
        let _ = world.request(0, |_| good());
        let _ = world.request(0, |_| good());
        let _ = world.request(0, |_| good());
    }
    assert_eq!(world.shared.ejected(), 0);
}

#[test]
fn answers_to_what_was_under_way_when_a_server_died_do_not_keep_it_in() {
    let mut world = World::new(1, 2, consecutive());
    let under_way: Vec<Lease> = (0..20).map(|_| world.pick(0).expect("a server")).collect();
    world.pass(ms(3));
    for (n, lease) in under_way.into_iter().filter(|lease| lease.server.slot == 0).enumerate() {
        let outcome = if n % 2 == 0 { bad(FailureKind::Reset) } else { good() };
        world.workers[0].finish(lease, outcome, world.now);
        world.pass(ms(1));
    }
    assert_eq!(world.shared.ejected(), 1, "five failures, and answers between them");
}

#[test]
fn an_answer_to_what_began_after_failures_were_seen_is_a_sign_of_life() {
    let mut world = World::new(1, 2, consecutive());
    for _ in 0..20 {
        fail(&mut world, 0, 4);
        world.pass(ms(1));
        while world.request(0, |_| good()) != Ok(0) {}
    }
    assert_eq!(world.shared.ejected(), 0);
}

#[test]
fn an_ejection_ends_on_probation_one_request_at_a_time_and_then_in_full() {
    let mut world = World::new(2, 3, consecutive());
    fail(&mut world, 1, 5);
    world.pass(ms(4_999));
    assert_eq!(world.shares(30)[1], 0, "ejected for 5 s");
    world.pass(ms(1));
    let trial = world.pick(0).expect("a server");
    assert_eq!((trial.server.slot, trial.is_trial()), (1, true), "the first request tries it");
    for worker in [0, 1, 0, 1] {
        assert_ne!(world.pick(worker).expect("a server").server.slot, 1, "no second at a time");
    }
    world.workers[0].finish(trial, good(), world.now);
    for _ in 0..2 {
        assert_eq!(world.request(1, |_| good()), Ok(1));
    }
    assert_eq!(world.servers[1].standing().ejection, Passage::Passing);
    assert_eq!(world.shared.ejected(), 0);
    assert_eq!(world.shares(30), [10, 10, 10]);
}

#[test]
fn a_request_that_cannot_be_sent_again_is_not_risked_unless_no_other_comes() {
    let mut world = World::new(1, 3, consecutive());
    fail(&mut world, 1, 5);
    world.pass(secs(5));
    let once = |world: &mut World| {
        let pick = Pick { replayable: false, ..Pick::new(world.now) };
        world.workers[0].pick(pick).expect("a server").server.slot
    };
    assert!((0..20).all(|_| once(&mut world) != 1));
    world.pass(ms(1_001));
    assert_eq!(once(&mut world), 1, "a pool of POSTs must return to its servers too");
}

#[test]
fn each_ejection_takes_longer_up_to_a_bound_and_less_again_after_a_time_of_health() {
    let outlier = Outlier { eject_max: secs(18), ..Outlier::default() };
    let mut world = World::new(1, 3, rules(outlier));
    fail(&mut world, 0, 5);
    let mut taken = Vec::new();
    for _ in 0..4 {
        let Passage::Shut { until } = world.servers[0].standing().ejection else {
            panic!("not ejected: {:?}", world.servers[0].standing());
        };
        let until = world.shared.instant(until).expect("in reach");
        taken.push((until - world.now).as_secs());
        world.now = until;
        assert_eq!(world.request(0, |_| bad(FailureKind::Timeout)), Ok(0), "one trial");
    }
    assert_eq!(taken, [5, 10, 15, 18]);
    world.pass(secs(20));
    recover(&mut world, 0);
    world.pass(secs(25)); // two steps of ten seconds, and a half
    fail(&mut world, 0, 5);
    assert_eq!(world.servers[0].standing().ejections, 4, "five, two forgotten, one more");
    world.pass(secs(300));
    recover(&mut world, 0);
    world.pass(secs(300));
    fail(&mut world, 0, 5);
    assert_eq!(world.servers[0].standing().ejections, 1, "all forgotten");
}

#[test]
fn mark_down_ejects_at_the_first_refusal_for_the_time_set() {
    let outlier = Outlier { mark_down: Some(secs(60)), ..Outlier::default() };
    let mut world = World::new(1, 2, rules(outlier));
    while world.request(0, |slot| if slot == 1 { bad(FailureKind::Refused) } else { good() })
        != Ok(1)
    {}
    world.pass(ms(59_999));
    assert_eq!(world.shares(10), [10, 0]);
    world.pass(ms(1));
    assert_eq!(world.request(0, |_| good()), Ok(1));
}

fn by_rate() -> Outlier {
    let rate = FailureRate { share: 0.5, requests_min: 20, window: secs(10) };
    Outlier { consecutive: 0, rate: Some(rate), ..Outlier::default() }
}

/// Ten seconds of requests that fail with the chance of their server.
fn mixed(world: &mut World, chances: &[f64]) {
    let mut rng = crate::Rng::from_seed(11);
    for _ in 0..1_000 {
        world.pass(ms(10));
        let failed = |slot: usize| match rng.unit_f64() < chances[slot] {
            true => bad(FailureKind::Error),
            false => good(),
        };
        world.request(0, failed).expect("a server");
    }
}

#[test]
fn who_fails_clearly_more_than_the_others_is_ejected() {
    let mut world = World::new(1, 4, rules(by_rate()));
    mixed(&mut world, &[0.0, 0.8, 0.05, 0.0]);
    let ejections: Vec<u32> = world.servers.iter().map(|s| s.standing().ejections).collect();
    assert!(ejections[1] > 0, "{ejections:?}");
    assert_eq!(ejections[0] + ejections[2] + ejections[3], 0, "{ejections:?}");
}

#[test]
fn where_all_fail_alike_nobody_is_ejected() {
    let mut world = World::new(1, 4, rules(by_rate()));
    mixed(&mut world, &[0.8, 0.8, 0.8, 0.8]);
    assert_eq!(world.shared.ejected(), 0);
    assert!(world.servers.iter().all(|server| server.standing().ejections == 0));
}

#[test]
fn one_good_answer_of_the_rest_is_no_measure() {
    let mut world = World::new(1, 2, rules(by_rate()));
    let at = |world: &mut World, slot: u32, outcome| {
        let other = [world.id(1 - slot)];
        let lease = world.workers[0].pick(Pick::new(world.now).tried(&other)).expect("a server");
        world.workers[0].finish(lease, outcome, world.now);
    };
    for _ in 0..19 {
        at(&mut world, 1, good());
    }
    for _ in 0..40 {
        at(&mut world, 0, bad(FailureKind::Error));
    }
    assert_eq!(world.shared.ejected(), 0, "19 say too little");
    at(&mut world, 1, good());
    at(&mut world, 0, bad(FailureKind::Error));
    assert_eq!(world.shared.ejected(), 1);
}

#[test]
fn where_all_answer_500_a_server_on_trial_that_does_too_is_well() {
    let outlier = Outlier { consecutive: 5, ..by_rate() };
    let mut world = World::new(1, 3, rules(outlier.clone()));
    fail(&mut world, 1, 5);
    for _ in 0..100 {
        world.pass(ms(50));
        world.request(0, |_| bad(FailureKind::Error)).expect("a server");
    }
    recover_with(&mut world, 1, bad(FailureKind::Error));
    assert_eq!(world.servers[1].standing().ejections, 1);

    let mut world = World::new(1, 3, rules(outlier));
    fail(&mut world, 1, 5);
    for _ in 0..100 {
        world.pass(ms(50));
        world.request(0, |_| good()).expect("a server");
    }
    assert_eq!(world.request(0, |_| bad(FailureKind::Error)), Ok(1));
    assert_eq!(world.servers[1].standing().ejections, 2, "the others do not");
}

/// A trial that is not answered; the gate is looked at after this time.
fn hang(world: &mut World, slot: u32, time: Duration) -> Lease {
    let trial = world.pick(0).expect("a server");
    assert_eq!((trial.server.slot, trial.is_trial()), (slot, true));
    for _ in 0..time.as_millis() / 100 {
        world.pass(ms(100));
        assert_ne!(world.request(0, |_| good()), Ok(slot as usize), "a second victim");
    }
    trial
}

#[test]
fn a_trial_without_an_answer_ejects_again_and_takes_no_second_victim() {
    let mut world = World::new(1, 3, consecutive());
    fail(&mut world, 1, 5);
    world.pass(secs(5));
    let victim = hang(&mut world, 1, ms(5_200));
    let standing = world.servers[1].standing();
    assert!(matches!(standing.ejection, Passage::Shut { .. }), "{standing:?}");
    assert_eq!(standing.ejections, 2);
    // It was only slow: what it says in the end counts.
    world.workers[0].finish(victim, good(), world.now);
    assert_eq!(world.servers[1].standing().ejection, Passage::Passing);
    assert_eq!(world.shared.ejected(), 0);
}

#[test]
fn trials_whose_clients_give_up_one_after_the_other_eject_again() {
    let mut world = World::new(1, 3, consecutive());
    fail(&mut world, 1, 5);
    world.pass(secs(5));
    let mut victims = 0;
    for _ in 0..200 {
        world.pass(ms(100));
        let lease = world.pick(0).expect("a server");
        if lease.server.slot == 1 {
            victims += 1;
            world.pass(ms(1_900));
        } else {
            world.workers[0].finish(lease, good(), world.now);
        }
        if world.servers[1].standing().ejections == 2 {
            break;
        }
    }
    assert_eq!(victims, 3);
    assert_eq!(world.servers[1].standing().ejections, 2);
}

#[test]
fn a_client_that_gives_up_or_this_process_standing_still_is_no_answer_owed() {
    let mut world = World::new(1, 3, consecutive());
    fail(&mut world, 1, 5);
    world.workers[0].beat(world.now, secs(1));
    world.pass(secs(5));
    world.workers[0].beat(world.now, secs(5));
    drop(world.pick(0).expect("a trial"));
    world.pass(secs(5));
    world.workers[0].beat(world.now, secs(5));
    let trial = world.pick(0).expect("a trial");
    assert_eq!((trial.server.slot, trial.is_trial()), (1, true));
    world.pass(secs(20));
    drop(world.pick(0).expect("another"));
    let standing = world.servers[1].standing();
    assert!(matches!(standing.ejection, Passage::Trial { .. }), "{standing:?}");
}

#[test]
fn a_server_that_flaps_every_second_comes_and_goes_at_most_six_times_a_minute() {
    for begin in [0, 333, 700] {
        let mut world = World::new(2, 3, consecutive());
        let mut was = true;
        let mut transitions = [0; 5];
        for tick in 0..300_000_u64 / 5 {
            world.pass(ms(5));
            let is_up = ((tick * 5 + begin) / 1_000).is_multiple_of(2);
            let flaps = |slot| if slot == 0 && !is_up { bad(FailureKind::Refused) } else { good() };
            world.request((tick % 2) as usize, flaps).expect("a server");
            let is = world.servers[0].standing().ejection == Passage::Passing;
            transitions[(tick * 5 / 60_000) as usize] += u32::from(is != was);
            was = is;
        }
        assert!(transitions.iter().all(|count| *count <= 6), "{transitions:?}");
    }
}

#[test]
fn a_late_answer_for_a_removed_server_changes_nothing_for_its_successor() {
    let mut world = World::new(1, 2, consecutive());
    let late: Vec<Lease> = (0..20).map(|_| world.pick(0).expect("a server")).collect();
    let mut specs = specs(&world.shared, &[1, 1]);
    for spec in &mut specs {
        spec.key = format!("new-{}", spec.key).into();
    }
    let heirs: Vec<_> = specs.iter().map(|spec| spec.shared.clone()).collect();
    world.workers[0].set_servers(specs, world.now);
    for lease in late {
        world.workers[0].finish(lease, bad(FailureKind::Reset), world.now);
    }
    assert!(heirs.iter().all(|heir| heir.standing().ejections == 0 && heir.in_flight() == 0));
    assert!(world.servers.iter().all(|gone| gone.in_flight() == 0));
    assert_eq!(world.shared.ejected(), 0);
}

#[test]
fn what_began_before_an_ejection_does_not_decide_after_it() {
    let mut world = World::new(1, 2, consecutive());
    let old: Vec<Lease> = (0..20).map(|_| world.pick(0).expect("a server")).collect();
    fail(&mut world, 0, 5);
    world.pass(secs(5));
    for _ in 0..3 {
        assert_eq!(world.request(0, |_| good()), Ok(0));
    }
    for lease in old {
        world.workers[0].finish(lease, bad(FailureKind::Timeout), world.now);
    }
    assert_eq!(world.servers[0].standing().ejection, Passage::Passing);
}

#[test]
fn a_server_that_leaves_while_ejected_gives_its_place_back() {
    let mut world = World::new(1, 2, consecutive());
    fail(&mut world, 0, 5);
    assert_eq!(world.shared.ejected(), 1);
    let kept = ServerSpec {
        key: "10.0.0.1:80".into(),
        weight: 1,
        priority: 0,
        shared: world.servers[1].clone(),
    };
    world.workers[0].set_servers([kept], world.now);
    world.servers.remove(0);
    assert_eq!(world.shared.ejected(), 0);
}

/// A stopped process: nothing happens, and then all its timers fire at once.
#[test]
fn failures_after_this_process_stood_still_say_nothing_about_servers() {
    let mut world = World::new(1, 4, consecutive());
    world.workers[0].beat(world.now, secs(1));
    let under_way: Vec<Lease> = (0..200).map(|_| world.pick(0).expect("a server")).collect();
    world.pass(secs(10));
    for (n, lease) in under_way.into_iter().enumerate() {
        let kind = if n % 2 == 0 { FailureKind::Timeout } else { FailureKind::Reset };
        world.workers[0].finish(lease, bad(kind), world.now);
    }
    world.workers[0].beat(world.now, secs(1));
    assert!(world.servers.iter().all(|server| server.standing().ejections == 0));
    fail(&mut world, 2, 5);
    assert_eq!(world.shared.ejected(), 1, "what began afterwards counts again");
}

#[derive(Clone, Debug)]
enum Event {
    Begin(usize),
    End(usize, u8),
    Pass(u64),
    Check(usize, bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0_usize..3).prop_map(Event::Begin),
        4 => (any::<usize>(), 0_u8..6).prop_map(|(at, how)| Event::End(at, how)),
        1 => (0_u64..8_000).prop_map(Event::Pass),
        1 => (0_usize..8, any::<bool>()).prop_map(|(at, up)| Event::Check(at, up)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn never_more_are_ejected_than_may_be_and_never_the_last(
        servers in 1_usize..8, share in 0.0_f64..1.0, with_rate: bool, marks: bool,
        events in prop::collection::vec(event(), 1..400),
    ) {
        let outlier = Outlier {
            consecutive: 2,
            rate: with_rate.then_some(FailureRate { share: 0.3, requests_min: 3, window: secs(5) }),
            mark_down: marks.then_some(secs(7)),
            ejected_max: share,
            ..Outlier::default()
        };
        let mut world = World::new(3, servers, rules(outlier));
        let mut under_way: Vec<(usize, Lease)> = Vec::new();
        let most = ((servers as f64 * share) as u32).min(servers as u32 - 1);
        for event in events {
            match event {
                Event::Begin(worker) => {
                    if let Ok(lease) = world.pick(worker) {
                        under_way.push((worker, lease));
                    }
                }
                Event::End(at, how) if !under_way.is_empty() => {
                    let (worker, lease) = under_way.swap_remove(at % under_way.len());
                    let outcome = match how {
                        0 => good(),
                        1 => Outcome::Abandoned,
                        2 => bad(FailureKind::Refused),
                        3 => bad(FailureKind::Error),
                        _ => bad(FailureKind::Timeout),
                    };
                    world.workers[worker].finish(lease, outcome, world.now);
                }
                Event::End(..) => {}
                Event::Pass(time) => world.pass(ms(time)),
                Event::Check(at, up) => {
                    let check = if up { crate::Check::Up } else { crate::Check::Down };
                    world.servers[at % servers].set_check(check, world.now);
                }
            }
            let out = world.servers.iter().filter(|s| s.standing().ejection != Passage::Passing);
            let out = out.count() as u32;
            prop_assert_eq!(out, world.shared.ejected(), "counted exactly");
            prop_assert!(out <= most, "{} of {} ejected, at most {}", out, servers, most);
        }
        drop(under_way);
        prop_assert!(world.servers.iter().all(|server| server.in_flight() == 0));
    }
}
