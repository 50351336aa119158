//! `rate_limit`: so many requests in so much time, for each key. Owns what a request is told about its
//! limit; the arithmetic and the table are `evenkeel_balancer::limit`.

use std::any::Any;
use std::time::{Duration, Instant};

use evenkeel_balancer::limit::{Decision, Kind, Limiter, Meter, Rate};
use evenkeel_config::model::{self, RateAlgorithm, Without};
use evenkeel_runtime::{self as runtime, mailbox};

use super::limit_key::Key;
use super::shared::Shared;
use super::telling::Telling;
use super::{Policy, Steps, Verdict, seed};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::route::Networks;
use crate::services::SharedTake;

/// See the module's head.
pub(super) struct RateLimit {
    name: String,
    limiter: Limiter,
    key: Key,
    allow: Option<Networks>,
    dry_run: bool,
    /// The policy as `RateLimit-Policy` has it, and its name as `RateLimit` has it.
    fields: Option<(Box<[u8]>, Box<str>)>,
    /// Counted elsewhere, as long as somebody answers there.
    shared: Option<Shared>,
    telling: Telling,
}

impl RateLimit {
    pub(super) fn compile(
        name: &str,
        settings: &model::RateLimit,
        asked: Option<mailbox::Sender<SharedTake>>,
    ) -> Self {
        let now = runtime::now();
        let rate = Rate { count: settings.rate.count, period: settings.rate.period };
        let meter = Meter::new(kind(settings.algorithm), rate);
        let (quota, window) = meter.quota();
        let quoted = quoted(name);
        let policy = format!("{quoted};q={quota};w={window}").into_bytes().into();
        Self {
            name: name.to_owned(),
            limiter: Limiter::new(meter, settings.memory, seed(), now),
            key: Key::compile(&settings.key),
            allow: (!settings.allow.is_empty()).then(|| Networks::compile(&settings.allow)),
            dry_run: settings.dry_run,
            fields: (settings.fields && !settings.dry_run).then(|| (policy, quoted.into())),
            shared: shared(name, settings, asked),
            telling: Telling::new(now),
        }
    }

    /// Says how much is left, as draft-ietf-httpapi-ratelimit-headers-10 §3 and §4 have it.
    fn tell(&self, exchange: &mut Exchange<'_>, decision: &Decision) {
        let Some((policy, name)) = &self.fields else { return };
        let left = format!("{name};r={};t={}", decision.remaining, seconds(decision.reset));
        let response = &mut exchange.changes().response;
        response.add(b"ratelimit-policy", policy);
        response.add(b"ratelimit", left.as_bytes());
    }

    /// Asks those who count for several instances.
    async fn ask(
        &self,
        exchange: &mut Exchange<'_>,
        shared: &Shared,
        key: Vec<u8>,
    ) -> Verdict<'static> {
        let decision = match (shared.take(&key).await, shared.without) {
            (Some(decision), _) => Some(decision),
            (None, Without::Local) => Some(self.limiter.take(&key, runtime::now())),
            (None, Without::Allow) => None,
            (None, Without::Refuse) if self.dry_run => None,
            (None, Without::Refuse) => {
                return Verdict::Refuse(Failure::new(Reason::LimitUnknown));
            }
        };
        exchange.connection.worker.stock.give_scratch(key);
        decision.map_or(Verdict::Pass, |decision| self.decide(exchange, &decision))
    }

    fn decide(&self, exchange: &mut Exchange<'_>, decision: &Decision) -> Verdict<'static> {
        self.tell(exchange, decision);
        match decision.allowed {
            true => Verdict::Pass,
            false => self.refuse(exchange, decision, runtime::now()),
        }
    }

    fn refuse(
        &self,
        exchange: &mut Exchange<'_>,
        decision: &Decision,
        now: Instant,
    ) -> Verdict<'static> {
        let counters = &exchange.connection.worker.counters;
        if self.dry_run {
            counters.would_limit.add(1);
            if let Some(untold) = self.telling.tells(now) {
                tracing::info!(
                    policy = %self.name,
                    client = %exchange.client,
                    request_id = %exchange.request_id.text(),
                    untold,
                    "would be refused: over the rate (dry run)"
                );
            }
            return Verdict::Pass;
        }
        counters.limited.add(1);
        let after = seconds(decision.retry_after).max(1).to_string();
        exchange.changes().response.set(b"retry-after", after.as_bytes());
        Verdict::Refuse(Failure::new(Reason::RateLimited))
    }
}

impl Policy for RateLimit {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn inherit(&mut self, old: &dyn Policy) {
        if let Some(old) = (old as &dyn Any).downcast_ref::<Self>()
            && old.key == self.key
        {
            self.limiter.inherit(&old.limiter);
        }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        if self.allow.as_ref().is_some_and(|allow| allow.contains(exchange.client)) {
            return Verdict::Pass;
        }
        let worker = exchange.connection.worker.clone();
        let mut key = worker.stock.take_scratch();
        let counts = self.key.write(exchange, &mut key);
        if let (true, Some(shared)) = (counts, &self.shared) {
            return Verdict::Later(Box::pin(self.ask(exchange, shared, key)));
        }
        let decision = counts.then(|| self.limiter.take(&key, runtime::now()));
        worker.stock.give_scratch(key);
        decision.map_or(Verdict::Pass, |decision| self.decide(exchange, &decision))
    }
}

fn shared(
    name: &str,
    settings: &model::RateLimit,
    asked: Option<mailbox::Sender<SharedTake>>,
) -> Option<Shared> {
    // What is shared is a token bucket: another is refused when it is checked.
    let RateAlgorithm::TokenBucket { burst } = settings.algorithm else { return None };
    let shared = settings.shared.as_ref()?;
    Some(Shared::compile(name, shared, (settings.rate, burst), asked))
}

fn kind(algorithm: RateAlgorithm) -> Kind {
    match algorithm {
        RateAlgorithm::TokenBucket { burst } => Kind::TokenBucket { burst },
        RateAlgorithm::FixedWindow => Kind::FixedWindow,
        RateAlgorithm::SlidingWindow => Kind::SlidingWindow,
    }
}

/// Whole seconds, rounded up: who waits that long has waited long enough.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// A string of structured fields (RFC 9651 §3.3.3), which has ASCII alone.
fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => text.push('_'),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_string_of_structured_fields_rfc_9651_3_3_3() {
        assert_eq!(quoted("per client"), "\"per client\"");
        assert_eq!(quoted("a\"b\\c\u{e9}"), "\"a\\\"b\\\\c_\"");
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(2)), 2);
    }
}
