//! What policies read beside the configuration: files, and documents of an authority on the network.
//! Owns which policy names which; what is in one is checked by who can read it.

use super::{Policy, PolicyKind, TokenAlgorithm, TokenKeys};

/// A file or a document that a policy is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Document {
    /// A path, or a URL that begins with `http://` or `https://`; as configured.
    pub place: String,
    /// What is in it.
    pub kind: DocumentKind,
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// Networks, one on each line.
    Networks,
    /// Names and hashes of passwords, `name:hash` on each line.
    Passwords,
    /// Keys that sign tokens (RFC 7517).
    KeySet,
    /// A public key in PEM, for this algorithm.
    PublicKey(TokenAlgorithm),
    /// A MaxMind database that has countries.
    Countries,
}

impl Document {
    /// It is fetched, not read.
    pub fn is_remote(&self) -> bool {
        self.place.starts_with("http://") || self.place.starts_with("https://")
    }
}

impl Policy {
    /// What it reads.
    pub fn documents(&self) -> Vec<Document> {
        let document = |place: &String, kind| Document { place: place.clone(), kind };
        let documents = match &self.kind {
            PolicyKind::Access(access) => [&access.allow_file, &access.deny_file]
                .into_iter()
                .flatten()
                .map(|place| document(place, DocumentKind::Networks))
                .collect(),
            PolicyKind::BasicAuth(auth) => {
                auth.file.iter().map(|place| document(place, DocumentKind::Passwords)).collect()
            }
            PolicyKind::Jwt(jwt) => match &jwt.keys {
                TokenKeys::Set(place) => vec![document(place, DocumentKind::KeySet)],
                TokenKeys::Public(file, algorithm) => {
                    vec![document(file, DocumentKind::PublicKey(*algorithm))]
                }
                TokenKeys::Shared(..) => Vec::new(),
            },
            PolicyKind::Geo(geo) => vec![document(&geo.file, DocumentKind::Countries)],
            _ => Vec::new(),
        };
        // Without a place is what was a mistake, and noted.
        documents.into_iter().filter(|document| !document.place.is_empty()).collect()
    }
}
