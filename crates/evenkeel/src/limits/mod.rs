//! Limits that several instances share: whom workers ask, if this was built with somebody to be asked
//! (the feature `shared-limits`).

#[cfg(feature = "shared-limits")]
mod store;

use evenkeel_proxy::services::SharedTake;
use evenkeel_runtime::mailbox;

/// Where workers ask; nowhere without the feature, so that policies do without at once.
pub(crate) fn offered(asked: mailbox::Sender<SharedTake>) -> Option<mailbox::Sender<SharedTake>> {
    cfg!(feature = "shared-limits").then_some(asked)
}

/// Answers workers until the process ends.
pub(crate) async fn run(asked: mailbox::Receiver<SharedTake>) {
    #[cfg(feature = "shared-limits")]
    store::run(asked).await;
    #[cfg(not(feature = "shared-limits"))]
    drop(asked);
}
