//! A place where servers are found, and how all of them are looked at: again and again, at their
//! own pace, telling only what has changed, and keeping the last good answer for as long as there
//! is no better one.

use std::pin::Pin;
use std::time::{Duration, Instant};

use evenkeel_balancer::Rng;
use evenkeel_runtime as runtime;

/// While there is no answer, it is asked for at least this often.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often a source that gives no answer is told of.
const TELL_AGAIN: Duration = Duration::from_secs(600);

/// A look that is under way.
pub(super) type Looking<'s, T> = Pin<Box<dyn Future<Output = Result<Look<T>, String>> + Send + 's>>;
/// Something that may come.
pub(super) type Coming<'s> = Pin<Box<dyn Future<Output = ()> + Send + 's>>;

/// What was found, and for how long it holds.
#[derive(Debug)]
pub(super) struct Look<T> {
    pub(super) found: Vec<T>,
    pub(super) ttl: Duration,
}

/// A place where something is found. A new kind of place is a file with one of these, and a line in
/// `discovery::open`.
pub(super) trait Source: Send {
    /// What is found.
    type Item: Clone + PartialEq + Send;

    /// As the log calls it.
    fn name(&self) -> String;

    /// The least and the most time between two looks, whatever a look says of itself.
    fn pace(&self) -> (Duration, Duration);

    /// Looks once: everything there is, in an order that does not change by itself, or why it is
    /// not known.
    fn look(&mut self) -> Looking<'_, Self::Item>;

    /// Comes when it is worth looking before it is time; may be dropped and asked for again.
    fn changed(&mut self) -> Coming<'_> {
        Box::pin(std::future::pending())
    }
}

/// What a source tells those who look.
pub(super) enum Told<T> {
    /// Another set than before.
    Found(Vec<T>),
    /// The first look has failed; the next ones may not.
    NotYet,
}

/// Looks for ever; every set that is another than the one before goes to `tell`, and the first
/// failure too, if it comes first.
pub(super) async fn follow<S, F>(
    mut source: S,
    mut rng: Rng,
    mut tell: impl FnMut(Told<S::Item>) -> F,
) where
    S: Source,
    F: Future<Output = ()>,
{
    let mut memory = Memory { last: None, good: None, failing: None };
    loop {
        let looked = source.look().await;
        let now = runtime::now();
        let (least, most) = source.pace();
        let wait = match looked {
            Ok(look) => {
                memory.tell_again(&source.name(), now);
                if memory.last.as_ref() != Some(&look.found) {
                    memory.last = Some(look.found.clone());
                    tell(Told::Found(look.found)).await;
                }
                after_answer(look.ttl, least, most, &mut rng)
            }
            Err(why) => {
                let is_first = memory.last.is_none() && memory.failing.is_none();
                let failures = memory.complain(&source.name(), &why, now);
                if is_first {
                    tell(Told::NotYet).await;
                }
                after_failure(failures, least, most, &mut rng)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = source.changed() => {}
        }
    }
}

/// What is known of a source.
struct Memory<T> {
    last: Option<Vec<T>>,
    /// When it last answered.
    good: Option<Instant>,
    failing: Option<Failing>,
}

struct Failing {
    times: u32,
    told: Instant,
    why: String,
}

impl<T> Memory<T> {
    /// It answers.
    fn tell_again(&mut self, name: &str, now: Instant) {
        if self.failing.take().is_some() {
            tracing::info!("discovery: {name} answers again");
        }
        self.good = Some(now);
    }

    /// It does not; how often not until now.
    fn complain(&mut self, name: &str, why: &str, now: Instant) -> u32 {
        let times = self.failing.as_ref().map_or(0, |failing| failing.times).saturating_add(1);
        let told = self.failing.take().filter(|failing| {
            failing.why == why && now.saturating_duration_since(failing.told) < TELL_AGAIN
        });
        if told.is_none() {
            let kept = match (&self.last, self.good) {
                (Some(last), Some(good)) => {
                    let age = now.saturating_duration_since(good);
                    format!("what was found {age:.0?} ago is kept ({})", last.len())
                }
                _ => "nothing was found yet".into(),
            };
            tracing::warn!("discovery: {name} gives no answer: {why}; {kept}");
        }
        let told = told.map_or(now, |failing| failing.told);
        self.failing = Some(Failing { times, told, why: why.into() });
        times
    }
}

/// At the end of what the answer says of itself, or up to a tenth before: never later.
fn after_answer(ttl: Duration, least: Duration, most: Duration, rng: &mut Rng) -> Duration {
    ttl.min(most).mul_f64(1.0 - 0.1 * rng.unit_f64()).max(least)
}

/// Soon, then twice as long each time.
fn after_failure(failures: u32, least: Duration, most: Duration, rng: &mut Rng) -> Duration {
    let doubled = least.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(most.min(RETRY_MAX).max(least)).mul_f64(1.0 - 0.1 * rng.unit_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn an_answer_is_renewed_before_it_ends_and_within_bounds() {
        let mut rng = Rng::from_seed(1);
        for _ in 0..100 {
            let wait = after_answer(S(10), S(1), S(60), &mut rng);
            assert!(S(9) <= wait && wait <= S(10), "{wait:?}");
            assert_eq!(after_answer(S(0), S(1), S(60), &mut rng), S(1));
            let wait = after_answer(S(86400), S(1), S(60), &mut rng);
            assert!(S(54) <= wait && wait <= S(60), "{wait:?}");
        }
    }

    #[test]
    fn what_fails_is_asked_again_soon_and_then_less_often() {
        let mut rng = Rng::from_seed(1);
        let waits: Vec<f64> = [1, 2, 3, 4, 100, u32::MAX]
            .map(|n| after_failure(n, S(1), S(60), &mut rng).as_secs_f64().ceil())
            .to_vec();
        assert_eq!(waits, [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]);
    }
}
