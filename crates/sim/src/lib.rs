//! The data plane in a simulated world. A seed makes a world: workers of the proxy as they ship,
//! servers and clients that are honest, clumsy or hostile, a network that fails, a configuration
//! that changes; and an oracle that knows what must never happen. The same seed gives the same
//! world, event by event.
//!
//! What is promised, and checked after each step or when somebody can see it:
//! 1. A request is answered at most once, by its own answer: each content belongs to one id.
//! 2. A POST is executed at most once.
//! 3. An answer that was cut never looks whole.
//! 4. Nothing malformed, smuggled or forged reaches a server, and nothing that only one hop may see.
//! 5. Where neither network nor servers fail, every request is answered by a server, whatever is
//!    changed meanwhile and whenever servers close idle connections.
//! 6. Every wait ends; slow and silent clients are shown out.
//! 7. A server that was removed gets no new request.
//! 8. Counts of connections and loads never go wrong, and all are zero in the end.
//!
//! Where servers fall ill (`sick/`), beside these:
//! 9. Tries beside the first ones stay within the retry budget, as servers count them: its share of
//!    what was answered, its minimum a second, and what died unanswered on a kept connection.
//! 10. A server never has more requests at a time than its limit, and never more of a pool are
//!     ejected than may be. While it is ejected, or found down by checks, it gets nothing as long as
//!     somebody is well; on trial it gets one request at a time.
//! 11. A server that is disabled gets nothing new, one that drains only what is bound to it; what is
//!     cut there at the end of a drain is gone within 100 ms.
//! 12. A client whose server is well stays there, whatever happens to others; one that was answered
//!     by another is bound to that one.
//! 13. Who waits for a server is served as soon as one has room, or refused with `Retry-After`, and
//!     not before its time is over.
//! 14. A request is sent to no server twice while somebody who is well was not asked; with a budget
//!     that suffices, one that may be repeated is answered as long as anybody is well.
//! 15. A slow server's answer is not given up for nobody.
//! 16. After the last fault everything is answered again within ten seconds, and nobody is ejected.
#![forbid(unsafe_code)]

mod attacker;
mod chance;
mod client;
mod message;
mod oracle;
mod scenario;
mod server;
mod sick;
mod town;

pub use evenkeel_codec::plant;
pub use oracle::Tally;
pub use scenario::Kind;

/// How a world ended.
#[derive(Debug)]
pub struct Outcome {
    /// The seed it can be made from again.
    pub seed: u64,
    /// Its kind.
    pub kind: Kind,
    /// The first promise that was broken.
    pub objection: Option<String>,
    /// Hash of all that happened.
    pub trace: u64,
    /// The same as text, if it was asked for.
    pub lines: Vec<String>,
    /// Polls of tasks.
    pub steps: u64,
    /// Time that passed in it.
    pub elapsed: std::time::Duration,
    /// What came of the requests.
    pub tally: Tally,
}

/// What is wanted of a world beyond its seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Its kind; otherwise the seed decides.
    pub kind: Option<Kind>,
    /// A known bug to be put back.
    pub planted: Option<plant::Bug>,
    /// Keep the trace as text.
    pub keep_trace: bool,
}

/// Lets the world of `seed` happen, on a thread of its own.
pub fn simulate(seed: u64, wish: Wish) -> Outcome {
    let world = std::thread::spawn(move || here(seed, wish));
    world.join().unwrap_or_else(|panic| Outcome {
        seed,
        kind: scenario::Scenario::of(seed, wish.kind).kind,
        objection: Some(format!("panic: {}", said(&*panic))),
        trace: 0,
        lines: Vec::new(),
        steps: 0,
        elapsed: std::time::Duration::ZERO,
        tally: Tally::default(),
    })
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn here(seed: u64, wish: Wish) -> Outcome {
    plant::set(wish.planted);
    let scenario = scenario::Scenario::of(seed, wish.kind);
    let kind = scenario.kind;
    let mut plan = scenario.plan.clone();
    plan.keep_trace = wish.keep_trace;
    let (oracle, watch) = (oracle::Oracle::default(), town::Watch::default());
    let main = town::live(scenario, oracle.clone(), watch.clone());
    let judge = oracle.clone();
    let report = evenkeel_runtime::sim::run(plan, main, move || match judge.objection() {
        Some(objection) => Err(objection),
        None => watch.check(),
    });
    let objection = report.objection.or_else(|| oracle.objection());
    Outcome {
        seed,
        kind,
        objection,
        trace: report.trace,
        lines: report.lines,
        steps: report.steps,
        elapsed: report.elapsed,
        tally: oracle.tally(),
    }
}
