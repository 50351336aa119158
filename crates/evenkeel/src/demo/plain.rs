//! The demo's view without a terminal: a line a second.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use evenkeel_runtime::now;

use super::board::NAMES;
use super::figures::{Figures, Summary, Window, show_latency};
use super::{Board, Show};
use crate::failure::Failure;
use crate::terminal;

/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Prints a line a second until it is over.
pub(super) fn show(show: &Show<'_>) -> Result<(), Failure> {
    let address = show.address;
    terminal::print(&format!(
        "Evenkeel balances http://{address} over three servers. Try: curl -i http://{address}/"
    ));
    let start = now();
    let mut window = Window::default();
    window.look(start, Figures::read(show.running));
    let mut next_line = start + LINE_EVERY;
    while !show.is_over(now().duration_since(start), LOOK)? {
        if now() >= next_line {
            next_line += LINE_EVERY;
            let summary = window.look(now(), Figures::read(show.running));
            terminal::print(&line(now().duration_since(start), &summary, &show.board));
        }
    }
    Ok(())
}

fn line(running: Duration, summary: &Summary, board: &Board) -> String {
    let mut line = format!("{:>4} s {:>4.0} req/s", running.as_secs(), summary.rate);
    for (name, lane) in NAMES.iter().zip(&summary.lanes) {
        let (share, p50, p99) =
            (lane.share * 100.0, show_latency(lane.p50), show_latency(lane.p99));
        line.push_str(&format!(" | {name} {share:>3.0} % p50 {p50} p99 {p99}"));
    }
    let failed = board.failed.load(Relaxed);
    line + &format!(" | {} requests, {failed} failed", summary.requests)
}

/// The last line.
pub(super) fn farewell(figures: &Figures, board: &Board) -> String {
    let mut shares = Vec::new();
    for (name, lane) in NAMES.iter().zip(&figures.lanes) {
        shares.push(format!("{name} {}", lane.requests));
    }
    let failed = board.failed.load(Relaxed);
    let requests = figures.requests();
    format!("Ended after {requests} requests ({}), {failed} failed.", shares.join(", "))
}
