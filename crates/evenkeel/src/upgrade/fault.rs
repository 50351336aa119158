//! Points at which a new process can be made to fail, to prove that the old one does not mind.
//! Without the feature `fault-injection` there are none.

use std::time::Duration;

/// Where, by its number in `EVENKEEL_UPGRADE_FAULT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "fault-injection"), allow(dead_code, reason = "no faults"))]
pub(crate) enum Point {
    /// Ends as soon as it is started.
    ExitsAtOnce = 1,
    /// Panics before it said anything.
    PanicsBeforeHello = 2,
    /// Says nothing.
    HangsBeforeHello = 3,
    /// Says that it speaks another version.
    WrongProtocol = 4,
    /// Says something else.
    Garbage = 5,
    /// Ends when the first half of the sockets has come.
    EndsWithHalfTheSockets = 6,
    /// Ends when all has come.
    EndsAfterManifest = 7,
    /// Refuses its configuration.
    RefusesConfiguration = 8,
    /// Is never ready.
    HangsBeforeReady = 9,
    /// Is killed just before it is ready.
    KilledBeforeReady = 10,
    /// Is killed just after it was ready.
    KilledAfterReady = 11,
    /// Never begins to serve.
    HangsBeforeServing = 12,
    /// Is killed just before it begins to serve.
    KilledBeforeServing = 13,
    /// Is killed when it has begun to serve; what it accepted until then is lost.
    KilledAfterServing = 14,
    /// Speaks out of turn when it has begun to serve.
    SpeaksOutOfTurn = 15,
    /// Is killed when it has just been left alone.
    KilledWhenInCharge = 16,
}

/// Whether this process is to fail here.
#[cfg(feature = "fault-injection")]
pub(crate) fn is_at(point: Point) -> bool {
    std::env::var("EVENKEEL_UPGRADE_FAULT").is_ok_and(|n| n == (point as u32).to_string())
}

#[cfg(not(feature = "fault-injection"))]
pub(crate) fn is_at(_: Point) -> bool {
    false
}

/// Ends this process here without a word, as SIGKILL would, if it is to.
pub(crate) fn ends_at(point: Point) {
    if is_at(point) {
        std::process::abort();
    }
}

/// Stays here for ever, if it is to.
pub(crate) fn hangs_at(point: Point) {
    while is_at(point) {
        std::thread::park();
    }
}

/// How long an upgrade may take: another time if a test says so.
pub(crate) fn timeout(usual: Duration) -> Duration {
    #[cfg(feature = "fault-injection")]
    if let Ok(millis) = std::env::var("EVENKEEL_UPGRADE_TIMEOUT_MS")
        && let Ok(millis) = millis.parse()
    {
        return Duration::from_millis(millis);
    }
    usual
}
