//! Policies. Each kind is written by a file of its own.

mod access;
mod access_log;
mod bandwidth_limit;
mod body;
mod browsers;
mod cache;
mod client_certificate;
mod compress;
mod concurrency_limit;
mod credentials;
mod external_auth;
mod fields;
mod geo;
mod jwt;
mod pages;
mod rate_limit;
mod rewrite;

use serde_json::{Value, json};

use crate::model::{Config, Policy, PolicyKind};

pub(super) fn policy(policy: &Policy, config: &Config) -> Value {
    match &policy.kind {
        PolicyKind::Fields(fields) => json!({ "fields": fields::write(fields) }),
        PolicyKind::Jwt(jwt) => json!({ "jwt": jwt::write(jwt) }),
        PolicyKind::Geo(geo) => json!({ "geo": geo::write(geo) }),
        PolicyKind::BasicAuth(auth) => json!({ "basic_auth": credentials::basic_auth(auth) }),
        PolicyKind::ApiKey(keys) => json!({ "api_key": credentials::api_key(keys) }),
        PolicyKind::ClientCertificate(rules) => {
            json!({ "client_certificate": client_certificate::write(rules) })
        }
        PolicyKind::ExternalAuth(auth) => {
            json!({ "external_auth": external_auth::write(auth, config) })
        }
        PolicyKind::Access(access) => json!({ "access": access::write(access) }),
        PolicyKind::AccessLog(log) => json!({ "access_log": access_log::write(log) }),
        PolicyKind::BandwidthLimit(limit) => {
            json!({ "bandwidth_limit": bandwidth_limit::write(limit) })
        }
        PolicyKind::ConcurrencyLimit(limit) => {
            json!({ "concurrency_limit": concurrency_limit::write(limit) })
        }
        PolicyKind::RateLimit(limit) => json!({ "rate_limit": rate_limit::write(limit) }),
        PolicyKind::Body(rules) => json!({ "body": body::write(rules) }),
        PolicyKind::Compress(compress) => json!({ "compress": compress::write(compress) }),
        PolicyKind::Decompress(decompress) => {
            json!({ "decompress": compress::decompress(decompress) })
        }
        PolicyKind::Cache(cache) => json!({ "cache": cache::write(cache) }),
        PolicyKind::Rewrite(rewrite) => json!({ "rewrite": rewrite::write(rewrite) }),
        PolicyKind::Redirect(to) => json!({ "redirect": rewrite::write_redirect(to) }),
        PolicyKind::Cookies(cookies) => json!({ "cookies": browsers::cookies(cookies) }),
        PolicyKind::SecurityFields(fields) => {
            json!({ "security_fields": browsers::security_fields(fields) })
        }
        PolicyKind::Cors(cors) => json!({ "cors": browsers::cors(cors) }),
        PolicyKind::ErrorPages(errors) => json!({ "error_pages": pages::errors(errors) }),
        PolicyKind::Maintenance(settings) => {
            json!({ "maintenance": pages::maintenance(settings) })
        }
    }
}
