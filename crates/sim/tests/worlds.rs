//! That a world is what its seed says, and that the promises hold in a few of each kind. Many
//! worlds are let happen by `make simulate-core`, known bugs put back by `make planted-bugs`.

use evenkeel_sim::plant::Bug;
use evenkeel_sim::{Kind, Wish, simulate};

const KINDS: [Kind; 6] =
    [Kind::Calm, Kind::Rough, Kind::Hostile, Kind::Change, Kind::Storm, Kind::Sick];

#[test]
fn the_same_seed_gives_the_same_world() {
    for kind in KINDS {
        let wish = Wish { kind: Some(kind), ..Wish::default() };
        let (first, second) = (simulate(7, wish), simulate(7, wish));
        assert_eq!((first.trace, first.steps), (second.trace, second.steps), "{kind:?}");
        assert_ne!(first.trace, simulate(8, wish).trace, "{kind:?}: another seed");
    }
}

#[test]
fn every_promise_is_kept_in_worlds_of_every_kind() {
    for kind in KINDS {
        let (mut answered, mut executions) = (0, 0);
        for seed in 0..12 {
            let outcome = simulate(seed, Wish { kind: Some(kind), ..Wish::default() });
            assert_eq!(outcome.objection, None, "{kind:?}, seed {seed}");
            answered += outcome.tally.answered;
            executions += outcome.tally.executions;
        }
        assert!(answered > 100 && executions >= answered, "{kind:?}: nobody was there to see it");
    }
}

#[test]
fn a_bug_that_is_put_back_is_noticed_and_only_in_its_world() {
    let planted = Wish { planted: Some(Bug::ShortWriteForgets), ..Wish::default() };
    assert!(simulate(1, planted).objection.is_some());
    assert_eq!(simulate(1, Wish::default()).objection, None);
}
