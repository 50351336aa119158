//! Wakes tasks of any thread that wait for something to change.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Something that changes; clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct Signal(Arc<Notify>);

/// One who waits for the next change after this was made.
pub struct Watch(Pin<Box<OwnedNotified>>);

impl Signal {
    /// Wakes all who watch.
    pub fn give(&self) {
        self.0.notify_waiters();
    }

    /// Begins to watch. What is changed after this is not missed: look first whether there is
    /// something to wait for, once this is there.
    pub fn watch(&self) -> Watch {
        let mut watch = Box::pin(self.0.clone().notified_owned());
        watch.as_mut().enable();
        Watch(watch)
    }
}

impl Watch {
    /// Ready once it has changed.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_after_the_beginning_is_not_missed_and_one_before_is_no_change() {
        let signal = Signal::default();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        signal.give();
        let mut watch = signal.watch();
        assert!(watch.poll_changed(&mut cx).is_pending());
        signal.give();
        assert!(watch.poll_changed(&mut cx).is_ready());
    }
}
