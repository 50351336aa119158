//! What is wanted, tried: sequences of changes and reloads, on no process at all.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod live;

use std::time::{Duration, UNIX_EPOCH};

use evenkeel_config::{Config, Source};
use proptest::prelude::*;
use serde_json::json;

use super::Refused;
use super::diff::{self, Difference};
use super::intent::CommandLine;
use super::op::{Mode, Op, Target};
use super::overlay::{Overlay, Wish};
use super::wanted::{Draft, File, Wanted};

const FILE: &str = "\
listeners: { web: { bind: 127.0.0.1:1 } }
pools:
  app: { servers: [10.0.0.1:80, 10.0.0.2:80] }
  old: { servers: [10.1.0.1:80] }
routes: [{ to: app }, { match: { path: /old }, to: old }]
";
const OTHER: &str = "\
listeners: { web: { bind: 127.0.0.1:1 }, more: { bind: 127.0.0.1:2 } }
pools:
  app: { servers: [10.0.0.2:80, 10.0.0.3:80] }
  new: { servers: [10.2.0.1:80] }
routes: [{ to: app }, { match: { path: /new }, to: new }]
";

fn file(text: &str) -> File {
    File::read(vec![Source { name: "a.yaml".into(), text: text.into() }]).unwrap().0
}

fn wanted(text: &str) -> (Wanted, Config) {
    Wanted::new(file(text), Overlay::default(), 1, CommandLine::default())
}

fn take(wanted: &mut Wanted, draft: Draft) -> Config {
    let config = draft.intent.config.clone();
    wanted.accept(draft, "test", Vec::new(), UNIX_EPOCH);
    config
}

fn apply(wanted: &mut Wanted, ops: &[Op]) -> Config {
    let draft = wanted.changed(ops).unwrap();
    take(wanted, draft)
}

fn reload(wanted: &mut Wanted, text: &str) -> Config {
    let draft = wanted.draft(file(text), wanted.overlay.clone());
    take(wanted, draft)
}

fn servers(config: &Config, pool: &str) -> Vec<(String, u32)> {
    let pool = config.pools.iter().find(|known| known.name == pool).unwrap();
    pool.servers.iter().map(|server| (server.address.to_string(), server.weight)).collect()
}

fn keys(config: &Config, pool: &str) -> Vec<String> {
    servers(config, pool).into_iter().map(|(key, _)| key).collect()
}

fn op(value: serde_json::Value) -> Op {
    serde_json::from_value(value).unwrap()
}

fn server(pool: &str, server: &str) -> Target {
    Target::Server { pool: pool.into(), server: server.into() }
}

