//! Binary upgrades that succeed and that do not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_tools::load::Load;

use crate::Fault;
use crate::balancer::{Balancer, FAULTS, Kind, Wanted};
use crate::row::Row;
use crate::stage::{Stage, pause, within};

/// How long an upgrade may take: a minute until a silent process is given up on.
const UPGRADES: Duration = Duration::from_secs(70);
/// How long the old process may be there after the new one is in charge: its clients ask again soon.
const LEAVES: Duration = Duration::from_secs(15);

/// From one build to the other and back, with two workers and with one, on kept and on new
/// connections.
pub(crate) fn r8(stage: &Stage, _: Kind) -> Result<Row, Fault> {
    let backends = stage.backends(2)?;
    let wanted = Wanted { workers: Some(2), ..Wanted::of(&backends) };
    let program = stage.directory().join("evenkeel");
    install(&stage.binaries.join("evenkeel"), &program)?;
    let balancer = Balancer::start_program(stage, &program, wanted.clone(), |_| {})?;
    let rate = stage.rate(500.0, 3_500.0);
    let kept = stage.load(Load { rate, tag: "kept-".into(), ..balancer.load() });
    let new = Load { rate, close: true, tag: "new-".into(), ..balancer.load() };
    let new = stage.load(new);
    let (mut row, mut slowest) = (Row::default(), Duration::ZERO);
    let memory = balancer.memory();
    for turn in 1..=stage.either(2, 50) {
        // The other number of workers, and the other build if there are two.
        let workers = Some(2 - turn % 2);
        let version = format!("upgrade{turn}");
        balancer.write(&Wanted { workers, ..wanted.version(&version) })?;
        let before = balancer.serving();
        install(&other(stage, turn % 2 == 1), &program)?;
        let upgraded = balancer.upgrade(UPGRADES);
        row.must(upgraded.is_ok(), || format!("upgrade {turn}: {upgraded:?}"));
        let gone = within(LEAVES, || before.iter().all(|old| !balancer.serving().contains(old)));
        slowest = slowest.max(gone.unwrap_or(LEAVES));
        row.must(gone.is_some(), || format!("after upgrade {turn} the old process stays"));
        let shown = balancer.version();
        row.must(shown.as_ref() == Some(&version), || format!("{shown:?} after upgrade {turn}"));
        pause(200);
    }
    row.outcome = stage.stop(kept);
    row.outcome.merge(&stage.stop(new));
    row.memory = Some((memory, balancer.memory()));
    row.must_lose_nothing();
    row.note(format!("old processes left within {slowest:.1?}"));
    Ok(row)
}

/// Puts a program in the place of another, whole at any moment, as a package does.
fn install(from: &Path, to: &Path) -> Result<(), Fault> {
    let draft = to.with_extension("draft");
    std::fs::copy(from, &draft)?;
    Ok(std::fs::rename(&draft, to)?)
}

/// The build to go to: one with other features if there is one.
fn other(stage: &Stage, is_other: bool) -> PathBuf {
    let faults = stage.binaries.join(FAULTS);
    if is_other && faults.exists() { faults } else { stage.binaries.join("evenkeel") }
}

/// Points at which the new process fails by its own doing while the old one serves alone.
const BEFORE_IT_SERVES: std::ops::RangeInclusive<u32> = 1..=13;
/// In the short form: at once, halfway, killed when ready.
const SOME: [u32; 4] = [1, 6, 8, 11];

/// The new process fails, hangs or lies at each of its steps.
pub(crate) fn r9(stage: &Stage, _: Kind) -> Result<Row, Fault> {
    if !stage.binaries.join(FAULTS).exists() {
        return Ok(Row::skipped("needs a build with fault-injection: make chaos"));
    }
    let points: Vec<u32> = if stage.short { SOME.to_vec() } else { BEFORE_IT_SERVES.collect() };
    let mut row = Row::default();
    for point in &points {
        let backends = stage.backends(1)?;
        let program = stage.binaries.join(FAULTS);
        let wanted = Wanted::of(&backends);
        let balancer = Balancer::start_program(stage, &program, wanted, |command| {
            command.env("EVENKEEL_UPGRADE_FAULT", point.to_string());
        })?;
        let load = Load { rate: stage.rate(500.0, 2_000.0), ..balancer.load() };
        let kept = stage.load(Load { tag: format!("kept{point}-"), ..load.clone() });
        let new = stage.load(Load { close: true, tag: format!("new{point}-"), ..load });
        pause(300);
        let before = balancer.serving();
        let upgraded = balancer.upgrade(UPGRADES);
        row.must(upgraded.is_err(), || format!("point {point}: it says {upgraded:?}"));
        pause(500);
        let after = balancer.serving();
        row.must(after == before, || format!("point {point}: {before:?} became {after:?}"));
        row.outcome.merge(&stage.stop(kept));
        row.outcome.merge(&stage.stop(new));
    }
    row.must_lose_nothing();
    row.note(format!("{} points", points.len()));
    Ok(row)
}

/// A request in a thousand makes its handler panic.
pub(crate) fn r13(stage: &Stage, _: Kind) -> Result<Row, Fault> {
    if !stage.binaries.join(FAULTS).exists() {
        return Ok(Row::skipped("needs a build with fault-injection: make chaos"));
    }
    let backends = stage.backends(2)?;
    let program = stage.binaries.join(FAULTS);
    let mut balancer = Balancer::start_program(stage, &program, Wanted::of(&backends), |_| {})?;
    let panics = stage.either(100, 1_000);
    let rate = stage.rate(1_000.0, 5_000.0);
    let others = stage.load(Load { rate, ..balancer.load() });
    pause(500);
    let before = (balancer.memory(), balancer.descriptors());
    let faulty = stage.load_for(
        Duration::from_secs(600),
        Load {
            fields: "X-Evenkeel-Fault: panic\r\n".into(),
            requests: panics,
            rate: rate / 1_000.0 * stage.either(20.0, 1.0),
            connections: 4,
            tag: "panic-".into(),
            ..balancer.load()
        },
    );
    pause(500);
    let mut row = Row::of(stage.stop(others));
    row.memory = Some((before.0, balancer.memory()));
    row.must_lose_nothing();
    let failed = faulty.failed();
    row.note(format!("{panics} panics: {:?}", faulty.classes));
    row.must(failed == panics, || format!("{failed} of {panics} failed"));
    // Connections to servers come and go; one lost with each panic would show.
    let after = balancer.descriptors();
    row.note(format!("{} descriptors became {after}", before.1));
    let lost = after.saturating_sub(before.1);
    row.must(lost < panics as usize / 2, || format!("{lost} descriptors more than before"));
    row.must(balancer.peer.ended().is_none(), || "it ended".into());
    Ok(row)
}
