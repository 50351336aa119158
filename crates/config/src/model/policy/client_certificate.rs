//! `client_certificate`: which of the certificates that are believed come in.

/// Each list that is not empty has to have one that fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Subjects, as RFC 4514 writes them.
    pub subjects: Vec<String>,
    /// Issuers, the same.
    pub issuers: Vec<String>,
    /// Alternative names, with their kind: `DNS:a.example`, `URI:spiffe://…`.
    pub names: Vec<String>,
    /// SHA-256 of whole certificates, in lower-case hexadecimal.
    pub fingerprints: Vec<String>,
}
