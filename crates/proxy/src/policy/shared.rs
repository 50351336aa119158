//! A rate that several instances share: the decision is another's, asked for through a queue and waited
//! for a moment. Owns the asking, and what holds while nobody answers; who answers is in the control
//! plane (`evenkeel/src/limits/`).

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use evenkeel_balancer::limit::Decision;
use evenkeel_config::model::{LimitStore, RequestRate, SharedLimit, Without};
use evenkeel_runtime::{self as runtime, Timer, mailbox};

use crate::services::SharedTake;

/// After a question without an answer nobody is asked for this long, so that requests do not wait for
/// a server that is away, one after the other.
const REST: Duration = Duration::from_millis(500);

/// See the module's head.
pub(super) struct Shared {
    asked: Option<mailbox::Sender<SharedTake>>,
    store: Arc<LimitStore>,
    /// What the names of this policy's keys begin with.
    prefix: String,
    interval: Duration,
    burst: u32,
    timeout: Duration,
    pub(super) without: Without,
    epoch: Instant,
    /// Nanoseconds.
    rests_until: AtomicU64,
}

impl Shared {
    pub(super) fn compile(
        name: &str,
        settings: &SharedLimit,
        (rate, burst): (RequestRate, u32),
        asked: Option<mailbox::Sender<SharedTake>>,
    ) -> Self {
        Self {
            asked,
            store: Arc::new(settings.store.clone()),
            prefix: format!("{}{name}:", settings.prefix),
            interval: rate.period / rate.count.max(1),
            burst,
            timeout: settings.timeout,
            without: settings.without,
            epoch: runtime::now(),
            rests_until: AtomicU64::new(0),
        }
    }

    /// Counts one request of a key; `None` if nobody answers in time.
    pub(super) async fn take(&self, key: &[u8]) -> Option<Decision> {
        if self.nanos() < self.rests_until.load(Relaxed) {
            return None;
        }
        let (reply, mut answer) = mailbox::channel(1);
        let take = SharedTake {
            store: self.store.clone(),
            key: self.name_of(key),
            interval: self.interval,
            burst: self.burst,
            reply,
        };
        let decision = match self.asked.as_ref().map(|asked| asked.try_send(take)) {
            Some(Ok(())) => self.in_time(&mut answer).await,
            _ => None,
        };
        if decision.is_none() {
            let rest = u64::try_from(REST.as_nanos()).unwrap_or(u64::MAX);
            self.rests_until.store(self.nanos().saturating_add(rest), Relaxed);
        }
        decision
    }

    async fn in_time(&self, answer: &mut mailbox::Receiver<Decision>) -> Option<Decision> {
        let deadline = Timer::new();
        deadline.set(runtime::now() + self.timeout);
        poll_fn(|cx| match answer.poll_recv(cx) {
            Poll::Ready(decision) => Poll::Ready(decision),
            Poll::Pending => deadline.poll_expired(cx).map(|()| None),
        })
        .await
    }

    /// As short as any other, and it tells nobody what was in the request.
    fn name_of(&self, key: &[u8]) -> Vec<u8> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut name = self.prefix.clone().into_bytes();
        for byte in digest(&SHA256, key).as_ref().iter().take(16) {
            let digits = [byte >> 4, byte & 0xf].map(usize::from);
            name.extend(digits.iter().filter_map(|digit| DIGITS.get(*digit)));
        }
        name
    }

    fn nanos(&self) -> u64 {
        let since = runtime::now().saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
