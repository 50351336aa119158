//! Sessions against a model that is slow and plain, and against floods.

use proptest::prelude::*;

use super::*;

const IDLE: Duration = Duration::from_secs(30);

fn table(most: u32) -> Sessions<u64, u64> {
    Sessions::new(SessionLimits { most, idle: IDLE })
}

/// The clock is only a beginning: all time here is made up.
#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

fn open(table: &mut Sessions<u64, u64>, key: u64, now: Instant) -> Option<SessionId> {
    table.open(key, key, now).ok().map(|opened| opened.id)
}

fn expire(table: &mut Sessions<u64, u64>, now: Instant) -> Vec<u64> {
    std::iter::from_fn(|| table.expire(now)).map(|(key, _)| key).collect()
}

#[test]
fn a_session_ends_after_silence_both_ways() {
    let (mut table, begin) = (table(10), epoch());
    let at = |seconds| begin + Duration::from_secs(seconds);
    let one = open(&mut table, 1, at(0)).unwrap();
    open(&mut table, 2, at(0)).unwrap();
    open(&mut table, 3, at(0)).unwrap();
    table.heard(&2, at(20));
    table.answered(one, at(10));
    assert_eq!(table.next_expiry(), Some(at(30)));
    assert_eq!(expire(&mut table, at(29)), []);
    assert_eq!(expire(&mut table, at(30)), [3]);
    assert_eq!(expire(&mut table, at(40)), [1]);
    assert_eq!(expire(&mut table, at(50)), [2]);
    assert_eq!((table.len(), table.next_expiry()), (0, None));
}

#[test]
fn a_million_sources_that_send_once_push_out_nobody_who_was_heard_twice() {
    let (mut table, begin) = (table(10_000), epoch());
    for key in 0..5000 {
        open(&mut table, key, begin).unwrap();
        table.heard(&key, begin);
    }
    for source in 0..1_000_000 {
        let now = begin + Duration::from_micros(source);
        assert!(open(&mut table, 1_000_000 + source, now).is_some());
        assert!(table.len() <= 10_000);
    }
    for key in 0..5000 {
        assert!(table.heard(&key, begin + Duration::from_secs(1)).is_some());
    }
    assert_eq!(table.established(), 5000);
    assert!(table.slots.len() <= 10_000, "no more memory than for 10,000 sessions");
}

#[test]
fn under_a_flood_a_new_client_has_time_to_be_heard_again() {
    // 100,000 invented sources a second on 10,000 places: a round trip of 50 ms is half of what a
    // newcomer has before it makes room.
    let (mut table, begin) = (table(10_000), epoch());
    let flood = |table: &mut Sessions<_, _>, from: u64, to: u64| {
        for source in from..to {
            open(table, 1_000_000 + source, begin + Duration::from_micros(10 * source));
        }
    };
    flood(&mut table, 0, 50_000);
    open(&mut table, 7, begin + Duration::from_millis(500)).unwrap();
    flood(&mut table, 50_000, 55_000);
    assert!(table.heard(&7, begin + Duration::from_millis(550)).is_some());
    flood(&mut table, 55_000, 155_000);
    assert!(table.heard(&7, begin + Duration::from_millis(1550)).is_some());
}

#[test]
fn those_who_were_heard_twice_leave_places_for_newcomers() {
    let (mut table, begin) = (table(80), epoch());
    for key in 0..1000 {
        open(&mut table, key, begin).unwrap();
        table.heard(&key, begin);
    }
    assert_eq!((table.established(), table.len()), (70, 80));
    for key in 0..70 {
        assert!(table.heard(&key, begin).is_some());
    }
    assert!(open(&mut table, 5000, begin).is_some());
}

#[test]
fn a_table_of_one_place_serves_one_after_the_other() {
    let (mut table, begin) = (table(1), epoch());
    for key in 0..10 {
        open(&mut table, key, begin).unwrap();
        assert_eq!(table.heard(&key, begin).is_some(), table.len() == 1);
    }
}

