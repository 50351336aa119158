//! `cache` among the policies: its store, kept over reloads, and what unsafe requests invalidate. What
//! is done with a request is in `http/cache`.

use std::any::Any;
use std::sync::Arc;

use evenkeel_codec::Method;
use evenkeel_config::model;

use super::{Answered, Passing, Policy, Steps};
use crate::http::cache::Cache;
use crate::http::exchange::Exchange;

/// See the module's head.
pub(crate) struct CachePolicy {
    pub(crate) name: Box<str>,
    pub(crate) cache: Arc<Cache>,
}

impl CachePolicy {
    pub(crate) fn compile(name: &str, settings: &model::Cache) -> Self {
        Self { name: name.into(), cache: Cache::new(settings) }
    }

    /// A policy that is one.
    pub(crate) fn of(policy: &dyn Policy) -> Option<&Self> {
        let policy: &dyn Any = policy;
        policy.downcast_ref()
    }
}

impl Policy for CachePolicy {
    fn steps(&self) -> Steps {
        Steps { respond: true, ..Steps::default() }
    }

    fn respond(&self, exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
        if !matches!(exchange.head.method, Method::Get | Method::Head) {
            self.cache.invalidate(exchange, answer);
        }
        Passing::AsIs
    }
}
