//! Policies: which kind one is. What may be written for each kind is in a file of its own.

mod access;
mod access_log;
mod bandwidth_limit;
mod body;
mod cache;
mod client_certificate;
mod compress;
mod concurrency_limit;
mod cookies;
mod cors;
mod credentials;
mod external_auth;
mod fields;
pub(super) mod geo;
mod jwt;
mod limit_key;
mod pages;
mod rate_limit;
mod redirect;
mod rewrite;
mod security_fields;

use crate::model::{FieldEdits, Policy, PolicyKind};
use crate::option::POLICY;
use crate::read::{Findings, Options, one_or_many, text};
use crate::tree::{Key, Node};
use crate::validate::{Scope, tls};
use fields::is_name as is_field_name;

pub(super) fn read(key: &Key, node: &Node, scope: &Scope, found: &mut Findings) -> Policy {
    let owner = format!("policies.{}", key.text);
    let options = Options::read(node, &POLICY, found);
    let kind = match options.only(found) {
        Some((key, node)) => match key.text.as_str() {
            "access_log" => PolicyKind::AccessLog(access_log::read(node, found)),
            "rate_limit" => PolicyKind::RateLimit(rate_limit::read(node, found)),
            "jwt" => PolicyKind::Jwt(jwt::read(node, &owner, found)),
            "geo" => PolicyKind::Geo(geo::read(node, &owner, found)),
            "basic_auth" => PolicyKind::BasicAuth(credentials::basic_auth(node, &owner, found)),
            "api_key" => PolicyKind::ApiKey(credentials::api_key(node, found)),
            "client_certificate" => {
                PolicyKind::ClientCertificate(client_certificate::read(node, found))
            }
            "external_auth" => PolicyKind::ExternalAuth(external_auth::read(node, scope, found)),
            "access" => PolicyKind::Access(access::read(node, &owner, found)),
            "bandwidth_limit" => PolicyKind::BandwidthLimit(bandwidth_limit::read(node, found)),
            "concurrency_limit" => {
                PolicyKind::ConcurrencyLimit(concurrency_limit::read(node, found))
            }
            "body" => PolicyKind::Body(body::read(node, found)),
            "compress" => PolicyKind::Compress(compress::read(node, found)),
            "decompress" => PolicyKind::Decompress(compress::decompress(node, found)),
            "cache" => PolicyKind::Cache(Box::new(cache::read(node, found))),
            "rewrite" => PolicyKind::Rewrite(rewrite::read(node, found)),
            "redirect" => PolicyKind::Redirect(redirect::read(node, found)),
            "cookies" => PolicyKind::Cookies(cookies::read(node, found)),
            "security_fields" => PolicyKind::SecurityFields(security_fields::read(node, found)),
            "cors" => PolicyKind::Cors(cors::read(node, found)),
            "error_pages" => PolicyKind::ErrorPages(pages::read_errors(node, found)),
            "maintenance" => PolicyKind::Maintenance(pages::read_maintenance(node, found)),
            _ => PolicyKind::Fields(fields::read(node, found)),
        },
        None => PolicyKind::Fields(FieldEdits::default()), // a mistake, and noted
    };
    Policy { name: key.text.clone(), kind }
}

/// A file of this option; where it is named is kept, for what is wrong in it.
fn file(options: &Options<'_>, key: &str, owner: &str, found: &mut Findings) -> Option<String> {
    let path = tls::file(options, key, owner, found)?;
    Some(path.to_string_lossy().into_owned())
}

/// A field of the request that only this process says.
fn field_name(options: &Options<'_>, key: &str, found: &mut Findings) -> Option<String> {
    let node = options.node(key)?;
    let name = text(node, found)?;
    is_field_name(name, node.span, found).then(|| name.to_ascii_lowercase())
}

/// Names of fields, one or a list.
fn field_names(node: &Node, found: &mut Findings) -> Vec<String> {
    let mut names = Vec::new();
    for node in one_or_many(node) {
        if let Some(name) = text(node, found)
            && is_field_name(name, node.span, found)
        {
            names.push(name.to_ascii_lowercase());
        }
    }
    names
}
