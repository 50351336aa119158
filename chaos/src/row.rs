//! The row of a scenario: what was counted, and what of the goal was missed.

use std::time::Duration;

use evenkeel_tools::load::Outcome;

use crate::balancer::Kind;

/// What came of a scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    scenario: &'static str,
    kind: Option<Kind>,
    took: Duration,
    /// All requests together.
    pub(crate) outcome: Outcome,
    /// POSTs that were executed more than once.
    pub(crate) duplicates: Option<u64>,
    /// Tries at servers for each request of a client.
    pub(crate) amplification: Option<f64>,
    /// From the fault to the last try at the bad server.
    pub(crate) eject: Option<Duration>,
    /// From the end of the fault to the server's return.
    pub(crate) recover: Option<Duration>,
    /// Bytes of memory, before and after.
    pub(crate) memory: Option<(u64, u64)>,
    /// Worth knowing.
    pub(crate) notes: Vec<String>,
    missed: Vec<String>,
    skipped: Option<String>,
}

impl Row {
    /// A row with this outcome.
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self { outcome, ..Self::default() }
    }

    /// A row that says why nothing was done.
    pub(crate) fn skipped(why: &str) -> Self {
        Self { skipped: Some(why.to_owned()), ..Self::default() }
    }

    /// A part of the goal.
    pub(crate) fn must(&mut self, is_kept: bool, miss: impl FnOnce() -> String) {
        if !is_kept {
            self.missed.push(miss());
        }
    }

    /// A part of many goals: nothing failed.
    pub(crate) fn must_lose_nothing(&mut self) {
        let failed = self.outcome.failed();
        let first = self.outcome.failures.first().cloned();
        self.must(failed == 0, || {
            let first = first.map(|failure| format!(": the first {:?}", failure));
            format!("{failed} failed{}", first.unwrap_or_default())
        });
        let sent = self.outcome.sent();
        self.must(sent > 0, || "nothing was sent".into());
    }

    /// A part of many goals: nothing was executed twice.
    pub(crate) fn must_repeat_no_post(&mut self, duplicates: u64) {
        self.duplicates = Some(duplicates);
        self.must(duplicates == 0, || format!("{duplicates} POSTs were executed twice"));
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn begun(&mut self, scenario: &'static str, kind: Kind, took: Duration) {
        (self.scenario, self.kind, self.took) = (scenario, Some(kind), took);
    }

    /// Whether Evenkeel missed a goal; peers may.
    pub(crate) fn is_missed(&self) -> bool {
        self.kind == Some(Kind::Evenkeel) && !self.missed.is_empty()
    }

    fn verdict(&self) -> &'static str {
        match (&self.skipped, self.missed.is_empty()) {
            (Some(_), _) => "skipped",
            (None, true) => "PASS",
            (None, false) => "FAIL",
        }
    }

    fn failed(&self) -> String {
        let classes = self.outcome.classes.iter().filter(|(class, _)| *class != "ok");
        let classes: Vec<_> = classes.map(|(class, n)| format!("{n} {class}")).collect();
        if classes.is_empty() { "0".into() } else { classes.join(", ") }
    }

    pub(crate) fn print(&self) {
        let percentile = |share| millis(Some(self.outcome.latency.at(share)));
        let words: Vec<&str> = self
            .missed
            .iter()
            .chain(&self.notes)
            .chain(&self.skipped)
            .map(String::as_str)
            .collect();
        let memory = self.memory.map(|(before, after)| {
            format!("{:.1} → {:.1}", before as f64 / 1048576.0, after as f64 / 1048576.0)
        });
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.scenario,
            self.kind.map_or("", Kind::name),
            self.verdict(),
            self.outcome.sent(),
            self.failed(),
            show(self.duplicates),
            percentile(0.5),
            percentile(0.99),
            percentile(0.999),
            millis(Some(self.outcome.latency.max())),
            show(self.amplification.map(|factor| format!("{factor:.3}"))),
            millis(self.eject),
            millis(self.recover),
            self.outcome.closed_while_idle,
            show(memory),
            self.took.as_secs(),
            words.join("; ").replace(['\n', '|'], " "),
        );
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "scenario": self.scenario,
            "balancer": self.kind.map(Kind::name),
            "verdict": self.verdict(),
            "missed": self.missed,
            "notes": self.notes,
            "skipped": self.skipped,
            "seconds": self.took.as_secs_f64(),
            "requests": self.outcome.to_json(),
            "duplicates": self.duplicates,
            "amplification": self.amplification,
            "eject_ms": self.eject.map(|time| time.as_secs_f64() * 1e3),
            "recover_ms": self.recover.map(|time| time.as_secs_f64() * 1e3),
            "memory": self.memory.map(|(before, after)| [before, after]),
        })
    }
}

fn show(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "–".into(), |value| value.to_string())
}

fn millis(time: Option<Duration>) -> String {
    show(time.map(|time| format!("{:.1}", time.as_secs_f64() * 1e3)))
}

/// What the columns are; times in milliseconds, memory in MiB.
pub(crate) fn print_heading() {
    println!(
        "| scenario | balancer | | sent | failed | POSTs twice | p50 | p99 | p99.9 | max | tries/request | eject | recover | idle closes | RSS MiB | s | |"
    );
    println!("|---|---|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|---|");
}

/// Whether a printed line is of the heading or the end.
pub(crate) fn is_frame(line: &str) -> bool {
    !line.starts_with("| ") || line.starts_with("| scenario")
}

/// The last line.
pub(crate) fn print_end(rows: &[Row]) {
    let own = || rows.iter().filter(|row| row.kind == Some(Kind::Evenkeel));
    let count = |verdict| own().filter(|row| row.verdict() == verdict).count();
    println!("\n{} PASS, {} FAIL, {} skipped", count("PASS"), count("FAIL"), count("skipped"));
}
