//! `geo`, over each version of HTTP, with a database made here that knows where 127.0.0.0/8 is.

use crate::Stage;
use crate::quic::Site;
use crate::support::{Backend, Proxy, wait_for, with_listener};

/// A MaxMind database (format 2.0) with one network: 127.0.0.0/8.
fn database(country: &str) -> Vec<u8> {
    const NODES: u32 = 8;
    let record = |value: u32| value.to_be_bytes()[1..].to_vec();
    let mut out = Vec::new();
    for node in 0..NODES {
        let (bit, next) = (node > 0, if node + 1 == NODES { NODES + 16 } else { node + 1 });
        let (left, right) = if bit { (NODES, next) } else { (next, NODES) };
        out.extend([record(left), record(right)].concat());
    }
    out.extend([0; 16]);
    let text = |text: &str| [&[0x40 | text.len() as u8][..], text.as_bytes()].concat();
    let map = |entries: u8| vec![0xe0 | entries];
    out.extend([map(1), text("country"), map(1), text("iso_code"), text(country)].concat());
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let u16 = |value: u8| vec![0xa1, value];
    out.extend(
        [
            map(9),
            text("node_count"),
            vec![0xc1, NODES as u8],
            text("record_size"),
            u16(24),
            text("ip_version"),
            u16(4),
            text("binary_format_major_version"),
            u16(2),
            text("binary_format_minor_version"),
            vec![0xa0],
            text("build_epoch"),
            vec![0x01, 0x02, 1],
            text("database_type"),
            text("Test"),
            text("languages"),
            vec![0x00, 0x04],
            text("description"),
            map(0),
        ]
        .concat(),
    );
    out
}

fn site(country: &str) -> Site {
    let site = Site::new();
    std::fs::write(site.directory.0.join("geo.mmdb"), database(country)).unwrap();
    site
}

#[test]
fn servers_are_told_the_country_and_a_client_cannot_say_it_itself() {
    let policy = "{ geo: { file: $DIR/geo.mmdb, country_field: x-country } }";
    let stage = Stage::with(site("DE"), policy, "");
    assert_eq!(stage.status(&[("x-country", "FR"), ("x_country", "FR")]), 200);
    for request in stage.app.received() {
        assert_eq!(request.fields("x-country"), ["DE"]);
        assert!(!request.head.contains("FR"));
    }
}

#[test]
fn countries_that_may_not_get_403_and_a_changed_database_is_in_force() {
    let policy = "{ geo: { file: $DIR/geo.mmdb, deny: FR, allow: [DE, FR] } }";
    let stage = Stage::with(site("DE"), policy, "");
    assert_eq!(stage.status(&[]), 200);
    std::fs::write(stage.site.directory.0.join("geo.mmdb"), database("FR")).unwrap();
    let says = "documents changed and are in force";
    wait_for("the database", || stage.proxy.log().iter().any(|line| line.contains(says)));
    let answer = stage.get("/", &[]);
    assert_eq!((answer.status, answer.field("x-evenkeel-reason")), (403, Some("country_denied")));
}

#[test]
fn a_country_decides_on_the_route() {
    let (site, app) = (site("DE"), Backend::named("app"));
    let listener = format!("{}    policies: [p]\n", site.listener());
    let routes = "routes:\n  - match: { country: [FR, DE] }\n    respond: { body: near }\n";
    let config = with_listener(&[&app], &listener).replace("routes:\n", routes);
    let file = site.directory.0.join("geo.mmdb");
    let policy = format!("policies:\n  p: {{ geo: {{ file: {} }} }}\n", file.display());
    let proxy = Proxy::start(&format!("{config}{policy}"));
    let stage = Stage { site, proxy, app };
    assert!(stage.get("/", &[]).body.ends_with(b"near"));
    assert_eq!(stage.app.count(), 0);
}
