//! `rate_limit`.

use std::time::Duration;

use super::limit_key;
use crate::diagnostic::Diagnostic;
use crate::model::{RateAlgorithm, RateLimit, RequestRate};
use crate::option::RATE_LIMIT;
use crate::rate::rate_if_any;
use crate::read::{Findings, Options};
use crate::tree::Node;
use crate::validate::listener::networks;

/// Most that a sliding window counts: two counts are in one word.
const SLIDING_MAX: u32 = (1 << 18) - 1;

pub(super) fn read(node: &Node, found: &mut Findings) -> RateLimit {
    let options = Options::read(node, &RATE_LIMIT, found);
    let rate = rate(&options, found);
    RateLimit {
        rate,
        algorithm: algorithm(&options, rate, found),
        key: limit_key::read(&options, found),
        allow: networks(options.node("allow"), found),
        dry_run: options.bool("dry_run", found),
        fields: options.bool("fields", found),
        memory: options.size("memory", found).unwrap_or_default(),
    }
}

fn rate(options: &Options<'_>, found: &mut Findings) -> RequestRate {
    let none = RequestRate { count: 1, period: Duration::from_secs(1) };
    rate_if_any(options, "rate", found).unwrap_or(none)
}

fn algorithm(options: &Options<'_>, rate: RequestRate, found: &mut Findings) -> RateAlgorithm {
    let burst = options.small_if_any("burst", found);
    let algorithm = match options.choice("algorithm", found) {
        Some("fixed_window") => RateAlgorithm::FixedWindow,
        Some("sliding_window") => RateAlgorithm::SlidingWindow,
        _ => return RateAlgorithm::TokenBucket { burst: burst.unwrap_or(rate.count) },
    };
    if burst.is_some() {
        found.push(
            Diagnostic::error(
                "bad-value",
                options.span_of("burst"),
                "`burst` belongs to `algorithm: token_bucket`",
            )
            .help("a window lets its whole count pass at once"),
        );
    }
    if algorithm == RateAlgorithm::SlidingWindow && rate.count > SLIDING_MAX {
        let message = format!("a `sliding_window` counts to {SLIDING_MAX} at most");
        found.push(
            Diagnostic::error("bad-value", options.span_of("rate"), message)
                .help("write the rate for a shorter time, or use `token_bucket`"),
        );
    }
    algorithm
}
