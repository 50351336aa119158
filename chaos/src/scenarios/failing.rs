//! Servers that answer, but badly.

use std::time::Duration;

use evenkeel_tools::load::Load;

use crate::Fault;
use crate::balancer::{Balancer, Kind, Wanted};
use crate::journal::executed;
use crate::row::Row;
use crate::stage::Stage;

/// Three servers that answer 503 to everything, and a balancer that may try again.
pub(crate) fn f4(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let mut backends = stage.backends(3)?;
    let wanted = Wanted { retry_503: true, ..Wanted::of(&backends) };
    let balancer = Balancer::start(stage, kind, wanted)?;
    // Some success first, so that there is a budget to misuse.
    let load = Load { rate: stage.rate(1_000.0, 5_000.0), ..balancer.load() };
    let before = stage.load_for(Duration::from_secs(2), load.clone());
    backends.iter_mut().for_each(|backend| backend.behave("status/503"));
    std::thread::sleep(Duration::from_millis(100));
    let counted = executed(&backends).total;
    let time = Duration::from_secs(stage.either(5, 60));
    let mut row = Row::of(stage.load_for(time, Load { tag: "bad-".into(), ..load }));
    let tries = executed(&backends).total - counted;
    let factor = tries as f64 / row.outcome.sent().max(1) as f64;
    row.amplification = Some(factor);
    row.must(factor <= 1.1, || format!("{tries} tries"));
    row.must(before.failed() == 0, || format!("failures before: {:?}", before.classes));
    Ok(row)
}

/// Responses that end early, with a length and in chunks.
pub(crate) fn f9(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let backends = stage.backends(1)?;
    let balancer = stage.balancer(kind, &backends)?;
    let mut row = Row::default();
    for target in ["/cut/20000", "/cut-chunked/20000", "/cut/300", "/cut-chunked/300"] {
        row.outcome.merge(&stage.finish(stage.load(Load {
            target: target.into(),
            requests: stage.either(1_000, 10_000),
            connections: 20,
            ..balancer.load()
        })));
    }
    let classes = row.outcome.classes.clone();
    let count = |class: &str| classes.get(class).copied().unwrap_or(0);
    let whole = count("ok") + count("wrong_body") + count("wrong_id");
    row.must(whole == 0, || format!("{whole} cut responses looked whole"));
    let cut = count("truncated");
    row.must(cut > row.outcome.sent() / 4, || format!("only {cut} were cut in the body"));
    Ok(row)
}

/// A server that refuses an upload of 10 MiB without reading it.
pub(crate) fn f14(stage: &Stage, kind: Kind) -> Result<Row, Fault> {
    let backends = stage.backends(1)?;
    let balancer = stage.balancer(kind, &backends)?;
    let mut row = Row::of(stage.finish(stage.load(Load {
        method: "POST".into(),
        target: "/early/413".into(),
        body: 10 << 20,
        requests: stage.either(200, 10_000),
        connections: 8,
        check_id: false,
        ..balancer.load()
    })));
    let read = row.outcome.classes.get("status_413").copied().unwrap_or(0);
    let sent = row.outcome.sent();
    row.note(format!("{read} of {sent} read the 413"));
    row.must(read as f64 >= sent as f64 * 0.9999, || format!("{} did not", sent - read));
    Ok(row)
}
