//! `rate_limit`.

use std::time::Duration;

use super::limit_key;
use crate::diagnostic::Diagnostic;
use crate::model::{LimitStore, RateAlgorithm, RateLimit, RequestRate, SharedLimit, Without};
use crate::option::{RATE_LIMIT, SHARED_LIMIT};
use crate::rate::rate_if_any;
use crate::read::{Findings, Options};
use crate::tree::Node;
use crate::validate::listener::networks;
use crate::validate::secret::password;

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
        shared: options.node("shared").and_then(|node| shared(node, &options, found)),
    }
}

fn shared(node: &Node, limit: &Options<'_>, found: &mut Findings) -> Option<SharedLimit> {
    let options = Options::read(node, &SHARED_LIMIT, found);
    if limit.node("algorithm").is_some() && limit.choice("algorithm", found) != Some("token_bucket")
    {
        let message = "a shared limit is kept by `algorithm: token_bucket`";
        found.error("bad-value", limit.span_of("algorithm"), message);
    }
    let server = options.text("server", found)?;
    let is_address = server.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', '@', ' ']) && port.parse::<u16>().is_ok()
    });
    if !is_address {
        let message = format!("`{server}` is not a host and a port");
        found.push(Diagnostic::error("bad-value", options.span_of("server"), message).help(
            "write it like `10.0.0.5:6379`; `database`, `username` and `password` are options",
        ));
        return None;
    }
    let password = options.node("password").and_then(|node| password(node, found));
    let username = options.text("username", found);
    if let (Some(_), None) = (&username, options.node("password")) {
        found.error("bad-value", options.span_of("username"), "a `username` needs a `password`");
    }
    Some(SharedLimit {
        store: LimitStore {
            server,
            username,
            password,
            database: options.small("database", found),
        },
        prefix: options.text("prefix", found).unwrap_or_default(),
        timeout: options.duration("timeout", found),
        without: match options.choice("without", found) {
            Some("allow") => Without::Allow,
            Some("refuse") => Without::Refuse,
            _ => Without::Local,
        },
    })
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
