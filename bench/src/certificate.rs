//! The certificate that all balancers show: ECDSA on P-256, as most of the web does.

use std::io;
use std::path::Path;

/// Certificate and key, and both in one file, as HAProxy wants them.
pub(crate) const CERTIFICATE: &str = "cert.pem";
pub(crate) const KEY: &str = "key.pem";
pub(crate) const BOTH: &str = "both.pem";

/// Writes them to `directory`.
pub(crate) fn write(directory: &Path) -> io::Result<()> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(directory.join(CERTIFICATE), &certificate)?;
    std::fs::write(directory.join(KEY), &key)?;
    std::fs::write(directory.join(BOTH), certificate + &key)
}
