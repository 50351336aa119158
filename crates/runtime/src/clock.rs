//! What time it is. A worker looks at the clock once in each step of a task: a step takes
//! microseconds, and asking the clock ten times for each request was a fortieth of its cost.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use pin_project_lite::pin_project;

thread_local! {
    /// What the clock said in this step; `None` outside one.
    static STEP: Cell<Step> = const { Cell::new(Step::Outside) };
}

#[derive(Clone, Copy)]
enum Step {
    /// No worker's task is being polled: every question is asked anew.
    Outside,
    /// Nobody has asked yet.
    Begun,
    At(Instant),
}

/// Now, on this worker's clock: the moment at which the running step of its task first asked.
#[inline]
pub fn now() -> Instant {
    #[cfg(feature = "sim")]
    if let Some(now) = crate::sim::now() {
        return now;
    }
    match STEP.get() {
        Step::At(now) => now,
        Step::Outside => read(),
        Step::Begun => {
            let now = read();
            STEP.set(Step::At(now));
            now
        }
    }
}

#[allow(clippy::disallowed_methods)] // the one place
fn read() -> Instant {
    Instant::now()
}

pin_project! {
    /// A task whose every poll is a step.
    pub(crate) struct Stepping<F> {
        #[pin]
        pub(crate) task: F,
    }
}

impl<F: Future> Future for Stepping<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _end = EndOfStep(STEP.replace(Step::Begun));
        self.project().task.poll(cx)
    }
}

/// Puts back what was before a step, also when the task panics: else the worker's clock would stand.
struct EndOfStep(Step);

impl Drop for EndOfStep {
    fn drop(&mut self) {
        STEP.set(self.0);
    }
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
