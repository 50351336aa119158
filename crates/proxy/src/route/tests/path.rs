//! Paths: segment boundaries, and which of several patterns wins.

use evenkeel_config::model::{Match, PathMatch, RouteId};

use super::{expect, get, matching, routes, send};
use crate::route::{Found, Table};

#[test]
fn a_prefix_ends_where_a_segment_does() {
    let config = routes("api: { path: /api }");
    expect(
        &config,
        [
            ("api", get("h/api", &[])),
            ("api", get("h/api/", &[])),
            ("api", get("h/api/x/y", &[])),
            ("api", get("h/api?x=/apis", &[])),
            ("-", get("h/apis", &[])),
            ("-", get("h/ap", &[])),
            ("-", get("h/", &[])),
            ("-", get("h/x/api", &[])),
            ("-", get("h/API", &[])), // RFC 3986 §6.2.2.1: paths are case-sensitive
            ("-", get("h/api;v=1", &[])),
            ("-", get("h/api%2Fx", &[])),
        ],
    );
}

#[test]
fn a_trailing_slash_in_a_prefix_means_nothing() {
    let config = routes("api: { path: /api/ }");
    expect(&config, [("api", get("h/api", &[])), ("api", get("h/api/x", &[]))]);
}

#[test]
fn an_exact_path_is_that_path_only() {
    let config = routes(
        "root: { path: { exact: / } }
         api: { path: { exact: /api } }
         slash: { path: { exact: /dir/ } }",
    );
    expect(
        &config,
        [
            ("root", get("h/", &[])),
            ("root", get("h/?q", &[])),
            ("api", get("h/api", &[])),
            ("-", get("h/api/", &[])),
            ("-", get("h/api/x", &[])),
            ("slash", get("h/dir/", &[])),
            ("-", get("h/dir", &[])),
        ],
    );
}

#[test]
fn exact_wins_over_regex_over_the_longer_prefix_over_the_shorter() {
    let config = routes(
        "all: { path: / }
         short: { path: /a }
         long: { path: /a/b/c }
         regex: { path: { regex: '^/a/.*[.]png$' } }
         exact: { path: { exact: /a/b.png } }",
    );
    expect(
        &config,
        [
            ("exact", get("h/a/b.png", &[])),
            ("regex", get("h/a/b/c/d.png", &[])),
            ("long", get("h/a/b/c/d", &[])),
            ("long", get("h/a/b/c", &[])),
            ("short", get("h/a/b/cc", &[])),
            ("short", get("h/a/b", &[])),
            ("all", get("h/b", &[])),
        ],
    );
}

#[test]
fn regexes_go_in_the_order_written_and_match_anywhere_unless_anchored() {
    let config = routes(
        "first: { path: { regex: '/v[0-9]+/' } }
         second: { path: { regex: '^/api' } }",
    );
    expect(
        &config,
        [
            ("first", get("h/api/v1/x", &[])),
            ("second", get("h/api/vx", &[])),
            ("-", get("h/x/api", &[])),
        ],
    );
}

#[test]
fn more_conditions_go_first_then_the_order_written() {
    let config = routes(
        "plain: { path: /a }
         one: { path: /a, method: GET }
         also_one: { path: /a, header: { x-a: present } }
         two: { path: /a, method: GET, header: { x-b: present } }",
    );
    expect(
        &config,
        [
            ("two", get("h/a", &["X-A: 1", "X-B: 1"])),
            ("one", get("h/a", &["X-A: 1"])),
            ("also_one", send("PUT", "h/a", &["X-A: 1"])),
            ("plain", send("PUT", "h/a", &[])),
        ],
    );
}

#[test]
fn a_shorter_prefix_is_asked_when_the_conditions_of_a_longer_do_not_hold() {
    let config = routes(
        "long: { path: /a/b, method: POST }
         short: { path: /a }",
    );
    expect(&config, [("short", get("h/a/b/c", &[])), ("long", send("POST", "h/a/b/c", &[]))]);
}

/// RFC 9112 §3.2.4: `*` is about the host, and no path.
#[test]
fn the_asterisk_form_takes_routes_of_every_path_only() {
    let config = routes(
        "api: { path: /api }
         all: { host: a.test }",
    );
    let mut sent = send("OPTIONS", "a.test/", &[]);
    sent.bytes = sent.bytes.iter().map(|b| if *b == b'/' { b'*' } else { *b }).collect();
    expect(&config, [("all", sent)]);
}

#[test]
fn what_a_prefix_matched_is_reported() {
    let config = routes(
        "all: { path: / }
         api: { path: /api/v1 }
         exact: { path: { exact: /e } }
         regex: { path: { regex: ^/r } }",
    );
    let table = Table::compile(&config);
    let lengths = [("/api/v1", 7), ("/api/v1/", 7), ("/api/v1/x", 7), ("/api", 0), ("/e", 0)];
    for (path, length) in lengths.into_iter().chain([("/r/x", 0), ("/", 0)]) {
        let found = table.find(&get(&format!("h{path}"), &[]).view());
        assert_eq!(found.map(|found| found.prefix_len), Some(length), "{path}");
    }
}

/// The number of segments is bounded by nothing but the length of a request line.
#[test]
fn prefixes_of_any_depth_are_found_in_paths_of_any_depth() {
    let deep = |depth: usize| "/s".repeat(depth);
    let depths = [1, 2, 3, 7, 31, 62, 63, 64, 65, 100];
    let prefix = |depth: &usize| Match::Path(PathMatch::Prefix(deep(*depth)));
    let table = Table::compile(&matching(depths.iter().map(prefix)));
    for length in (1..130).chain([1_000]) {
        for end in ["", "/", "x", "/x"] {
            let path = deep(length) + end;
            let whole = if end == "x" { length - 1 } else { length };
            let expected = depths.iter().rposition(|depth| *depth <= whole);
            let found = table.find(&get(&format!("h{path}"), &[]).view());
            let expected =
                expected.map(|at| Found { route: RouteId(at as u32), prefix_len: 2 * depths[at] });
            assert_eq!(found, expected, "{length} segments and {end:?}");
        }
    }
}

#[test]
fn slashes_that_were_not_merged_are_empty_segments() {
    let config = routes(
        "a: { path: /a }
         ab: { path: /a/b }",
    );
    let table = Table::compile(&config);
    let sent = get("h/x", &[]);
    let cases: [(&[u8], _); 8] = [
        (b"/a//b", Some(0)),
        (b"//a", None),
        (b"/a//", Some(0)),
        (b"/a/b//", Some(1)),
        (b"//", None),
        (b"", None),
        (b"a", None),
        (b"a/b", None),
    ];
    for (path, expected) in cases {
        let mut view = sent.view();
        view.path = path;
        assert_eq!(table.find(&view).map(|found| found.route.0), expected, "{path:?}");
    }
}
