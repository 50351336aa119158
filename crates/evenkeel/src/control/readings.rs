//! Adding up what the workers count about each server. Reads the cells, owns none of them.

use evenkeel_proxy::counters::Merged;
use evenkeel_proxy::shared::{Publication, ServerShared};

/// What has been counted about one server since the start, by all workers together.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerReading {
    /// Requests sent to it.
    pub(crate) requests: u64,
    /// Requests sent and not yet answered.
    pub(crate) in_flight: u32,
    /// From the request to the response head.
    pub(crate) latency: Merged,
}

impl ServerReading {
    /// Adds what the same server did in another pool.
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.in_flight += other.in_flight;
        for (sum, n) in self.latency.buckets.iter_mut().zip(&other.latency.buckets) {
            *sum += n;
        }
        self.latency.sum_micros = self.latency.sum_micros.wrapping_add(other.latency.sum_micros);
    }
}

/// One reading for each server of each pool, in the order of the configuration.
pub(crate) fn servers(publication: &Publication) -> Vec<ServerReading> {
    publication.servers.iter().flatten().map(read).collect()
}

/// What has been counted about one server.
pub(crate) fn read(server: &ServerShared) -> ServerReading {
    let mut reading =
        ServerReading { in_flight: server.standing.in_flight(), ..ServerReading::default() };
    for counters in server.counters.iter() {
        reading.requests += counters.requests.value();
        counters.latency.merge_into(&mut reading.latency);
    }
    reading
}
