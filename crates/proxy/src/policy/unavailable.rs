//! What was left out when this was built, but is configured: lets nobody in.

use super::{Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;

/// See the module's head.
pub(super) struct Unavailable;

impl Policy for Unavailable {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn admit<'e>(&'e self, _: &'e mut Exchange<'_>) -> Verdict<'e> {
        Verdict::Refuse(Failure::new(Reason::AuthUnavailable))
    }
}
