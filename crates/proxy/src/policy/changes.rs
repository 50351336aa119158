//! What policies change about one exchange, beyond the edits that are the same for every exchange.
//! Most exchanges have none.

use super::Edits;
use crate::http::brake::Brake;

/// See the module's head.
#[derive(Default)]
pub(crate) struct Changes {
    /// Edits of the request's fields, after those of the chains.
    pub(crate) request: Edits,
    /// Edits of the answer's fields, after those of the chains.
    pub(crate) response: Edits,
    /// Path and query as servers get them; the client's, normalised, if `None`.
    pub(crate) target: Option<Vec<u8>>,
    /// The `Host` as servers get it, unless the pool says so; the client's if `None`.
    pub(crate) host: Option<Vec<u8>>,
    /// How fast the request's body may move, if that is limited.
    pub(crate) upload: Option<Box<Brake>>,
    /// The same of the response.
    pub(crate) download: Option<Box<Brake>>,
    /// The claims of a token that was found good.
    pub(crate) claims: Option<std::sync::Arc<serde_json::Map<String, serde_json::Value>>>,
    /// The client's country (ISO 3166), if it is known.
    pub(crate) country: Option<[u8; 2]>,
    /// What is given back when the exchange is over.
    pub(crate) permits: Vec<Permit>,
}

/// Something that an exchange holds as long as it lasts; dropping it gives it back.
pub(crate) struct Permit {
    _held: Box<dyn std::any::Any>,
}

impl Permit {
    pub(crate) fn new(held: impl std::any::Any) -> Self {
        Self { _held: Box::new(held) }
    }
}
