//! Policies: named rules that listeners and routes apply. One file for the settings of each kind;
//! [`PolicyKind`] is the complete list.

use super::Template;

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

mod cookies;
mod cors;
mod pages;
mod redirect;
mod rewrite;
mod security_fields;

pub use access::*;
pub use access_log::*;
pub use bandwidth_limit::*;
pub use body::*;
pub use cache::*;
pub use client_certificate::*;
pub use compress::*;
pub use concurrency_limit::*;
pub use cookies::*;
pub use cors::*;
pub use credentials::*;
pub use document::*;
pub use external_auth::*;
pub use fields::*;
pub use geo::*;
pub use jwt::*;
pub use pages::*;
pub use rate_limit::*;
pub use redirect::*;
pub use rewrite::*;
pub use security_fields::*;

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
    /// `rewrite`: what servers are asked for.
    Rewrite(Rewrite),
    /// `redirect`: one spelling of a site's address.
    Redirect(Canonical),
    /// `cookies`: what browsers are told about servers' cookies.
    Cookies(Cookies),
    /// `security_fields`: what browsers are told to be careful about.
    SecurityFields(SecurityFields),
    /// `cors`: which sites' scripts may ask.
    Cors(Cors),
    /// `error_pages`: what people see when there is no answer.
    ErrorPages(ErrorPages),
    /// `maintenance`: everybody is told to come again later.
    Maintenance(Maintenance),
}

impl PolicyKind {
    /// The texts with variables in it.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Fields(fields) => fields.templates().collect(),
            Self::Rewrite(rewrite) => rewrite.templates().collect(),
            Self::ErrorPages(errors) => {
                errors.pages.iter().flat_map(|(_, _, page)| page.templates()).collect()
            }
            Self::Maintenance(settings) => settings.page.iter().flat_map(Page::templates).collect(),
            _ => Vec::new(),
        }
    }
}
