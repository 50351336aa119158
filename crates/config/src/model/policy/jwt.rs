//! `jwt`: who comes in by a token (RFC 7519).

use std::time::Duration;

use super::super::{KeySource, Secret};

/// Who comes in by a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// What signs tokens that are believed.
    pub keys: TokenKeys,
    /// Of these issuers; of any if empty.
    pub issuers: Vec<String>,
    /// For one of these audiences; for any if empty.
    pub audiences: Vec<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Where it is; of the field `authorization`, behind `Bearer`.
    pub from: KeySource,
    /// Who has none does not come in; with a bad one nobody does.
    pub required: bool,
    /// Claims, and the fields in which servers are told them.
    pub claims: Vec<(String, String)>,
    /// Servers get the token, too.
    pub pass: bool,
}

/// What signs tokens. The algorithm belongs to the key, never to the token (RFC 8725 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKeys {
    /// A set of keys (RFC 7517), in a file or at a URL.
    Set(String),
    /// A public key in a file (PEM), and the algorithm that it is for.
    Public(String, TokenAlgorithm),
    /// A secret that both sides know, and the algorithm that it is for.
    Shared(Secret, TokenAlgorithm),
}

/// An algorithm of RFC 7518 §3.1 or RFC 8037.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the RFCs say what each is")]
pub enum TokenAlgorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl TokenAlgorithm {
    /// All of them, with their registered names.
    pub const ALL: [(Self, &'static str); 12] = [
        (Self::Hs256, "HS256"),
        (Self::Hs384, "HS384"),
        (Self::Hs512, "HS512"),
        (Self::Rs256, "RS256"),
        (Self::Rs384, "RS384"),
        (Self::Rs512, "RS512"),
        (Self::Ps256, "PS256"),
        (Self::Ps384, "PS384"),
        (Self::Ps512, "PS512"),
        (Self::Es256, "ES256"),
        (Self::Es384, "ES384"),
        (Self::EdDsa, "EdDSA"),
    ];

    /// By its registered name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(algorithm, _)| *algorithm)
    }

    /// Its registered name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(algorithm, _)| *algorithm == self).map_or("", |(_, name)| name)
    }

    /// Both sides know the same secret.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}
