//! Slows a message down to the rates of bandwidth limits. Owns when the next bytes may move, and the
//! timer that says so; what has moved is told by the pump.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use evenkeel_balancer::limit::{Bandwidth, Flow};
use evenkeel_runtime::{self as runtime, Timer};

/// Least and most bytes that move at a time: small enough that nobody waits for long between two.
const PIECE_MIN: u64 = 1024;
const PIECE_MAX: u64 = 16 * 1024;
/// Pieces for each second of the rate.
const PIECES: u64 = 8;
/// Longest wait at a time, and most that is waited for what others have moved.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// One direction of an exchange.
pub(crate) struct Brake {
    rates: Vec<Rate>,
    piece: usize,
    until: Option<Instant>,
    timer: Timer,
}

/// A rate that it keeps.
enum Rate {
    /// Its own.
    Own { flow: Flow, since: Instant, owed_until: u64 },
    /// That of a key, which others move bytes for too.
    Shared { bandwidth: Arc<Bandwidth>, key: Vec<u8> },
}

impl Brake {
    /// One that keeps no rate yet.
    pub(crate) fn new() -> Self {
        Self { rates: Vec::new(), piece: PIECE_MAX as usize, until: None, timer: Timer::new() }
    }

    /// It keeps this rate too, in bytes a second, with `burst` bytes at once.
    pub(crate) fn keep(&mut self, rate: u64, burst: u64) {
        self.limit_piece(rate);
        let (flow, since) = (Flow::new(rate, burst), runtime::now());
        self.rates.push(Rate::Own { flow, since, owed_until: 0 });
    }

    /// It keeps the rate of a key too, together with others.
    pub(crate) fn keep_shared(&mut self, rate: u64, bandwidth: Arc<Bandwidth>, key: Vec<u8>) {
        self.limit_piece(rate);
        self.rates.push(Rate::Shared { bandwidth, key });
    }

    fn limit_piece(&mut self, rate: u64) {
        let piece = (rate / PIECES).clamp(PIECE_MIN, PIECE_MAX);
        self.piece = self.piece.min(usize::try_from(piece).unwrap_or(usize::MAX));
    }

    /// Most bytes that are read at a time.
    pub(crate) fn piece(&self) -> usize {
        self.piece
    }

    /// These bytes are about to move.
    pub(crate) fn note(&mut self, bytes: usize) {
        let (now, bytes) = (runtime::now(), bytes as u64);
        let wait = self.rates.iter_mut().map(|rate| rate.spend(bytes, now)).max();
        let until = now + wait.unwrap_or_default().min(WAIT_MAX);
        self.until = Some(self.until.map_or(until, |before| before.max(until)));
    }

    /// When they may.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Ready when they may.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else { return Poll::Ready(()) };
        if until > runtime::now() {
            self.timer.set(until);
            if self.timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
        }
        self.until = None;
        Poll::Ready(())
    }
}

impl Rate {
    fn spend(&mut self, bytes: u64, now: Instant) -> Duration {
        match self {
            Self::Own { flow, since, owed_until } => {
                let nanos = now.saturating_duration_since(*since).as_nanos();
                let nanos = u64::try_from(nanos).unwrap_or(u64::MAX / 4);
                let (until, wait) = flow.spend(*owed_until, bytes, nanos);
                *owed_until = until;
                wait
            }
            Self::Shared { bandwidth, key } => bandwidth.spend(key, bytes, now),
        }
    }
}
