//! How a running process is looked at and changed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{HostMatch, Secret};

/// The admin listener and what it may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub bind: AdminBind,
    /// Who may use it over TCP; over a Unix socket whoever may open it may use it.
    pub tokens: Vec<AdminToken>,
    /// Where runtime changes are kept so that a restart finds them; nowhere by default.
    pub state: Option<PathBuf>,
    /// Earlier configurations that can be gone back to; 20.
    pub history: u32,
    /// Services that may register themselves.
    pub registrations: Vec<Registration>,
}

/// Where the admin listener listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdminBind {
    /// `/run/evenkeel/admin.sock` if that can be made, else `$XDG_RUNTIME_DIR/evenkeel/admin.sock`.
    #[default]
    Default,
    /// `off`: nowhere.
    Off,
    /// `unix:PATH`: a socket that only this user may open.
    Unix(PathBuf),
    /// An address; needs a token.
    Tcp(SocketAddr),
}

/// Who may use the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// For the log.
    pub name: String,
    /// What `Authorization: Bearer` must carry; at least 16 characters.
    pub secret: Secret,
    /// May only look.
    pub read_only: bool,
}

/// A service that may register itself as a server, and the routes it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// For the log.
    pub name: String,
    /// What `Authorization: Bearer` must carry; at least 16 characters.
    pub secret: Secret,
    /// Pools it may join or make; `*` at the end stands for anything.
    pub pools: Vec<String>,
    /// Addresses it may register; those it registers from by default.
    pub addresses: Vec<IpNet>,
    /// Hosts it may claim routes for; none by default.
    pub hosts: Vec<HostMatch>,
    /// Path prefixes it may claim routes for, on segment boundaries and without a `/` at the end;
    /// empty (everything) by default.
    pub paths: Vec<String>,
    /// Longest lease; 5 min.
    pub ttl_max: Duration,
    /// Most servers it may have registered at a time; 1,000.
    pub servers_max: u32,
}
