//! `bandwidth_limit`: so many bytes a second, for each exchange or for all of a key together. Owns which
//! rates an exchange keeps; the pump keeps them (`http/brake.rs`).

use std::any::Any;
use std::sync::Arc;

use evenkeel_balancer::limit::Bandwidth;
use evenkeel_config::model;
use evenkeel_runtime as runtime;

use super::limit_key::Key;
use super::{Policy, Steps, Verdict, seed};
use crate::http::brake::Brake;
use crate::http::exchange::Exchange;
use crate::route::Networks;

/// See the module's head.
pub(super) struct BandwidthLimit {
    upload: Option<Direction>,
    download: Option<Direction>,
    burst: u64,
    key: Option<Key>,
    allow: Option<Networks>,
}

/// Bytes a second one way, and who has moved how many if exchanges share them.
struct Direction {
    rate: u64,
    shared: Option<Arc<Bandwidth>>,
}

impl BandwidthLimit {
    pub(super) fn compile(settings: &model::BandwidthLimit) -> Self {
        let shared = |rate: u64| {
            let (memory, now) = (settings.memory / 2, runtime::now());
            Arc::new(Bandwidth::new(rate, settings.burst, memory, seed(), now))
        };
        let has_key = settings.key.is_some();
        let direction = |rate: u64| Direction { rate, shared: has_key.then(|| shared(rate)) };
        Self {
            upload: settings.upload.map(direction),
            download: settings.download.map(direction),
            burst: settings.burst,
            key: settings.key.as_ref().map(Key::compile),
            allow: (!settings.allow.is_empty()).then(|| Networks::compile(&settings.allow)),
        }
    }

    fn slow(&self, direction: &Direction, key: &[u8], brake: &mut Option<Box<Brake>>) {
        let brake = brake.get_or_insert_with(|| Box::new(Brake::new()));
        match &direction.shared {
            Some(shared) => brake.keep_shared(direction.rate, shared.clone(), key.to_vec()),
            None => brake.keep(direction.rate, self.burst),
        }
    }
}

impl Policy for BandwidthLimit {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn inherit(&mut self, old: &dyn Policy) {
        let Some(old) = (old as &dyn Any).downcast_ref::<Self>() else { return };
        if old.key != self.key {
            return;
        }
        for (own, old) in [(&mut self.upload, &old.upload), (&mut self.download, &old.download)] {
            let own = own.as_mut().and_then(|own| own.shared.as_mut()).and_then(Arc::get_mut);
            let old = old.as_ref().and_then(|old| old.shared.as_ref());
            if let (Some(own), Some(old)) = (own, old) {
                own.inherit(old);
            }
        }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        if self.allow.as_ref().is_some_and(|allow| allow.contains(exchange.client)) {
            return Verdict::Pass;
        }
        let worker = exchange.connection.worker.clone();
        let mut key = worker.stock.take_scratch();
        let counts = self.key.as_ref().is_none_or(|rule| rule.write(exchange, &mut key));
        if counts {
            let changes = exchange.changes();
            if let Some(upload) = &self.upload {
                self.slow(upload, &key, &mut changes.upload);
            }
            if let Some(download) = &self.download {
                self.slow(download, &key, &mut changes.download);
            }
        }
        worker.stock.give_scratch(key);
        Verdict::Pass
    }
}
