//! What is wrong with a document that a policy is to be made of: asked by whoever reads or fetches it,
//! before it is in force.

use evenkeel_config::model::DocumentKind;

use super::{basic_auth, network_table};

/// Whether `bytes` are what they should be.
///
/// # Errors
/// Why they are not, in words.
pub fn check(kind: DocumentKind, bytes: &[u8]) -> Result<(), String> {
    match kind {
        DocumentKind::Networks => network_table::read(bytes).map(drop),
        DocumentKind::Passwords => basic_auth::read(bytes).map(drop),
    }
}
