//! Asking resolvers: one name in, addresses or service records out, with the time they may be
//! used. Owns what counts as an answer and what as none; what is done without an answer is decided
//! by those who ask.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use evenkeel_runtime as runtime;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record, RecordType};

/// For one question to one resolver.
const TRY: Duration = Duration::from_secs(2);
/// Questions to each resolver.
const TRIES: usize = 2;
/// For all of it: no look-up takes longer.
const ALL: Duration = Duration::from_secs(6);
/// How much longer than one family of addresses the other one may take.
const OTHER_FAMILY: Duration = Duration::from_millis(500);
/// The system's settings are read again after this time, and after every failure.
const SETTINGS: Duration = Duration::from_secs(60);

/// Asks the system's resolvers, or others.
#[derive(Default)]
pub(super) struct Resolver {
    others: Vec<SocketAddr>,
    inner: Option<(Asker, Instant)>,
}

/// Asks, whoever it is.
#[derive(Clone)]
pub(super) struct Asker(TokioResolver);

/// What was answered, and for how long it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found<T> {
    pub(super) records: Vec<T>,
    pub(super) ttl: Duration,
}

/// Why there is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// There is no such name, or it has no record of this kind.
    NoRecords(String),
    /// Nobody answered, or what came was no answer.
    NoAnswer(String),
}

/// A service record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: String,
}

/// The addresses of a name, asked for by family: one that fails says nothing about the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) v4: Result<Found<IpAddr>, Nothing>,
    pub(super) v6: Result<Found<IpAddr>, Nothing>,
}

impl Resolver {
    /// Asks these; the system's if there are none.
    pub(super) fn asking(others: &[SocketAddr]) -> Self {
        Self { others: others.to_vec(), inner: None }
    }

    /// Somebody to ask.
    ///
    /// # Errors
    /// When the system's settings cannot be read.
    pub(super) fn ready(&mut self) -> Result<Asker, Nothing> {
        let now = runtime::now();
        if let Some((asker, since)) = &self.inner
            && now.saturating_duration_since(*since) < SETTINGS
        {
            return Ok(asker.clone());
        }
        let asker = Asker(build(&self.others).map_err(Nothing::NoAnswer)?);
        self.inner = Some((asker.clone(), now));
        Ok(asker)
    }

    /// Begins anew: something may have changed.
    pub(super) fn forget(&mut self) {
        self.inner = None;
    }
}

impl Asker {
    /// The addresses of a name.
    pub(super) async fn addresses(&self, name: &str) -> Families {
        let v4 = self.ask(name, RecordType::A, address);
        let v6 = self.ask(name, RecordType::AAAA, address);
        both(v4, v6).await
    }

    /// The service records of a name.
    pub(super) async fn services(&self, name: &str) -> Result<Found<Service>, Nothing> {
        self.ask(name, RecordType::SRV, service).await
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        take: fn(&Record) -> Option<T>,
    ) -> Result<Found<T>, Nothing> {
        let answer = match tokio::time::timeout(ALL, self.0.lookup(name, kind)).await {
            Err(_) => return Err(Nothing::NoAnswer(format!("no answer within {ALL:?}"))),
            Ok(Err(error)) => return Err(explain(&error)),
            Ok(Ok(answer)) => answer,
        };
        // No more than fit into a message of 64 KiB.
        let records: Vec<T> = answer.answers().iter().filter_map(take).collect();
        if records.is_empty() {
            return Err(Nothing::NoRecords(format!("the answer has no {kind} record of use")));
        }
        // Aliases on the way count too.
        let ttl = answer.answers().iter().map(|record| record.ttl).min().unwrap_or(0);
        Ok(Found { records, ttl: Duration::from_secs(ttl.into()) })
    }
}

fn build(others: &[SocketAddr]) -> Result<TokioResolver, String> {
    let asking = |servers: Vec<NameServerConfig>| {
        let config = ResolverConfig::from_name_servers(servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let mut builder = match others {
        [] => TokioResolver::builder_tokio().unwrap_or_else(|error| {
            // What is in /etc/hosts is found all the same.
            tracing::debug!("discovery: /etc/resolv.conf: {error}");
            asking(Vec::new())
        }),
        others => asking(others.iter().map(name_server).collect()),
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = options.timeout.min(TRY);
    options.attempts = options.attempts.min(TRIES);
    options.cache_size = 0; // whoever asks keeps the answer, for as long as it says
    if !others.is_empty() {
        options.use_hosts_file = ResolveHosts::Never;
    }
    builder.build().map_err(|e| e.to_string())
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

/// Both, but once one has come the other is not waited for long.
async fn both(
    v4: impl Future<Output = Result<Found<IpAddr>, Nothing>>,
    v6: impl Future<Output = Result<Found<IpAddr>, Nothing>>,
) -> Families {
    let late = || Err(Nothing::NoAnswer("no answer in time".into()));
    let (mut v4, mut v6) = (std::pin::pin!(v4), std::pin::pin!(v6));
    tokio::select! {
        v4 = &mut v4 => {
            let wait = if v4.is_ok() { OTHER_FAMILY } else { ALL };
            let v6 = tokio::time::timeout(wait, v6).await.unwrap_or_else(|_| late());
            Families { v4, v6 }
        }
        v6 = &mut v6 => {
            let wait = if v6.is_ok() { OTHER_FAMILY } else { ALL };
            let v4 = tokio::time::timeout(wait, v4).await.unwrap_or_else(|_| late());
            Families { v4, v6 }
        }
    }
}

fn explain(error: &NetError) -> Nothing {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Nothing::NoRecords("NXDOMAIN: there is no such name".into()),
            ResponseCode::NoError => Nothing::NoRecords("the answer is empty".into()),
            code => Nothing::NoAnswer(format!("{code}")),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => Nothing::NoAnswer(format!("{code}")),
        NetError::Timeout => Nothing::NoAnswer("no resolver answers".into()),
        other => Nothing::NoAnswer(other.to_string()),
    }
}

/// An address a server can have: `0.0.0.0` would be this very host.
fn address(record: &Record) -> Option<IpAddr> {
    let address = match &record.data {
        RData::A(a) => IpAddr::V4(a.0),
        RData::AAAA(aaaa) => IpAddr::V6(aaaa.0),
        _ => return None,
    };
    let canonical = address.to_canonical();
    let is_broadcast = matches!(canonical, IpAddr::V4(v4) if v4.is_broadcast());
    let usable = !canonical.is_unspecified() && !canonical.is_multicast() && !is_broadcast;
    usable.then_some(address)
}

/// A target of `.` says that there is decidedly no such service (RFC 2782).
fn service(record: &Record) -> Option<Service> {
    let RData::SRV(srv) = &record.data else { return None };
    let target = srv.target.to_ascii();
    let usable = target != "." && srv.port != 0;
    let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
    usable.then_some(Service { priority, weight, port, target })
}
