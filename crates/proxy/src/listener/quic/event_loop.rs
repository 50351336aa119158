//! The worker's event loop, as the QUIC library wants it. Owns nothing: tasks are the worker's own.

use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use evenkeel_runtime as runtime;
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime};

/// See the module's head. The clock is the library's: it measures its own work by it, and must not
/// see it stand still within a step.
#[derive(Debug, Default)]
pub(crate) struct EventLoop;

impl Runtime for EventLoop {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        runtime::spawn(future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
