//! What time it is.

use std::time::{Instant, SystemTime};

/// Now, on this worker's clock.
#[allow(clippy::disallowed_methods)] // the one place
pub fn now() -> Instant {
    Instant::now()
}

/// Now, on the wall; for stamps only.
#[allow(clippy::disallowed_methods)] // the one place
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}
