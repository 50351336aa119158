//! What an ACME authority will be answered that asks whether a name is ours.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

/// Answers to an authority; there are some only while an order is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Challenges {
    /// Key authorizations by token (RFC 8555 §8.3).
    pub(crate) http: HashMap<String, String>,
    /// Certificates with the digest of one, by the name they are about (RFC 8737 §3).
    pub(crate) tls: HashMap<String, Arc<CertifiedKey>>,
}
