//! What policies read beside the configuration: files, and documents of an authority on the network.
//! Owns which policy names which; what is in one is checked by who can read it.

use super::{Policy, PolicyKind};

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
        match &self.kind {
            PolicyKind::Access(access) => [&access.allow_file, &access.deny_file]
                .into_iter()
                .flatten()
                .map(|place| document(place, DocumentKind::Networks))
                .collect(),
            PolicyKind::BasicAuth(auth) => {
                auth.file.iter().map(|place| document(place, DocumentKind::Passwords)).collect()
            }
            _ => Vec::new(),
        }
    }
}
