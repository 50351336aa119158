//! A panic ends the task, or the part of a task, in which it happens, and nothing else.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// What a panic said.
#[derive(Debug)]
pub struct Panic(String);

impl std::fmt::Display for Panic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

pin_project! {
    /// A part of a task that ends alone if it panics.
    pub struct Isolated<F> {
        #[pin]
        future: F,
    }
}

/// Runs `future` to its end, or to its panic. After that, what it held has been dropped; what it
/// borrowed may be half changed, so the caller throws that away.
pub fn isolate<F: Future>(future: F) -> Isolated<F> {
    Isolated { future }
}

impl<F: Future> Future for Isolated<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(Panic(text(&*payload)))),
        }
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let fixed = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let made = || payload.downcast_ref::<String>().cloned();
    fixed.or_else(made).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{self, Stepping};
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Waker;

    #[test]
    fn a_panic_is_told_and_what_was_held_is_dropped() {
        let held = Rc::new(());
        let kept = held.clone();
        let mut isolated = pin!(isolate(async move {
            let _kept = kept;
            crate::task::yield_now().await;
            panic!("number {}", 7);
        }));
        let mut cx = Context::from_waker(Waker::noop());
        let mut polled: Poll<Result<(), Panic>> = isolated.as_mut().poll(&mut cx);
        if polled.is_pending() {
            polled = isolated.as_mut().poll(&mut cx);
        }
        let Poll::Ready(Err(panic)) = polled else { panic!("{polled:?}") };
        assert_eq!(panic.to_string(), "number 7");
        assert_eq!(Rc::strong_count(&held), 1);
    }

    #[test]
    fn a_step_that_panics_does_not_stop_the_clock() {
        let before = clock::now();
        let mut task = Box::pin(Stepping {
            task: async {
                clock::now();
                panic!("in the middle of a step");
            },
        });
        let mut cx = Context::from_waker(Waker::noop());
        let poll = AssertUnwindSafe(|| {
            let _: Poll<()> = task.as_mut().poll(&mut cx);
        });
        assert!(catch_unwind(poll).is_err());
        while clock::now() == before {}
    }
}
