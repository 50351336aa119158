//! A pool's key material: whom its servers must be known to, and what they are shown.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use evenkeel_config::model::{Pool, PoolProtocol, PoolTls};
use evenkeel_proxy::tls::{ClientSettings, ClientTls, Trust};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::keyring::Occasion;
use super::problem::Problem;
use super::read::Read;
use super::{files, pair};

/// How a pool's servers are spoken to, and what that was made of.
#[derive(Debug)]
pub(super) struct PoolKeys {
    pub(super) tls: Arc<ClientTls>,
    settings: PoolTls,
    protocol: PoolProtocol,
    /// Of the files' bytes.
    digest: u64,
}

/// The files that `tls` names.
pub(super) fn files(tls: &PoolTls) -> Vec<PathBuf> {
    let client = tls.client.iter().flat_map(|files| [&files.cert, &files.key]);
    tls.ca.iter().filter(|_| tls.verify).chain(client).cloned().collect()
}

/// Its material now; `None` if it cannot be made.
pub(super) fn renewed(
    pool: &Pool,
    known: Option<&Arc<PoolKeys>>,
    occasion: Occasion,
    now: SystemTime,
    found: &mut Vec<Problem>,
) -> Option<Arc<PoolKeys>> {
    let settings = pool.tls.as_ref()?;
    let known =
        known.filter(|known| known.settings == *settings && known.protocol == pool.protocol);
    if let (Occasion::Change, Some(known)) = (occasion, known) {
        return Some(known.clone());
    }
    let read = Read::of(files(settings));
    let digest = read.digest();
    if let Some(known) = known
        && known.digest == digest
    {
        return Some(known.clone());
    }
    match client(settings, pool.protocol, &read, now, found) {
        Ok(tls) => Some(Arc::new(PoolKeys {
            tls: Arc::new(tls),
            settings: settings.clone(),
            protocol: pool.protocol,
            digest,
        })),
        Err(problem) => {
            found.push(problem);
            None
        }
    }
}

/// How a client with these settings speaks TLS. Reads files: it may take a while.
pub(crate) fn client_of(settings: &PoolTls, protocol: PoolProtocol) -> Result<ClientTls, Problem> {
    let read = Read::of(files(settings));
    client(settings, protocol, &read, evenkeel_runtime::wall_clock(), &mut Vec::new())
}

fn client(
    settings: &PoolTls,
    protocol: PoolProtocol,
    read: &Read,
    now: SystemTime,
    found: &mut Vec<Problem>,
) -> Result<ClientTls, Problem> {
    if protocol == PoolProtocol::H3 && !cfg!(feature = "http3") {
        let why = "this build speaks no HTTP/3 (feature `http3`): `protocol` must be another";
        return Err(Problem::error("no-http3", Path::new("protocol: h3"), why.to_owned()));
    }
    // All is looked at, so that all is told of.
    let shown = settings.client.as_ref();
    let identity = shown.map(|files| identity((&files.cert, &files.key), read, now, found));
    let trust = match (settings.verify, &settings.ca) {
        (false, _) => Trust::Anyone,
        (true, None) => Trust::Roots(system_roots().clone()),
        (true, Some(path)) => Trust::Roots(roots(path, read.bytes(path)?)?),
    };
    let identity = identity.transpose()?;
    let culprit = shown.map(|files| files.cert.clone()).unwrap_or_default();
    let name = settings.sni.as_ref().and_then(|name| ServerName::try_from(name.clone()).ok());
    let min_version = settings.min_version;
    ClientTls::new(ClientSettings { trust, identity, name, min_version, protocol })
        .map_err(|error| Problem::error("bad-certificate", &culprit, error.to_string()))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(
    (cert, key): (&Path, &Path),
    read: &Read,
    now: SystemTime,
    found: &mut Vec<Problem>,
) -> Result<Identity, Problem> {
    let chain = files::certificates(cert, read.bytes(cert)?)?;
    let (private, doubt) = files::key(key, read.bytes(key)?)?;
    found.extend(doubt);
    let joined = pair::join((cert, key), chain.clone(), private.clone_key(), now)?;
    // Names are no servers' here: that it has none is nothing to tell of.
    found.extend(joined.problems.into_iter().filter(|problem| problem.code != "no-names"));
    Ok((chain, private))
}

/// The authorities of a file.
pub(super) fn roots(path: &Path, bytes: &[u8]) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for root in files::certificates(path, bytes)? {
        roots.add(root).map_err(|error| {
            let why = format!("a certificate in it cannot be trusted: {error}");
            Problem::error("bad-authority", path, why)
        })?;
    }
    Ok(roots)
}

/// Whom the system trusts, read once.
pub(crate) fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!("a certificate of the system is not trusted: {error}");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            tracing::warn!("the system trusts no authority: no server can be verified by it");
        }
        roots
    })
}
