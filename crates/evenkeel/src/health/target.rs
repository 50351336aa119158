//! Who is checked: every server of a pool that wants checks and that has an address, as the workers
//! were told of it.

use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_balancer::SharedServer;
use evenkeel_config::model::{Address, HealthCheck, ProxyProtocolVersion};

use evenkeel_proxy::tls::ClientTls;

use super::probe::Aim;

/// One server, and what is written when its verdict changes.
#[derive(Clone)]
pub(crate) struct Target {
    /// Its pool's name.
    pub(crate) pool: Arc<str>,
    /// Its key in the pool: the address as written.
    pub(crate) server: Box<str>,
    /// As written: its name, if it has one, is asked for by TLS and `Host`.
    pub(crate) address: Address,
    /// Where it listens for requests; without any, it is not checked.
    pub(crate) addresses: Arc<[SocketAddr]>,
    /// Where it listens for checks, if elsewhere.
    pub(crate) elsewhere: Option<(Address, Vec<SocketAddr>)>,
    /// How.
    pub(crate) check: Arc<HealthCheck>,
    /// Those of its pool, if the check speaks TLS as the pool does.
    pub(crate) keys: Option<Arc<ClientTls>>,
    /// What its checks begin with.
    pub(crate) header: Option<ProxyProtocolVersion>,
    /// Where the verdict is written.
    pub(crate) shared: Arc<SharedServer>,
}

impl Target {
    /// Whether there is anything to check.
    pub(crate) fn has_address(&self) -> bool {
        let elsewhere = self.elsewhere.as_ref().map(|(_, addresses)| addresses.as_slice());
        !elsewhere.unwrap_or(&self.addresses).is_empty()
    }

    /// Where its checks go.
    pub(super) fn aim(&self) -> Aim {
        let (written, addresses) = match &self.elsewhere {
            Some((written, addresses)) => (written, addresses.as_slice()),
            None => (&self.address, &*self.addresses),
        };
        let port = self.check.port.filter(|_| self.elsewhere.is_none());
        let at = |address: &SocketAddr| match port {
            Some(port) => SocketAddr::new(address.ip(), port),
            None => *address,
        };
        let host = match written {
            Address::Socket(address) => address.ip().to_string(),
            Address::Name(name, _) => name.clone(),
        };
        Aim {
            pool: self.pool.clone(),
            server: self.server.clone(),
            host: host.into(),
            addresses: addresses.iter().map(at).collect(),
            // Elsewhere there is another protocol.
            header: self.header.filter(|_| port.is_none() && self.elsewhere.is_none()),
        }
    }
}
