//! Files that went wrong: whatever happens to the words of a good one, it is read or refused with
//! places that can be shown; what is read comes back when it is written out.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use evenkeel_config::{Source, effective, load, servers};

const EXAMPLE: &str = include_str!("../../../examples/resilience.yaml");
const HARDENED: &str = include_str!("../../../examples/edge-hardened.yaml");

/// Words, and what is between them.
fn tokens(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || "_.".contains(c);
        let end = match is_word(first) {
            true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        all.push(token);
        rest = after;
    }
    all
}

fn read(text: &str) {
    let source = |name: &str, text: &str| [Source { name: name.into(), text: text.into() }];
    let environment =
        |name: &str| name.starts_with("SHOP").then(|| "sixteen-or-more-of-them".into());
    let loaded = match load(&source("f", text), &environment) {
        Ok(loaded) => loaded,
        Err(report) => {
            assert!(report.has_errors() && !report.render(false).is_empty(), "{text}");
            assert!(report.diagnostics.iter().all(|d| d.span.is_some()), "{text}");
            return;
        }
    };
    let written = effective(&loaded.config);
    match load(&source("effective", &written), &environment) {
        Ok(again) => assert_eq!(again.config, loaded.config, "{written}"),
        Err(report) => {
            let is_hidden = |code| matches!(code, "hidden-secret" | "unset-variable");
            let mut errors = report
                .diagnostics
                .iter()
                .filter(|d| d.severity == evenkeel_config::Severity::Error && !is_hidden(d.code));
            assert!(errors.next().is_none(), "{}\n{written}", report.compact());
        }
    }
}

proptest::proptest! {
    #[test]
    fn whatever_happens_to_the_words_of_a_file_it_is_read_or_refused(
        changes in proptest::collection::vec((0_u8..4, 0_usize..4000, 0_usize..4000), 1..4),
        hardened in proptest::bool::ANY,
    ) {
        let text = if hardened { HARDENED } else { EXAMPLE };
        let mut words = tokens(text);
        let others = words.clone();
        for (change, at, other) in changes {
            let at = at % words.len().max(1);
            match change {
                0 => drop(words.drain(at..(at + 1).min(words.len()))),
                1 => words.insert(at, others[other % others.len()]),
                2 => words.truncate(at),
                _ => words.iter_mut().skip(at).take(1).for_each(|w| *w = others[other % others.len()]),
            }
        }
        read(&words.concat());
    }

    #[test]
    fn a_list_of_servers_is_read_or_refused(text in "(- |\\[|\\{|a:1|b|:|,|\\]|\\}| |\n|\"|weight|address|\\$){0,20}") {
        let source = Source { name: "servers".into(), text };
        if let Err(report) = servers(&source) {
            assert!(report.has_errors() && !report.render(false).is_empty());
        }
    }
}

#[test]
fn a_list_of_servers_alone_is_read_as_that_of_a_pool() {
    let source = |text: &str| Source { name: "servers.yaml".into(), text: text.into() };
    let three = servers(&source("- a:1\n- { address: \"b:2\", weight: 3 }\n- c:3\n")).unwrap();
    assert_eq!(three.iter().map(|server| server.weight).collect::<Vec<_>>(), [1, 3, 1]);
    assert_eq!(servers(&source("{ \"address\": \"a:1\" }")).unwrap().len(), 1);
    assert_eq!(servers(&source("[]")).unwrap(), []);
    for (text, code) in [
        ("", "missing-field"),
        ("  \n", "missing-field"),
        ("[a:1, a:1]", "duplicate-server"),
        ("[a:1", "syntax"),
        ("[\"${HOME}:1\"]", "unset-variable"),
        ("[{ weight: 1 }]", "missing-field"),
    ] {
        let report = servers(&source(text)).unwrap_err();
        assert!(report.diagnostics.iter().any(|d| d.code == code), "{text}: {}", report.compact());
    }
}

#[test]
fn what_a_program_says_is_not_looked_up_in_the_environment() {
    let file = Source {
        name: "f".into(),
        text: "listeners: { web: { bind: \":80\" } }\npools: { a: { servers: \"a:1\" } }\nroutes: [ { name: first, to: a } ]".into(),
    };
    let value = serde_json::json!({
        "pools": { "b": { "servers": ["b:1"], "health": { "http": { "expect": { "json": { "$.a": "${HOME}" } } } } } },
        "routes": [ { "name": "more", "match": { "path": "/b" }, "respond": { "body": "${HOME} $" } } ],
    });
    let environment = |_: &str| Some("secret".to_owned());
    let sources = [file.clone(), Source::json("runtime", &value)];
    let config = load(&sources, &environment).unwrap().config;
    assert_eq!((config.pools.len(), config.routes.len()), (2, 2));
    let shown = format!("{config:?}");
    assert!(shown.contains("${HOME} $") && !shown.contains("secret"), "{shown}");
    let twice = serde_json::json!({ "pools": { "a": { "servers": "c:1" } }, "routes": [{ "name": "first", "to": "a", "match": { "path": "/x" } }] });
    let report = load(&[file, Source::json("runtime", &twice)], &environment).unwrap_err();
    let shown = report.render(false);
    for part in ["`a` is given twice", "two routes are called `first`", "--> runtime:1", "::: f:"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}
