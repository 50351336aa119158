//! Retries, hedging, ejection, breakers and the queue of a pool.

use crate::diagnostic::Diagnostic;
use crate::model::{
    Adaptive, Breaker, Budget, ErrorBreaker, FailureRate, Hedge, Outlier, Pool, Queue, Retry,
    RetryOn,
};
use crate::option::{
    ADAPTIVE, BREAKER, BUDGET, ERROR_BREAKER, FAILURE_RATE, QUEUE, RETRY, RETRY_WORDS,
};
use crate::read::{Findings, Options, choice_of, count_of, one_or_many, share_of, text};
use crate::tree::{Node, Value};

pub(super) fn retry(node: &Node, found: &mut Findings) -> Retry {
    let options = Options::read(node, &RETRY, found);
    let try_timeout = options.duration_if_any("try_timeout", found);
    let retry = Retry {
        attempts: options.small("attempts", found),
        on: match options.node("on") {
            Some(node) => retry_on(node, found),
            None => RetryOn {
                connect: true,
                reset: true,
                timeout: try_timeout.is_some(),
                statuses: Vec::new(),
            },
        },
        non_idempotent: options.bool("non_idempotent", found),
        try_timeout,
        backoff: options.duration("backoff", found),
        backoff_max: options.duration("backoff_max", found),
        budget: budget(&options, found),
    };
    if retry.try_timeout.is_some() && !retry.on.timeout {
        let span = options.span_of("try_timeout");
        found.push(
            Diagnostic::warning(
                "no-effect",
                span,
                "a `try_timeout` without `timeout` in `on` only gives up sooner",
            )
            .help("add `timeout` to `on`"),
        );
    }
    if retry.backoff > retry.backoff_max {
        let span = options.span_of("backoff");
        found.error("bad-value", span, "`backoff` is longer than `backoff_max`");
    }
    retry
}

fn retry_on(node: &Node, found: &mut Findings) -> RetryOn {
    let mut on = RetryOn { connect: false, reset: false, timeout: false, statuses: Vec::new() };
    let crate::option::Kind::Choice(words) = RETRY_WORDS else { return on };
    for node in one_or_many(node) {
        let Some(written) = text(node, found) else { continue };
        if written.starts_with(|c: char| c.is_ascii_digit()) {
            match count_of(written, 400, 599) {
                Ok(status) if on.statuses.contains(&(status as u16)) => {}
                Ok(status) => on.statuses.push(status as u16),
                Err(message) => found.push(
                    Diagnostic::error("bad-value", node.span, message)
                        .help("a status from 400 to 599"),
                ),
            }
            continue;
        }
        match choice_of(written, words, node.span, found) {
            Some("connect") => on.connect = true,
            Some("reset") => on.reset = true,
            Some(_) => on.timeout = true,
            None => {}
        }
    }
    on
}

fn budget(options: &Options<'_>, found: &mut Findings) -> Budget {
    let empty = super::empty();
    let node = options.node("budget").unwrap_or(&empty);
    let Value::Scalar { text, .. } = &node.value else {
        let options = Options::read(node, &BUDGET, found);
        return Budget { ratio: options.share("ratio", found), min: options.small("min", found) };
    };
    let defaults = Options::read(&empty, &BUDGET, found);
    let ratio = share_of(text).unwrap_or_else(|message| {
        found.error("bad-value", node.span, message);
        0.0
    });
    Budget { ratio, min: defaults.small("min", found) }
}

pub(super) fn hedge(options: &Options<'_>, found: &mut Findings) -> Hedge {
    Hedge { delay: options.duration_if_any("delay", found) }
}

pub(super) fn outlier(options: &Options<'_>, found: &mut Findings) -> Outlier {
    let outlier = Outlier {
        consecutive: options.small("consecutive", found),
        rate: options.switched("rate", &FAILURE_RATE, found).map(|o| failure_rate(&o, found)),
        mark_down: options.duration_if_any("mark_down", found),
        eject: options.duration("eject", found),
        eject_max: options.duration("eject_max", found),
        ejected_max: options.share("ejected_max", found),
    };
    if outlier.eject > outlier.eject_max {
        let span = options.span_of("eject");
        found.error("bad-value", span, "`eject` is longer than `eject_max`");
    }
    outlier
}

