//! What time it is.

use std::time::{Instant, SystemTime};

/// Now, on this worker's clock.
#[allow(clippy::disallowed_methods)] // the one place
#[inline]
pub fn now() -> Instant {
    #[cfg(feature = "sim")]
    if let Some(now) = crate::sim::now() {
        return now;
    }
    Instant::now()
}

/// Now, on the wall; for stamps only.
#[allow(clippy::disallowed_methods)] // the one place
pub fn wall_clock() -> SystemTime {
    #[cfg(feature = "sim")]
    if let Some(now) = crate::sim::wall_clock() {
        return now;
    }
    SystemTime::now()
}