#[test]
fn an_id_is_good_for_one_session_only() {
    let (mut table, begin) = (table(10), epoch());
    let id = open(&mut table, 1, begin).unwrap();
    assert_eq!(SessionId::from_u64(id.to_u64()), id);
    assert_eq!(table.end(id), Some((1, 1)));
    let next = open(&mut table, 2, begin).unwrap();
    assert_eq!(id.slot, next.slot);
    assert!(table.value_mut(id).is_none());
    assert_eq!(table.end(id), None);
    table.answered(id, begin);
    assert_eq!(table.end(next), Some((2, 2)));
}

#[derive(Clone, Debug)]
enum Step {
    Datagram(u64),
    Answer(u64),
    End(u64),
    Wait(u64),
    Limit(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u64..40).prop_map(Step::Datagram),
        3 => (0_u64..40).prop_map(Step::Answer),
        1 => (0_u64..40).prop_map(Step::End),
        3 => (0_u64..20).prop_map(Step::Wait),
        1 => (0_u32..30).prop_map(Step::Limit),
    ]
}

/// The same, by looking at all of them each time; by the order in which they were touched.
#[derive(Default)]
struct Model(Vec<(u64, bool, Instant)>);

impl Model {
    fn at(&self, key: u64) -> Option<usize> {
        self.0.iter().position(|entry| entry.0 == key)
    }

    fn touch(&mut self, key: u64, proven: impl Fn(bool) -> bool, now: Instant) {
        if let Some(at) = self.at(key) {
            let entry = self.0.remove(at);
            self.0.push((key, proven(entry.1), now));
        }
    }

    fn proven(&self) -> usize {
        self.0.iter().filter(|entry| entry.1).count()
    }
}

proptest! {
    #[test]
    fn it_does_what_a_plain_list_does(steps in proptest::collection::vec(step(), 0..150)) {
        let mut limits = SessionLimits { most: 16, idle: IDLE };
        let (mut table, mut model, mut now) = (table(16), Model::default(), epoch());
        let mut ids = HashMap::new();
        for step in steps {
            match step {
                Step::Datagram(key) => {
                    let room = model.proven() < limits.established() as usize;
                    let known = table.heard(&key, now);
                    prop_assert_eq!(known.is_some(), model.at(key).is_some());
                    model.touch(key, |was| was || room, now);
                    if known.is_none() {
                        let is_full = model.0.len() >= limits.most.max(1) as usize;
                        let quietest = model.0.iter().position(|entry| !entry.1);
                        let opened = table.open(key, key, now);
                        prop_assert_eq!(opened.is_ok(), !is_full || quietest.is_some());
                        if let Ok(opened) = opened {
                            let evicted = quietest.filter(|_| is_full).map(|at| model.0.remove(at).0);
                            prop_assert_eq!(opened.evicted.map(|(key, _)| key), evicted);
                            ids.insert(key, opened.id);
                            model.0.push((key, false, now));
                        }
                    }
                }
                Step::Answer(key) => {
                    if let Some(id) = ids.get(&key) {
                        table.answered(*id, now);
                        model.touch(key, |was| was, now);
                    }
                }
                Step::End(key) => {
                    if let Some(id) = ids.get(&key) {
                        prop_assert_eq!(table.end(*id).is_some(), model.at(key).is_some());
                        model.0.retain(|entry| entry.0 != key);
                    }
                }
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    let mut expired = expire(&mut table, now);
                    let is_due = |entry: &&(u64, bool, Instant)| entry.2 + limits.idle <= now;
                    let mut due: Vec<_> = model.0.iter().filter(is_due).map(|e| e.0).collect();
                    model.0.retain(|entry| entry.2 + limits.idle > now);
                    expired.sort_unstable();
                    due.sort_unstable();
                    prop_assert_eq!(expired, due);
                }
                Step::Limit(most) => {
                    limits.most = most;
                    table.set_limits(limits);
                }
            }
            prop_assert_eq!(table.len(), model.0.len());
            prop_assert_eq!(table.established(), model.proven());
            let next = model.0.iter().map(|entry| entry.2 + limits.idle).min();
            prop_assert_eq!(table.next_expiry(), next);
            let mut keys: Vec<_> = table.ids().map(|(_, key)| *key).collect();
            let mut known: Vec<_> = model.0.iter().map(|entry| entry.0).collect();
            keys.sort_unstable();
            known.sort_unstable();
            prop_assert_eq!(keys, known);
        }
    }
}
