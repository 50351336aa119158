//! Bounded queues between threads.

use std::task::{Context, Poll};

use tokio::sync::mpsc;

/// The sending end; anyone's.
pub struct Sender<T>(mpsc::Sender<T>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The receiving end; one worker's.
pub struct Receiver<T>(mpsc::Receiver<T>);

/// A queue of at most `capacity` messages.
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    (Sender(sender), Receiver(receiver))
}

impl<T> Sender<T> {
    /// Leaves a message without waiting.
    ///
    /// # Errors
    /// The message itself, when there is no room or no receiver.
    pub fn try_send(&self, message: T) -> Result<(), T> {
        self.0.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(message)
            | mpsc::error::TrySendError::Closed(message) => message,
        })
    }

    /// Leaves a message once there is room.
    ///
    /// # Errors
    /// The message itself, when there is no receiver.
    pub async fn send(&self, message: T) -> Result<(), T> {
        self.0.send(message).await.map_err(|error| error.0)
    }
}

impl<T> Receiver<T> {
    /// The next message; `None` once all senders are gone.
    pub async fn recv(&mut self) -> Option<T> {
        self.0.recv().await
    }

    /// The next message; `None` once all senders are gone, or it is closed and nothing is left.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(cx)
    }

    /// Nothing can be left in it from now on; what is in it can still be taken out.
    pub fn close(&mut self) {
        self.0.close();
    }
}
