//! What reading and checking large configurations costs:
//! `cargo run --release -p evenkeel-config --example read_cost`
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a measurement")]

use std::fmt::Write as _;
use std::time::Instant;

use evenkeel_config::{Source, effective, load, servers};

const N: usize = 10_000;
const LISTENERS: &str = "listeners: { web: { bind: \":80\" } }\n";

fn main() {
    let mut routes = format!("{LISTENERS}pools: {{ app: {{ servers: [\"a:1\"] }} }}\nroutes:\n");
    let mut pools = format!("{LISTENERS}routes:\n");
    let mut named = "pools:\n".to_owned();
    let mut list = String::new();
    for n in 0..N {
        let _ = writeln!(routes, "  - {{ match: {{ host: h{n}.example, path: /p{n} }}, to: app }}");
        let _ = writeln!(pools, "  - {{ match: {{ path: /p{n} }}, to: p{n} }}");
        let _ = writeln!(named, "  p{n}: {{ servers: [\"10.0.0.1:80\", \"10.0.0.2:80\"] }}");
        let _ = writeln!(list, "  - 10.{}.{}.{}:8080", n >> 16, n >> 8 & 255, n & 255);
    }
    let one = format!("{LISTENERS}routes: [ {{ to: app }} ]\npools:\n  app:\n    servers:\n");
    let one = one + &list.replace("  - ", "      - ");
    for (what, text) in
        [("routes", routes), ("pools and routes", pools + &named), ("servers in a pool", one)]
    {
        measure(what, || load(&[source(&text)], &|_| None).unwrap());
        let config = load(&[source(&text)], &|_| None).unwrap().config;
        measure(&format!("{what}, written out"), || effective(&config));
    }
    measure("servers in a file", || servers(&source(&list)).unwrap());
}

fn source(text: &str) -> Source {
    Source { name: "f".into(), text: text.to_owned() }
}

/// The best of five.
fn measure<T>(what: &str, mut run: impl FnMut() -> T) {
    let best = (0..5).map(|_| {
        let start = Instant::now();
        std::hint::black_box(run());
        start.elapsed()
    });
    println!("{N} {what}: {:.1} ms", best.min().unwrap_or_default().as_secs_f64() * 1e3);
}
