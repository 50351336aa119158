//! `external_auth`: another server says who comes in.

use std::time::Duration;

use super::super::PoolId;

/// Another server says who comes in: any 2xx is a yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAuth {
    /// Who is asked.
    pub pool: PoolId,
    /// For what.
    pub path: String,
    /// How long at most.
    pub timeout: Duration,
    /// Fields of the request that are sent along.
    pub send: Vec<String>,
    /// Fields of a yes that servers get, and nobody else can say.
    pub copy: Vec<String>,
    /// Fields of a no that the client gets.
    pub answer: Vec<String>,
    /// Without an answer requests pass.
    pub fail_open: bool,
    /// How long a yes or no holds; zero is for one request alone.
    pub remember: Duration,
    /// What it holds for, beside method, host, path and query: requests with the same values of these
    /// fields.
    pub remember_by: Vec<String>,
}
