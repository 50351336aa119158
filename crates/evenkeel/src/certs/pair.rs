//! A certificate chain and its key, looked at as a client would: do they belong together, are they in
//! order and in time, for whom are they.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evenkeel_proxy::tls;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::problem::Problem;

/// A certificate that ends within this time is told of.
const ENDS_SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// A chain and its key that can be shown to clients.
pub(crate) struct Pair {
    pub(crate) key: CertifiedKey,
    /// DNS names of the first certificate.
    pub(crate) names: Vec<String>,
    /// Of the first certificate.
    pub(crate) serial: Vec<u8>,
    /// When the first of them ends.
    pub(crate) until: Option<SystemTime>,
    /// What is doubtful about it.
    pub(crate) problems: Vec<Problem>,
}

/// Puts a chain and its key together.
pub(crate) fn join(
    (cert, key): (&Path, &Path),
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
    now: SystemTime,
) -> Result<Pair, Problem> {
    let parsed: Result<Vec<_>, _> =
        chain.iter().map(|der| X509Certificate::from_der(der)).collect();
    let parsed = parsed.map_err(|error| {
        Problem::error("bad-certificate", cert, format!("this is no X.509 certificate: {error}"))
    })?;
    let parsed: Vec<X509Certificate<'_>> = parsed.into_iter().map(|(_, parsed)| parsed).collect();
    let private = tls::provider().key_provider.load_private_key(private).map_err(|error| {
        Problem::error("bad-key", key, format!("this key cannot be used: {error}"))
            .help("RSA from 2048 bits, ECDSA on P-256, P-384 and P-521, and Ed25519 are known")
    })?;
    let mut problems = Vec::new();
    if let Some(first) = parsed.first() {
        problems.extend(out_of_date(&parsed, cert, now));
        problems.extend(disorder(&parsed, cert));
        problems.extend(nameless(first, cert));
    }
    let names = parsed.first().map(dns_names).unwrap_or_default();
    let serial = parsed.first().map(|first| first.raw_serial().to_vec()).unwrap_or_default();
    let ends = parsed.iter().map(|one| one.validity().not_after.timestamp());
    let ends = ends.filter_map(|end| u64::try_from(end).ok()).min();
    let until = ends.and_then(|end| UNIX_EPOCH.checked_add(Duration::from_secs(end)));
    drop(parsed);
    let pair = CertifiedKey::new(chain, private);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Pair { key: pair, names, serial, until, problems })
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(mismatch(cert, key, pair)),
        Err(error) => Err(Problem::error("bad-certificate", cert, error.to_string())),
    }
}

fn mismatch(cert: &Path, key: &Path, pair: CertifiedKey) -> Problem {
    let message = format!("the key does not belong to the certificate in {}", cert.display());
    let problem = Problem::error("key-mismatch", key, message);
    let of_another = |der: &CertificateDer<'static>| {
        CertifiedKey::new(vec![der.clone()], Arc::clone(&pair.key)).keys_match().is_ok()
    };
    match pair.cert.iter().skip(1).any(of_another) {
        true => {
            problem.help("it belongs to a later one of the chain: the server's own comes first")
        }
        false => problem.help("a new certificate often comes with a new key"),
    }
}

fn out_of_date(chain: &[X509Certificate<'_>], path: &Path, now: SystemTime) -> Option<Problem> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    let problem = chain.iter().enumerate().find_map(|(at, certificate)| {
        let which = match at {
            0 => "the certificate".to_owned(),
            _ => format!("certificate {} of the chain", at + 1),
        };
        let (from, to) = (certificate.validity().not_before, certificate.validity().not_after);
        let left = seconds(to.timestamp()).checked_sub(now);
        match left {
            _ if seconds(from.timestamp()) > now => {
                Some(Problem::out_of_date(path, format!("{which} is not valid before {from}")))
            }
            None => Some(Problem::out_of_date(path, format!("{which} expired on {to}"))),
            Some(left) if left < ENDS_SOON.as_secs() => {
                let message = format!("{which} ends soon: on {to}");
                Some(Problem::warning("ends-soon", path, message))
            }
            Some(_) => None,
        }
    });
    problem.map(|problem| match problem.code {
        "ends-soon" => problem,
        _ => problem.help("clients refuse it; `date` shows whether this machine's clock is right"),
    })
}

/// Each certificate signs the one before it (RFC 8446 §4.4.2).
fn disorder(chain: &[X509Certificate<'_>], path: &Path) -> Option<Problem> {
    let pairs = chain.iter().zip(chain.iter().skip(1)).zip(2..);
    let broken =
        pairs.into_iter().find(|((one, next), _)| one.issuer().as_raw() != next.subject().as_raw());
    broken.map(|(_, at)| {
        let message = format!(
            "the chain is out of order: certificate {at} did not sign the one before it"
        );
        Problem::warning("chain-order", path, message)
            .help("the server's own comes first, then the one that signed it, and so on; some clients insist on it")
    })
}

fn nameless(first: &X509Certificate<'_>, path: &Path) -> Option<Problem> {
    let has_any = general_names(first, |_| Some(())).next().is_some();
    (!has_any).then(|| {
        Problem::warning("no-names", path, "the certificate names no host (subjectAltName)")
            .help("clients no longer look at its common name (RFC 9525)")
    })
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    general_names(certificate, |name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    })
    .collect()
}

fn general_names<'c, T>(
    certificate: &'c X509Certificate<'_>,
    take: impl Fn(&GeneralName<'_>) -> Option<T> + 'c,
) -> impl Iterator<Item = T> + 'c {
    let extension = certificate.subject_alternative_name().ok().flatten();
    extension.into_iter().flat_map(|names| &names.value.general_names).filter_map(take)
}