fn failure_rate(options: &Options<'_>, found: &mut Findings) -> FailureRate {
    let rate = FailureRate {
        share: options.share("share", found),
        requests_min: options.small("requests_min", found),
        window: options.duration("window", found),
    };
    if rate.share == 0.0 {
        let span = options.span_of("share");
        found.error("bad-value", span, "a `share` of 0 would find every server failing");
    }
    rate
}

pub(super) fn breaker(node: &Node, found: &mut Findings) -> Breaker {
    let options = Options::read(node, &BREAKER, found);
    Breaker {
        in_flight: options.small_if_any("in_flight", found),
        server_in_flight: options.small_if_any("server_in_flight", found),
        server_connections: options.small_if_any("server_connections", found),
        server_errors: options
            .switched("server_errors", &ERROR_BREAKER, found)
            .map(|options| error_breaker(&options, found)),
        errors: options
            .switched("errors", &ERROR_BREAKER, found)
            .map(|options| error_breaker(&options, found)),
        adaptive: options
            .switched("adaptive", &ADAPTIVE, found)
            .map(|options| adaptive(&options, found)),
    }
}

fn error_breaker(options: &Options<'_>, found: &mut Findings) -> ErrorBreaker {
    ErrorBreaker {
        rate: failure_rate(options, found),
        open: options.duration("open", found),
        probes: options.small("probes", found),
    }
}

fn adaptive(options: &Options<'_>, found: &mut Findings) -> Adaptive {
    let adaptive = Adaptive {
        initial: options.small("initial", found),
        min: options.small("min", found),
        max: options.small("max", found),
        tolerance: options.number("tolerance", found).unwrap_or(1.0),
    };
    let in_order = adaptive.min <= adaptive.initial && adaptive.initial <= adaptive.max;
    if !in_order && adaptive.min > 0 && adaptive.initial > 0 && adaptive.max > 0 {
        let message = format!(
            "`min` {}, `initial` {} and `max` {} are not in this order",
            adaptive.min, adaptive.initial, adaptive.max
        );
        found.error("bad-value", options.span_of("initial"), message);
    }
    adaptive
}

pub(super) fn queue(node: &Node, found: &mut Findings) -> Queue {
    let options = Options::read(node, &QUEUE, found);
    Queue { max: options.small("max", found), timeout: options.duration("timeout", found) }
}

/// What only several parts of a pool show to be doubtful.
pub(super) fn doubt(pool: &Pool, options: &Options<'_>, found: &mut Findings) {
    if let Some(limit) = pool.retry.try_timeout
        && limit >= pool.timeouts.first_byte
    {
        found.push(
            Diagnostic::warning(
                "no-effect",
                options.span_of("retry"),
                "`retry.try_timeout` is not shorter than `timeouts.first_byte`: it never ends a try",
            )
            .help("a try that is too slow is ended to leave time for another"),
        );
    }
    let budget = &pool.retry.budget;
    if budget.ratio == 0.0 && budget.min == 0 && (pool.retry.attempts > 0 || pool.hedge.is_some()) {
        found.push(
            Diagnostic::warning(
                "no-effect",
                options.span_of("retry"),
                "a `budget` of 0 allows no further try",
            )
            .help("write `attempts: 0` if none is wanted"),
        );
    }
    let breaker = &pool.breaker;
    if let (Some(pool), Some(server)) = (breaker.in_flight, breaker.server_in_flight)
        && server > pool
    {
        found.push(Diagnostic::warning(
            "no-effect",
            options.span_of("breaker"),
            "`server_in_flight` is more than `in_flight`, which includes it",
        ));
    }
}
