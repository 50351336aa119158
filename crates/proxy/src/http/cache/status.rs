//! `Cache-Status` (RFC 9211): what the cache did with a request, in one line.

use std::time::Duration;

use evenkeel_config::model;

use super::fetch::{Fetch, Why};

/// Why a server is asked for one request alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(&'static str);

impl Status {
    /// The method is not one that is answered from a cache.
    pub(super) const METHOD: Self = Self("evenkeel; fwd=method");
    /// Configured, or no request for a cache.
    pub(super) const BYPASS: Self = Self("evenkeel; fwd=bypass");
    /// There is nothing.
    pub(super) const MISS: Self = Self("evenkeel; fwd=miss");
    /// There could be nothing, as it turned out not long ago.
    pub(super) const PASS: Self = Self("evenkeel; fwd=miss; detail=not-stored");

    pub(super) fn text(self) -> &'static str {
        self.0
    }

    pub(super) fn hit(settings: &model::Cache, left: Duration) -> Said {
        said(settings, || format!("evenkeel; hit; ttl={}", left.as_secs()))
    }

    pub(super) fn stale(settings: &model::Cache) -> Said {
        said(settings, || "evenkeel; hit; detail=stale-while-revalidate".into())
    }

    /// What was stored was asked about.
    pub(super) fn asked(settings: &model::Cache, why: Why, is_ours: bool) -> Said {
        let joined = if is_ours { "" } else { "; collapsed" };
        said(settings, || match why {
            Why::Renewed => format!("evenkeel; fwd=stale; fwd-status=304{joined}"),
            Why::Error => format!("evenkeel; hit; detail=stale-if-error{joined}"),
        })
    }

    /// It was fetched for this request.
    pub(super) fn fetched(settings: &model::Cache, fetch: &Fetch, stored: bool) -> Said {
        let why = if fetch.stale.is_some() { "stale" } else { "miss" };
        let stored = if stored { "; stored" } else { "" };
        said(settings, || format!("evenkeel; fwd={why}{stored}"))
    }

    /// It was fetched for another.
    pub(super) fn joined(settings: &model::Cache) -> Said {
        said(settings, || "evenkeel; fwd=miss; collapsed".into())
    }
}

/// A line, or nothing where it is switched off.
pub(super) type Said = String;

fn said(settings: &model::Cache, text: impl FnOnce() -> String) -> Said {
    match settings.status_field {
        true => text(),
        false => String::new(),
    }
}