#[test]
fn servers_are_added_weighed_removed_and_forgotten() {
    let (mut wanted, _) = wanted(FILE);
    let config = apply(
        &mut wanted,
        &[
            op(
                json!({"op":"add_servers","pool":"app","servers":["10.0.0.9:80", {"address":"10.0.0.8:80","weight":5}]}),
            ),
            op(json!({"op":"weight","pool":"app","server":"10.0.0.1:80","weight":7})),
            op(json!({"op":"remove_server","pool":"app","server":"10.0.0.2:80"})),
        ],
    );
    let expected = [("10.0.0.1:80", 7), ("10.0.0.9:80", 1), ("10.0.0.8:80", 5)];
    assert_eq!(servers(&config, "app"), expected.map(|(key, weight)| (key.to_owned(), weight)));
    let config = apply(&mut wanted, &[op(json!({"op":"forget","pool":"app"}))]);
    assert_eq!(keys(&config, "app"), ["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(wanted.overlay, Overlay::default());
}

#[test]
fn a_change_survives_a_reload_and_what_no_longer_applies_is_kept_and_told() {
    let (mut wanted, _) = wanted(FILE);
    apply(
        &mut wanted,
        &[
            op(json!({"op":"weight","pool":"app","server":"10.0.0.1:80","weight":7})),
            op(json!({"op":"weight","pool":"app","server":"10.0.0.2:80","weight":3})),
            op(json!({"op":"put_pool","name":"new","spec":{"servers":["10.9.0.1:80"]}})),
            op(json!({"op":"put_route","name":"n","spec":{"match":{"path":"/n"},"to":"old"}})),
        ],
    );
    let config = reload(&mut wanted, OTHER);
    let expected = [("10.0.0.2:80", 3), ("10.0.0.3:80", 1)];
    assert_eq!(servers(&config, "app"), expected.map(|(key, weight)| (key.to_owned(), weight)));
    assert_eq!(keys(&config, "new"), ["10.2.0.1:80"], "the file's");
    let inert: Vec<_> = wanted.inert.iter().map(|inert| inert.what.as_str()).collect();
    assert_eq!(inert, ["route `n`", "pool `new`", "changes of server `10.0.0.1:80` of pool `app`"]);
    let config = reload(&mut wanted, FILE);
    assert_eq!(servers(&config, "app")[0].1, 7, "it applies again");
    assert!(config.routes.iter().any(|route| route.name == "n"));
    assert_eq!(wanted.inert, []);
}

#[test]
fn a_refused_change_changes_nothing() {
    let (mut wanted, _) = wanted(FILE);
    let before = (wanted.version, wanted.overlay.clone());
    let good = json!({"op":"weight","pool":"app","server":"10.0.0.1:80","weight":7});
    for bad in [
        json!({"op":"weight","pool":"app","server":"10.0.0.77:80","weight":7}),
        json!({"op":"weight","pool":"app","server":"10.0.0.1:80","weight":1001}),
        json!({"op":"add_servers","pool":"nowhere","servers":["10.0.0.9:80"]}),
        json!({"op":"add_servers","pool":"app","servers":["not an address"]}),
        json!({"op":"add_servers","pool":"app","servers":[{"address":"10.0.0.1:80","weight":9}]}),
        json!({"op":"put_pool","name":"app","spec":{"servers":["10.0.0.9:80"]}}),
        json!({"op":"put_pool","name":"x","spec":{"servres":["10.0.0.9:80"]}}),
        json!({"op":"put_route","name":"r","spec":{"match":{"path":"/r"},"to":"nowhere"}}),
        json!({"op":"remove_pool","name":"app"}),
        json!({"op":"remove_route","name":"none"}),
        json!({"op":"drain","target":{"listener":"none"}}),
        json!({"op":"deregister","pool":"app","server":"10.0.0.1:80","owner":"x"}),
    ] {
        let refused = wanted.changed(&[op(good.clone()), op(bad.clone())]);
        assert!(refused.is_err(), "{bad}");
        assert_eq!((wanted.version, wanted.overlay.clone()), before, "{bad}");
    }
}

#[test]
fn a_pool_made_at_runtime_that_a_route_needs_is_not_removed() {
    let (mut wanted, _) = wanted(FILE);
    apply(
        &mut wanted,
        &[
            op(json!({"op":"put_pool","name":"x","spec":{"servers":["10.9.0.1:80"]}})),
            op(json!({"op":"put_route","name":"r","spec":{"match":{"path":"/r"},"to":"x"}})),
        ],
    );
    let refused = wanted.changed(&[op(json!({"op":"remove_pool","name":"x"}))]);
    assert!(matches!(refused, Err(Refused::Impossible(why)) if why.contains("route `r`")));
    let config = apply(
        &mut wanted,
        &[op(json!({"op":"remove_route","name":"r"})), op(json!({"op":"remove_pool","name":"x"}))],
    );
    assert!(config.pools.iter().all(|pool| pool.name != "x"));
}

#[test]
fn nothing_said_over_the_api_reads_the_environment() {
    let (mut wanted, _) = wanted(FILE);
    let spec = json!({"match":{"path":"/e"},"respond":{"status":200,"body":"${PATH} ${host}"}});
    let config = apply(&mut wanted, &[Op::PutRoute { name: "e".into(), spec }]);
    let route = config.routes.iter().find(|route| route.name == "e").unwrap();
    let said = format!("{:?}", route.action);
    assert!(said.contains("${PATH} "), "{said}");
    assert!(!said.contains(&std::env::var("PATH").unwrap()), "{said}");
}

#[test]
fn a_service_registers_itself_and_its_routes_and_only_its_owner_ends_that() {
    let (mut wanted, _) = wanted(FILE);
    let register = |server: &str, owner: &str| Op::Register {
        pool: "shop".into(),
        server: server.into(),
        ttl: Duration::from_secs(30),
        owner: owner.into(),
        routes: vec![json!({"match":{"path":"/shop"}})],
    };
    apply(&mut wanted, &[register("10.5.0.1:80", "one")]);
    let config = apply(&mut wanted, &[register("10.5.0.2:80", "one")]);
    assert_eq!(keys(&config, "shop"), ["10.5.0.1:80", "10.5.0.2:80"]);
    assert_eq!(config.routes.iter().filter(|route| route.name.starts_with("shop/")).count(), 1);
    assert!(wanted.changed(&[register("10.5.0.1:80", "other")]).is_err());
    let end = |server: &str| Op::Deregister {
        pool: "shop".into(),
        server: server.into(),
        owner: "one".into(),
    };
    apply(&mut wanted, &[end("10.5.0.1:80")]);
    let config = apply(&mut wanted, &[end("10.5.0.2:80")]);
    assert!(config.pools.iter().all(|pool| pool.name != "shop"));
    assert!(config.routes.iter().all(|route| !route.name.starts_with("shop/")));
}

#[test]
fn of_a_pools_and_a_servers_standing_the_stricter_holds() {
    let (mut wanted, _) = wanted(FILE);
    let drain = |target| Op::Drain { target, mode: Mode::Graceful, deadline: None };
    apply(&mut wanted, &[drain(Target::Pool("app".into()))]);
    apply(&mut wanted, &[Op::Disable { target: server("app", "10.0.0.1:80") }]);
    assert_eq!(wanted.overlay.wish_for("app", "10.0.0.1:80"), Some(Wish::Disabled));
    assert_eq!(wanted.overlay.wish_for("app", "10.0.0.2:80"), Some(Wish::Draining));
    apply(&mut wanted, &[Op::Enable { target: Target::Pool("app".into()) }]);
    assert_eq!(wanted.overlay.wish_for("app", "10.0.0.2:80"), None);
    apply(&mut wanted, &[Op::Enable { target: server("app", "10.0.0.1:80") }]);
    assert_eq!(wanted.overlay, Overlay::default(), "nothing is left of it");
}

#[test]
fn going_back_restores_file_and_changes_as_a_new_version() {
    let (mut wanted, first) = wanted(FILE);
    wanted.note("start", Vec::new(), UNIX_EPOCH);
    apply(
        &mut wanted,
        &[op(json!({"op":"weight","pool":"app","server":"10.0.0.1:80","weight":7}))],
    );
    let second = reload(&mut wanted, FILE);
    reload(&mut wanted, OTHER);
    let draft = wanted.rolled_back(3).unwrap();
    assert_eq!(take(&mut wanted, draft), second);
    let draft = wanted.rolled_back(1).unwrap();
    assert_eq!(take(&mut wanted, draft), first);
    assert_eq!(wanted.version, 6);
    assert!(matches!(wanted.rolled_back(99), Err(Refused::NotFound(_))));
}

#[test]
fn the_history_is_bounded() {
    let (mut wanted, _) = wanted(FILE);
    for weight in 0..100 {
        let target = json!({"op":"weight","pool":"app","server":"10.0.0.1:80","weight":weight});
        apply(&mut wanted, &[op(target)]);
    }
    assert_eq!(wanted.history.len(), 21);
    assert_eq!(wanted.history.back().unwrap().version, wanted.version);
}

#[test]
fn a_difference_is_told_by_name_whatever_places_things_have() {
    let old = file(FILE).config;
    let new = file(OTHER).config;
    let lines = diff::difference(&old, &new).lines();
    assert_eq!(
        lines,
        [
            "listener added: `more`",
            "route added: `/new`",
            "route removed: `/old`",
            "pool added: `new`",
            "pool removed: `old`",
            "pool `app`: server added: `10.0.0.3:80`",
            "pool `app`: server removed: `10.0.0.1:80`",
        ]
    );
    // The same in another order: every id is another, nothing differs.
    let moved = "\
pools:
  old: { servers: [10.1.0.1:80] }
  app: { servers: [10.0.0.1:80, 10.0.0.2:80] }
listeners: { web: { bind: 127.0.0.1:1 } }
routes: [{ match: { path: /old }, to: old }, { to: app }]
";
    assert_eq!(diff::difference(&old, &file(moved).config), Difference::default());
}

/// Any step: a change, or a reload of one of two files.
fn step() -> impl Strategy<Value = Option<Op>> {
    let pool = prop_oneof![Just("app"), Just("old"), Just("new"), Just("made")];
    let key = (0_u8..4).prop_map(|n| format!("10.0.0.{n}:80"));
    (0_u8..12, pool, key, 0_u32..4).prop_map(|(kind, pool, key, n)| {
        let target = server(pool, &key);
        let (pool, name) = (pool.to_owned(), format!("r{n}"));
        Some(match kind {
            0 => Op::AddServers { pool, servers: vec![json!(key)] },
            1 => Op::RemoveServer { pool, server: key },
            2 => Op::ReplaceServers { pool, servers: vec![json!(key), json!("10.7.0.1:80")] },
            3 => Op::Weight { pool, server: key, weight: n },
            4 => Op::Drain { target, mode: Mode::Graceful, deadline: None },
            5 => Op::Enable { target },
            6 => Op::PutPool { name: pool, spec: json!({"servers":[key]}) },
            7 => Op::RemovePool { name: pool },
            8 => Op::PutRoute { name, spec: json!({"match":{"path":format!("/{n}")},"to":pool}) },
            9 => Op::RemoveRoute { name },
            10 => Op::Forget { pool, server: Some(key) },
            _ => return None,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// What was reached step by step is what a restart would make of the file and the state; and a
    /// refused step changes nothing.
    #[test]
    fn a_restart_reaches_the_same_as_all_the_steps(
        steps in proptest::collection::vec(step(), 1..25),
    ) {
        let (mut wanted, mut config) = wanted(FILE);
        let mut text = FILE;
        for step in steps {
            match step {
                None => {
                    text = if text == FILE { OTHER } else { FILE };
                    config = reload(&mut wanted, text);
                }
                Some(op) => {
                    let before = wanted.overlay.clone();
                    match wanted.changed(&[op]) {
                        Ok(draft) => config = take(&mut wanted, draft),
                        Err(_) => prop_assert_eq!(&before, &wanted.overlay),
                    }
                }
            }
            let kept = serde_json::to_string(&wanted.overlay).unwrap();
            let overlay: Overlay = serde_json::from_str(&kept).unwrap();
            prop_assert_eq!(&overlay, &wanted.overlay);
            let (again, afresh) =
                Wanted::new(file(text), overlay, 1, CommandLine::default());
            prop_assert_eq!(&afresh, &config);
            prop_assert_eq!(again.inert, wanted.inert.clone());
        }
    }
}

/// `cargo test --release -p evenkeel -- --ignored --nocapture ten_thousand_routes`
#[test]
#[ignore = "a measurement, meant for a release build"]
fn ten_thousand_routes_are_read_again_within_100_ms() {
    use evenkeel_proxy::snapshot::{Resolved, Snapshot};
    let text = |changed: &str| {
        let route = |n: u32| {
            format!("- {{ match: {{ host: h{n}.example, path: /p{n} }}, to: p{} }}\n", n % 100)
        };
        let pool =
            |n: u32| format!("  p{n}: {{ servers: [10.0.{n}.1:80, 10.0.{n}.2:{changed}] }}\n");
        format!(
            "listeners: {{ web: {{ bind: 127.0.0.1:1 }} }}\nroutes:\n{}pools:\n{}",
            (0..10_000).map(route).collect::<String>(),
            (0..100).map(pool).collect::<String>(),
        )
    };
    let (mut wanted, config) = wanted(&text("80"));
    let snapshot = Snapshot::compile(&config, &Resolved::default());
    let text = text("81");
    let began = evenkeel_runtime::now();
    let file = file(&text);
    let read = began.elapsed();
    let draft = wanted.draft(file, Overlay::default());
    let difference = diff::difference(&config, &draft.intent.config);
    let compared = began.elapsed();
    let before = Some((&config, &*snapshot));
    Snapshot::compile_after(before, &draft.intent.config, &Resolved::default());
    let compiled = began.elapsed();
    println!("read {read:?}, compared {compared:?}, compiled {compiled:?}");
    assert_eq!(difference.servers.len(), 100);
    assert!(compiled < Duration::from_millis(100), "{compiled:?}");
}
