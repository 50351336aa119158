//! Policies: named rules that listeners and routes apply. One file for the settings of each kind;
//! [`PolicyKind`] is the complete list.

mod access;
mod access_log;
mod bandwidth_limit;
mod body;
mod cache;
mod client_certificate;
mod compress;
mod concurrency_limit;
mod credentials;
mod document;
mod external_auth;
mod fields;
mod geo;
mod jwt;
mod rate_limit;

pub use access::*;
pub use access_log::*;
pub use bandwidth_limit::*;
pub use body::*;
pub use cache::*;
pub use client_certificate::*;
pub use compress::*;
pub use concurrency_limit::*;
pub use credentials::*;
pub use document::*;
pub use external_auth::*;
pub use fields::*;
pub use geo::*;
pub use jwt::*;
pub use rate_limit::*;

/// A named rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its key in the file.
    pub name: String,
    /// What it does.
    pub kind: PolicyKind,
}

impl PolicyKind {
    /// The pool that it asks by itself.
    pub fn pool(&self) -> Option<super::PoolId> {
        match self {
            Self::ExternalAuth(auth) => Some(auth.pool),
            _ => None,
        }
    }
}

/// What a policy does.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyKind {
    /// `fields`: edit the fields of requests and responses.
    Fields(FieldEdits),
    /// `access_log`: a line for each exchange.
    AccessLog(AccessLog),
    /// `rate_limit`: so many requests in so much time.
    RateLimit(RateLimit),
    /// `access`: who may come in, by network.
    Access(Access),
    /// `concurrency_limit`: so many requests at a time.
    ConcurrencyLimit(ConcurrencyLimit),
    /// `basic_auth`: who comes in by name and password.
    BasicAuth(BasicAuth),
    /// `api_key`: who comes in by a key.
    ApiKey(ApiKey),
    /// `client_certificate`: who comes in by a certificate.
    ClientCertificate(ClientCertificate),
    /// `external_auth`: another server says who comes in.
    ExternalAuth(ExternalAuth),
    /// `bandwidth_limit`: so many bytes a second.
    BandwidthLimit(BandwidthLimit),
    /// `body`: rules for the content of requests.
    Body(BodyRules),
    /// `compress`: content codings for clients that accept them.
    Compress(Compress),
    /// `decompress`: none for clients that do not.
    Decompress(Decompress),
    /// `jwt`: who comes in by a token.
    Jwt(Jwt),
    /// `geo`: where clients are.
    Geo(Geo),
    /// `cache`: answers are kept, and given again.
    Cache(Box<Cache>),
}
