//! From a pool's configuration to what its balancer is told.

use evenkeel_balancer as balancer;
use evenkeel_codec::plant::{self, Bug};
use evenkeel_config::model::{self, Pool};

/// The rules of a pool.
pub(crate) fn rules(pool: &Pool) -> balancer::Rules {
    let limits = &pool.breaker;
    balancer::Rules {
        outlier: pool.outlier.as_ref().map(outlier),
        server_breaker: limits.server_errors.map(breaker),
        breaker: limits.errors.map(breaker),
        adaptive: limits.adaptive.map(|adaptive| balancer::Adaptive {
            initial: adaptive.initial,
            min: adaptive.min,
            max: adaptive.max,
            tolerance: adaptive.tolerance,
        }),
        limits: balancer::Limits {
            in_flight: limits.in_flight,
            server_in_flight: limits.server_in_flight.filter(|_| !plant::is(Bug::LimitIgnored)),
            server_connections: limits.server_connections,
            waiting: pool.queue.max,
        },
        slow_start: pool.slow_start,
        panic_threshold: pool.panic_threshold,
        budget: balancer::Budget { ratio: pool.retry.budget.ratio, min: pool.retry.budget.min },
        hedge: pool.hedge.as_ref().is_some_and(|hedge| hedge.delay.is_none()),
    }
}

fn outlier(outlier: &model::Outlier) -> balancer::Outlier {
    balancer::Outlier {
        consecutive: outlier.consecutive,
        rate: outlier.rate.map(rate),
        mark_down: outlier.mark_down,
        eject: outlier.eject,
        eject_max: outlier.eject_max,
        ejected_max: outlier.ejected_max,
    }
}

fn breaker(breaker: model::ErrorBreaker) -> balancer::Breaker {
    balancer::Breaker { rate: rate(breaker.rate), open: breaker.open, probes: breaker.probes }
}

fn rate(rate: model::FailureRate) -> balancer::FailureRate {
    let model::FailureRate { share, requests_min, window } = rate;
    balancer::FailureRate { share, requests_min, window }
}
