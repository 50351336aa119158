//! Certificates, keys and what goes with them, as files: read whole, told from what they are not.
//! Owns what is wrong with a file by itself; what it is used for is others' business.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::problem::Problem;

/// Bytes of a file; lists of revoked certificates of large authorities have some.
const SIZE_MAX: u64 = 64 << 20;

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |why: String| Problem::error("unreadable-file", path, why);
    let explain = |error: std::io::Error| {
        unreadable(match error.kind() {
            ErrorKind::NotFound => "there is no such file".into(),
            ErrorKind::PermissionDenied => "this process may not read it".into(),
            _ => format!("it cannot be read: {error}"),
        })
    };
    let file = File::open(path).map_err(explain)?;
    let mut bytes = Vec::new();
    file.take(SIZE_MAX + 1).read_to_end(&mut bytes).map_err(explain)?;
    match bytes.len() as u64 {
        0 => Err(unreadable("it is empty".into())),
        1..=SIZE_MAX => Ok(bytes),
        _ => Err(unreadable("it is larger than 64 MiB".into())),
    }
}

/// The certificates of a file, in their order; at least one.
pub(crate) fn certificates(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Problem> {
    several(path, bytes, "certificate")
}

/// The lists of revoked certificates of a file; at least one.
pub(crate) fn revocation_lists(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, Problem> {
    several(path, bytes, "list of revoked certificates")
}

fn several<T: PemObject>(path: &Path, bytes: &[u8], what: &str) -> Result<Vec<T>, Problem> {
    let found: Result<Vec<T>, _> = T::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Problem::error("bad-pem", path, format!("there is no {what} in this file"))
            .help(hint(bytes, what))),
        Err(error) => Err(Problem::error("bad-pem", path, format!("this is not PEM: {error}"))),
    }
}

/// The private key of a file, and what is doubtful about the file.
pub(crate) fn key(
    path: &Path,
    bytes: &[u8],
) -> Result<(PrivateKeyDer<'static>, Option<Problem>), Problem> {
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Ok((key, readable_by_all(path))),
        Err(rustls_pki_types::pem::Error::NoItemsFound) => {
            let (message, help) = match contains(bytes, b"-----BEGIN ENCRYPTED PRIVATE KEY") {
                true => (
                    "this key is encrypted; its passphrase cannot be given here",
                    "`openssl pkey -in KEY -out NEW` writes it without one; let only this process read it",
                ),
                false => ("there is no private key in this file", hint(bytes, "private key")),
            };
            Err(Problem::error("bad-pem", path, message).help(help))
        }
        Err(error) => Err(Problem::error("bad-pem", path, format!("this is not PEM: {error}"))),
    }
}

fn hint(bytes: &[u8], what: &str) -> &'static str {
    let has = |text: &[u8]| contains(bytes, text);
    match what {
        "certificate" if has(b"PRIVATE KEY-----") => {
            "it has a key: are `cert` and `key` exchanged?"
        }
        "private key" if has(b"-----BEGIN CERTIFICATE") => {
            "it has a certificate: are `cert` and `key` exchanged?"
        }
        _ if !has(b"-----BEGIN") => {
            "it should be PEM, which begins with `-----BEGIN`; `openssl x509 -inform der` reads DER"
        }
        _ => "`openssl` shows what is in it",
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// A key is a secret.
fn readable_by_all(path: &Path) -> Option<Problem> {
    let mode = std::fs::metadata(path).ok()?.mode();
    (mode & 0o007 != 0).then(|| {
        Problem::warning("open-key", path, "every user of this machine may read this key")
            .help("`chmod o= FILE` takes that away")
    })
}
