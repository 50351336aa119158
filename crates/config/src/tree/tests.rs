//! What is read quickly is what the parser reads, to the byte, or is left to it.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

fn source(text: &str) -> Source {
    Source { name: "f".into(), text: text.to_owned() }
}

/// The tree and what was found wrong, as the parser sees it.
fn parsed(text: &str) -> (Option<Node>, usize) {
    let (source, mut findings) = (source(text), Vec::new());
    let node = read_events(Events::parsed(text), &source, 0, &|_| None, &mut findings);
    (node, findings.len())
}

/// The same, read quickly; `None` if that is left to the parser.
fn quickly(text: &str) -> Option<(Option<Node>, usize)> {
    let (source, mut findings) = (source(text), Vec::new());
    let events = Events::Quick(quick::pieces(text)?.into_iter());
    let node = read_events(events, &source, 0, &|_| None, &mut findings);
    Some((node, findings.len()))
}

fn is_the_same(text: &str) -> bool {
    let quickly = quickly(text);
    if let Some(quickly) = &quickly {
        assert_eq!(*quickly, parsed(text), "{text}");
    }
    quickly.is_some()
}

#[test]
fn what_large_configurations_consist_of_is_read_quickly() {
    for text in [
        "a: b\n",
        "a: b",
        "a:\n  b: c\n",
        "a:\n  b: c\nd: e\n",
        "a:\n    b:\n        c: d\n    e: f\ng: h\n",
        "a:\n- b\n- c\nd: e\n",
        "a:\n  - b\n  - c\nd: e\n",
        "- a\n- b\n",
        "- a: b\n  c: d\n- a: e\n",
        "-   a: b\n    c: d\n",
        "x:\n  - a: b\n    c:\n      - d\n      - e: f\n        g: h\n    i: j\n  - k\nl: m\n",
        "x:\n- a:\n  - b\n  - c\n- d\n",
        "a: { b: c, d: [e, f], g: {}, h: [] }\n",
        "- { match: { host: h1.example, path: /p }, to: app }\n",
        "a: {b: c,d: [e,f]}\n",
        "a: \"b c: d\" # e\nf: 'g'\n",
        "# a\n\na: b # c\n\n  # d\ne: f\n# g",
        "a: b c  d\ne: 127.0.0.1:80\nf: https://x/${path}?y\n",
        "a: [127.0.0.1:80, \"[::1]:80\", x y]\n",
        "a: null\nb: true\n",
        "\n\n  \na: b\n\n",
        "a: b\na: c\n",
        "  # only\na: ${HOME}\n",
    ] {
        assert!(is_the_same(text), "not read quickly: {text:?}");
    }
}

#[test]
fn what_needs_care_is_left_to_the_parser() {
    for text in [
        "",
        "a",
        "a:\n",
        "a:\nb: c\n",
        "a: |\n  b\n",
        "a: b\n  c\n",
        "a: &b c\n",
        "a: *b\n",
        "---\na: b\n",
        "a: b\n...\n",
        "a: \"b\\n\"\n",
        "a: 'b''c'\n",
        "a: b: c\n",
        "a: {b: c\n  }\n",
        "a: {b}\n",
        "a: [b: c]\n",
        "a: [b,]\n",
        "a: {b: c}: d\n",
        "? a\n: b\n",
        "\"a\": b\n",
        "a: \u{e4}\n",
        "a:\tb\n",
        "a: b\r\n",
        "a: - b\n",
        "- - a\n",
        "-\n  a: b\n",
        " a: b\n",
        "a:\n    b: c\n  d: e\n",
        "a: b\n c: d\n",
    ] {
        assert!(quickly(text).is_none(), "{text:?}");
    }
}

fn examples() -> Vec<String> {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let all = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

#[test]
fn every_example_is_read_as_by_the_parser() {
    let examples = examples();
    let quick = examples.iter().filter(|text| is_the_same(text)).count();
    println!("{quick} of {} are read quickly", examples.len());
    assert!(quick * 2 > examples.len(), "{quick} of {}", examples.len());
}

/// Something to be written down, in one of the ways there are.
#[derive(Clone, Debug)]
enum Thing {
    Word(&'static str),
    List(Vec<Self>, usize),
    Map(Vec<(&'static str, Self)>, usize),
}

const WORDS: &[&str] = &[
    "a",
    "10.0.0.1:80",
    "/p/q",
    "\"a: [b]\"",
    "'c, d'",
    "two words",
    "x-y_z",
    "null",
    "${PORT:-1}",
    "1.5",
    "https://${host}${path}",
    "${A",
    "$$",
    "a#b",
];

fn thing() -> impl Strategy<Value = Thing> {
    let key = prop::sample::select(&["a", "b", "c-d", "e.f", "g_1", "/h"][..]);
    prop::sample::select(WORDS).prop_map(Thing::Word).prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), 0..9_usize)
                .prop_map(|(items, way)| Thing::List(items, way)),
            (prop::collection::vec((key.clone(), inner), 0..5), 0..9_usize)
                .prop_map(|(entries, way)| Thing::Map(entries, way)),
        ]
    })
}

