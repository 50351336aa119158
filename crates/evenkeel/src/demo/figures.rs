//! The numbers the views show: Evenkeel's own counts of its servers, and what became of them over
//! the last seconds. Every server of the demo is in two pools; here it is one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::board::LANES;
use crate::supervisor::{Running, ServerReading};

/// Rates, shares and percentiles are those of the last 10 s: 20 readings half a second apart.
const READINGS_MAX: usize = 20;
const READ_EVERY: Duration = Duration::from_millis(500);

/// All counts at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) lanes: [ServerReading; LANES],
}

impl Figures {
    /// The counts as they are now.
    pub(super) fn read(running: &Running) -> Self {
        let mut figures = Self::default();
        for (place, reading) in running.servers().iter().enumerate() {
            if let Some(lane) = figures.lanes.get_mut(place % LANES) {
                lane.add(reading);
            }
        }
        figures
    }

    /// Requests sent to all servers.
    pub(super) fn requests(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.requests).sum()
    }
}

/// What a view shows of one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    /// Since the start.
    pub(super) requests: u64,
    /// Now.
    pub(super) in_flight: u32,
    /// Of all requests of the last seconds, from 0.0 to 1.0.
    pub(super) share: f64,
    /// Of the last seconds; `None` without a request.
    pub(super) p50: Option<Duration>,
    /// Of the last seconds; `None` without a request.
    pub(super) p99: Option<Duration>,
}

/// What a view shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) lanes: [Lane; LANES],
    /// Requests a second, over the last seconds.
    pub(super) rate: f64,
    /// Since the start.
    pub(super) requests: u64,
}

/// The readings of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<(Instant, Figures)>);

impl Window {
    /// Takes in the counts of this moment and says what they come to.
    pub(super) fn look(&mut self, now: Instant, figures: Figures) -> Summary {
        let summary = self.summarise(now, &figures);
        let is_due = |(last, _): &(Instant, Figures)| now.duration_since(*last) >= READ_EVERY;
        if self.0.back().is_none_or(is_due) {
            if self.0.len() == READINGS_MAX {
                self.0.pop_front();
            }
            self.0.push_back((now, figures));
        }
        summary
    }

    fn summarise(&self, now: Instant, figures: &Figures) -> Summary {
        let (since, before) = self.0.front().cloned().unwrap_or((now, Figures::default()));
        let recent = figures.requests().saturating_sub(before.requests());
        let seconds = now.duration_since(since).as_secs_f64();
        let mut summary = Summary {
            requests: figures.requests(),
            rate: if seconds > 0.0 { recent as f64 / seconds } else { 0.0 },
            ..Summary::default()
        };
        for ((lane, is), was) in summary.lanes.iter_mut().zip(&figures.lanes).zip(&before.lanes) {
            let latency = is.latency.since(&was.latency);
            *lane = Lane {
                requests: is.requests,
                in_flight: is.in_flight,
                share: is.requests.saturating_sub(was.requests) as f64 / recent.max(1) as f64,
                p50: latency.percentile(0.50),
                p99: latency.percentile(0.99),
            };
        }
        summary
    }
}

/// `8 ms`, `0.4 ms`, `1.2 s`; `-` for nothing.
pub(super) fn show_latency(latency: Option<Duration>) -> String {
    match latency.map(|latency| latency.as_secs_f64() * 1e3) {
        None => "-".into(),
        Some(ms) if ms < 10.0 => format!("{ms:.1} ms"),
        Some(ms) if ms < 1000.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(requests: [u64; LANES]) -> Figures {
        Figures { lanes: requests.map(|requests| ServerReading { requests, ..Default::default() }) }
    }

    #[test]
    fn shares_and_rate_are_those_of_the_last_ten_seconds() {
        let start = evenkeel_runtime::now();
        let mut window = Window::default();
        for half_seconds in 0..=100_u32 {
            // 20 requests a second, all to red; in the last ten seconds all to blue instead.
            let n = u64::from(half_seconds) * 10;
            let counts = figures([n.min(800), 0, n.saturating_sub(800)]);
            let summary = window.look(start + READ_EVERY * half_seconds, counts);
            if half_seconds == 100 {
                assert_eq!((summary.lanes[0].share, summary.lanes[2].share), (0.0, 1.0));
                assert!((summary.rate - 20.0).abs() < 0.01, "{}", summary.rate);
                assert_eq!(summary.requests, 1000);
            }
        }
    }

    #[test]
    fn latencies_are_shown_with_as_many_digits_as_help() {
        assert_eq!(show_latency(Some(Duration::from_micros(412))), "0.4 ms");
        assert_eq!(show_latency(Some(Duration::from_millis(80))), "80 ms");
        assert_eq!(show_latency(Some(Duration::from_millis(1250))), "1.2 s");
        assert_eq!(show_latency(None), "-");
    }
}
