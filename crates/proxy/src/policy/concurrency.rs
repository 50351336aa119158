//! `concurrency_limit`: so many requests at a time, for each key. Each holds its place until its exchange
//! is over, however it ends: answered, broken off, lost in a panic, or closed as a tunnel.

use std::any::Any;

use evenkeel_balancer::limit::Slots;
use evenkeel_config::model;
use evenkeel_runtime as runtime;

use super::limit_key::Key;
use super::telling::Telling;
use super::{Permit, Policy, Steps, Verdict, seed};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::route::Networks;

/// See the module's head.
pub(super) struct ConcurrencyLimit {
    name: String,
    slots: Slots,
    key: Key,
    allow: Option<Networks>,
    dry_run: bool,
    telling: Telling,
}

impl ConcurrencyLimit {
    pub(super) fn compile(name: &str, settings: &model::ConcurrencyLimit) -> Self {
        Self {
            name: name.to_owned(),
            slots: Slots::new(u64::from(settings.max), settings.memory, seed()),
            key: Key::compile(&settings.key),
            allow: (!settings.allow.is_empty()).then(|| Networks::compile(&settings.allow)),
            dry_run: settings.dry_run,
            telling: Telling::new(runtime::now()),
        }
    }

    fn refuse(&self, exchange: &mut Exchange<'_>) -> Verdict<'static> {
        let counters = &exchange.connection.worker.counters;
        if self.dry_run {
            counters.would_limit.add(1);
            if let Some(untold) = self.telling.tells(runtime::now()) {
                tracing::info!(
                    policy = %self.name,
                    client = %exchange.client,
                    request_id = %exchange.request_id.text(),
                    untold,
                    "would be refused: too many at a time (dry run)"
                );
            }
            return Verdict::Pass;
        }
        counters.limited.add(1);
        exchange.changes().response.set(b"retry-after", b"1");
        Verdict::Refuse(Failure::new(Reason::TooManyAtOnce))
    }
}

impl Policy for ConcurrencyLimit {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn inherit(&mut self, old: &dyn Policy) {
        if let Some(old) = (old as &dyn Any).downcast_ref::<Self>()
            && old.key == self.key
        {
            self.slots.inherit(&old.slots);
        }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        if self.allow.as_ref().is_some_and(|allow| allow.contains(exchange.client)) {
            return Verdict::Pass;
        }
        let worker = exchange.connection.worker.clone();
        let mut key = worker.stock.take_scratch();
        let counts = self.key.write(exchange, &mut key);
        let slot = counts.then(|| self.slots.enter(&key));
        worker.stock.give_scratch(key);
        match slot {
            None => Verdict::Pass,
            Some(None) => self.refuse(exchange),
            Some(Some(slot)) => {
                exchange.changes().permits.push(Permit::new(slot));
                Verdict::Pass
            }
        }
    }
}
