//! What is wrong with a document that a policy is to be made of: asked by whoever reads or fetches it,
//! before it is in force.

use evenkeel_config::model::DocumentKind;

#[cfg(feature = "geo")]
use super::geo;
#[cfg(feature = "jwt")]
use super::jwt;
use super::{basic_auth, network_table};

/// Whether `bytes` are what they should be.
///
/// # Errors
/// Why they are not, in words.
pub fn check(kind: DocumentKind, bytes: &[u8]) -> Result<(), String> {
    match kind {
        DocumentKind::Networks => network_table::read(bytes).map(drop),
        #[cfg(feature = "jwt")]
        DocumentKind::KeySet | DocumentKind::PublicKey(_) => jwt::check(kind, bytes),
        #[cfg(not(feature = "jwt"))]
        DocumentKind::KeySet | DocumentKind::PublicKey(_) => {
            Err("this program was built without `jwt`".into())
        }
        #[cfg(feature = "geo")]
        DocumentKind::Countries => geo::check(bytes),
        #[cfg(not(feature = "geo"))]
        DocumentKind::Countries => Err("this program was built without `geo`".into()),
        DocumentKind::Passwords => basic_auth::read(bytes).map(drop),
    }
}
