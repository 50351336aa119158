//! Certificates that come from an ACME authority, as a listener has them: kept in a file each, and a
//! placeholder until there is one. A client that is shown a placeholder refuses it; nothing else of the
//! listener waits for the authority.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use evenkeel_config::model::{Acme, ListenerTls};
use evenkeel_proxy::tls::{self, Certificate};
use rcgen::{CertificateParams, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;

use super::problem::{Problem, Weight};
use super::read::Read;
use super::{files, pair};

/// Where the certificate for `name` is kept, with its key: one file, so that they always belong
/// together.
pub(super) fn path(storage: &Path, name: &str) -> PathBuf {
    storage.join(format!("{name}.pem"))
}

/// The files of all names of a listener.
pub(super) fn paths(tls: &ListenerTls, acme: Option<&Acme>) -> Vec<PathBuf> {
    let all = acme.map(|acme| tls.acme.iter().map(|name| path(&acme.storage, name)));
    all.into_iter().flatten().collect()
}

/// One for each name.
pub(super) fn certificates(
    tls: &ListenerTls,
    acme: Option<&Acme>,
    read: &Read,
    now: SystemTime,
    found: &mut Vec<Problem>,
) -> Vec<Certificate> {
    let Some(acme) = acme else { return Vec::new() };
    let mut all = Vec::new();
    for name in &tls.acme {
        let path = path(&acme.storage, name);
        let made = match kept(&path, name, read, now, found) {
            Ok(certificate) => Ok(certificate),
            Err(problem) => {
                if path.exists() {
                    found.push(Problem { weight: Weight::Warning, ..problem });
                }
                placeholder(name)
            }
        };
        match made {
            Ok(certificate) => all.push(certificate),
            Err(why) => found.push(Problem::warning("no-certificate", &path, why)),
        }
    }
    all
}

fn kept(
    path: &Path,
    name: &str,
    read: &Read,
    now: SystemTime,
    found: &mut Vec<Problem>,
) -> Result<Certificate, Problem> {
    let bytes = read.bytes(path)?;
    let chain = files::certificates(path, bytes)?;
    let (key, _) = files::key(path, bytes)?;
    let pair = pair::join((path, path), chain, key, now)?;
    // That it ends soon is known: it is replaced in time. One that is out of date is still the best
    // there is.
    let problems = pair.problems.into_iter().filter(|problem| problem.code != "ends-soon");
    found.extend(problems.map(|problem| Problem { weight: Weight::Warning, ..problem }));
    Ok(Certificate { key: Arc::new(pair.key), names: vec![name.to_owned()] })
}

fn placeholder(name: &str) -> Result<Certificate, String> {
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let made = CertificateParams::new(vec![name.to_owned()]);
    let made = made.and_then(|params| params.self_signed(&key)).map_err(|e| e.to_string())?;
    let key = Arc::new(certified(&made, &key)?);
    Ok(Certificate { key, names: vec![name.to_owned()] })
}

/// As TLS has it.
pub(super) fn certified(made: &rcgen::Certificate, key: &KeyPair) -> Result<CertifiedKey, String> {
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let private = tls::provider().key_provider.load_private_key(private);
    let private = private.map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(vec![made.der().clone()], private))
}