/// Writes a thing where a line has come to `out`'s end, in a block at `column`.
fn write(thing: &Thing, column: usize, out: &mut String) {
    let gap = |way: usize| ["", " ", "  # c", "\n", "\n# c\n\n"][way % 5].to_owned() + "\n";
    let pad = |n: usize| " ".repeat(n);
    match thing {
        Thing::Word(word) => *out += &format!(" {word}{}", gap(word.len())),
        Thing::List(items, way) if *way > 3 && !items.is_empty() => {
            let column = column + way % 3;
            *out += &gap(*way);
            for item in items {
                *out += &format!("{}-", pad(column));
                match item {
                    Thing::Map(entries, way) if *way > 3 && !entries.is_empty() => {
                        let (key, value) = &entries[0];
                        *out += &format!(" {key}:");
                        write(value, column + 3, out);
                        for (key, value) in &entries[1..] {
                            *out += &format!("{}{key}:", pad(column + 2));
                            write(value, column + 3, out);
                        }
                    }
                    other => write(other, column + 1, out),
                }
            }
        }
        Thing::Map(entries, way) if *way > 3 && !entries.is_empty() => {
            let column = column + way % 3;
            *out += &gap(*way);
            for (key, value) in entries {
                *out += &format!("{}{key}:", pad(column));
                write(value, column + 1, out);
            }
        }
        other => *out += &format!(" {}{}", flow(other), gap(column)),
    }
}

fn flow(thing: &Thing) -> String {
    let join = |parts: Vec<String>, way: usize| parts.join([",", ", ", " , "][way % 3]);
    match thing {
        Thing::Word(word) => (*word).to_owned(),
        Thing::List(items, way) => {
            format!("[{}]", join(items.iter().map(flow).collect(), *way))
        }
        Thing::Map(entries, way) => {
            let entry = |(key, value): &(&str, Thing)| format!("{key}: {}", flow(value));
            format!("{{ {} }}", join(entries.iter().map(entry).collect(), *way))
        }
    }
}

/// What texts are made of, to be put together in any way.
const PARTS: &[&str] = &[
    "a",
    "b-c",
    "\"q\"",
    "'q'",
    ": ",
    ":",
    "- ",
    "-",
    "  ",
    " ",
    "    ",
    "\n",
    "\n  ",
    "\n    ",
    "\n- ",
    "\n  - ",
    "{ ",
    " }",
    "{",
    "}",
    "[",
    "]",
    ", ",
    ",",
    "# c",
    "#",
    " # c\n",
    "a: ",
    "a:\n",
    "b: c\n",
    "- d\n",
    "x: { y: z }\n",
    "x: [1, 2]",
    "|",
    ">",
    "&x ",
    "*x",
    "!t ",
    "?",
    "? ",
    "~",
    "null",
    "${V}",
    "\\",
    "%",
    "---\n",
    "...\n",
    "/p",
    "1:2",
    "a b",
    "@",
    "`",
    "<<",
    "=",
    "\"",
    "'",
    "''",
];

#[test]
fn things_written_in_any_way_are_read_as_by_the_parser() {
    const CASES: u32 = 4000;
    let quick = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let whole = runner.run(&thing(), |thing| {
        let mut text = "top:".to_owned();
        write(&thing, 0, &mut text);
        quick.set(quick.get() + u32::from(is_the_same(&text)));
        Ok(())
    });
    whole.unwrap();
    println!("{} of {CASES} were read quickly", quick.get());
    assert!(quick.get() > CASES / 4, "{} of {CASES} were read quickly", quick.get());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn texts_of_any_parts_are_read_as_by_the_parser(
        parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..24),
    ) {
        is_the_same(&parts.concat());
    }

    #[test]
    fn examples_that_were_changed_anywhere_are_read_as_by_the_parser(
        which in 0..100_usize,
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0..6_usize, proptest::sample::select(PARTS)),
            1..4,
        ),
    ) {
        let examples = examples();
        let mut text = examples[which % examples.len()].clone();
        for (at, removed, part) in changes {
            let begin = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.floor_char_boundary((begin + removed).min(text.len()));
            text.replace_range(begin..end.max(begin), part);
        }
        is_the_same(&text);
    }
}
