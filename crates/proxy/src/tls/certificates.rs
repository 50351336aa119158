//! Which certificate a client is shown. Owns the choice by name and by what the client can check;
//! where certificates come from is the control plane's business, which makes a new set of them when
//! one changes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

/// The protocol in which an ACME authority asks for its challenge (RFC 8737 §3); nothing else is
/// said on such a connection.
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// A certificate, its key, and the names it is shown for.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The chain, the key, and what is stapled to it.
    pub key: Arc<CertifiedKey>,
    /// DNS names, `*.` for any one label; letters in either case.
    pub names: Vec<String>,
}

/// The certificates of a listener.
#[derive(Default)]
pub struct Certificates {
    /// By name, in lower case.
    exact: HashMap<Box<str>, Alternatives>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Alternatives>,
    /// For clients that ask for no name, or for one that none is for.
    default: Alternatives,
    /// The latter are refused.
    strict: bool,
    /// Of ACME authorities, by the name they are about; shown to nobody else.
    challenges: HashMap<Box<str>, Arc<CertifiedKey>>,
}

/// Certificates for the same name, the preferred first.
type Alternatives = Vec<Arc<CertifiedKey>>;

impl Certificates {
    /// The first serves names that none is for, with others of the same first name; unless `strict`.
    pub fn new(certificates: &[Certificate], strict: bool) -> Self {
        let mut all = Self { strict, ..Self::default() };
        for certificate in certificates {
            for name in &certificate.names {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut all.wildcard, parent),
                    None => (&mut all.exact, name.as_str()),
                };
                let alternatives = names.entry(name.into()).or_default();
                if !alternatives.iter().any(|known| Arc::ptr_eq(known, &certificate.key)) {
                    alternatives.push(certificate.key.clone());
                }
            }
        }
        let by_preference =
            |key: &Arc<CertifiedKey>| key.key.algorithm() == SignatureAlgorithm::RSA;
        for alternatives in all.exact.values_mut().chain(all.wildcard.values_mut()) {
            alternatives.sort_by_key(by_preference);
        }
        let first = certificates.first();
        all.default = first.map(|first| vec![first.key.clone()]).unwrap_or_default();
        if let Some(name) = first.and_then(|first| first.names.first()) {
            let same = all.find(&name.to_ascii_lowercase()).cloned();
            all.default = same.unwrap_or(all.default);
        }
        all
    }

    /// With an answer to an authority that asks whether `name` is ours (RFC 8737).
    pub fn with_challenge(mut self, name: &str, key: Arc<CertifiedKey>) -> Self {
        self.challenges.insert(name.to_ascii_lowercase().into(), key);
        self
    }

    /// Whether an authority is waiting for an answer.
    pub fn has_challenges(&self) -> bool {
        !self.challenges.is_empty()
    }

    /// Those for `name` (lower case): exactly, else by a wildcard for its first label alone (RFC
    /// 9525 §6.3).
    fn find(&self, name: &str) -> Option<&Alternatives> {
        let name = name.strip_suffix('.').unwrap_or(name);
        self.exact.get(name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.wildcard.get(parent)
        })
    }

    /// What a client is shown that asks for `name` and can check `schemes`.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let alternatives = match name {
            None => &self.default,
            Some(name) => match self.find(name) {
                Some(alternatives) => alternatives,
                None if self.strict => return None,
                None => &self.default,
            },
        };
        let suits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        // None suits: the handshake says so better than we could.
        alternatives.iter().find(suits).or(alternatives.first()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if !self.challenges.is_empty()
            && hello.alpn().is_some_and(|mut offered| {
                offered.next() == Some(ACME_TLS) && offered.next().is_none()
            })
        {
            return self.challenges.get(hello.server_name()?).cloned();
        }
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = (self.exact.keys(), self.wildcard.keys());
        write!(f, "Certificates({names:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::sign::{Signer, SigningKey};

    #[derive(Debug)]
    struct Key(SignatureAlgorithm);

    impl SigningKey for Key {
        fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            let ours = match self.0 {
                SignatureAlgorithm::RSA => SignatureScheme::RSA_PSS_SHA256,
                _ => SignatureScheme::ECDSA_NISTP256_SHA256,
            };
            let is_ours = |scheme: &&SignatureScheme| **scheme == ours;
            offered.iter().find(is_ours).map(|scheme| Box::new(Mark(*scheme)) as Box<dyn Signer>)
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            self.0
        }
    }

    #[derive(Debug)]
    struct Mark(SignatureScheme);

    impl Signer for Mark {
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rustls::Error> {
            Ok(Vec::new())
        }

        fn scheme(&self) -> SignatureScheme {
            self.0
        }
    }

    fn certificate(mark: u8, algorithm: SignatureAlgorithm, names: &[&str]) -> Certificate {
        let key = CertifiedKey::new(vec![vec![mark].into()], Arc::new(Key(algorithm)));
        Certificate { key: Arc::new(key), names: names.iter().map(|name| (*name).into()).collect() }
    }

    const BOTH: &[SignatureScheme] =
        &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];
    const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];

    fn shown(all: &Certificates, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<u8> {
        let key = all.choose(name, schemes)?;
        key.cert.first()?.first().copied()
    }

    #[test]
    fn an_exact_name_comes_before_a_wildcard_and_that_before_the_first() {
        let all = [
            certificate(1, SignatureAlgorithm::ECDSA, &["first.example"]),
            certificate(2, SignatureAlgorithm::ECDSA, &["*.Shop.example"]),
            certificate(3, SignatureAlgorithm::ECDSA, &["www.shop.example", "shop.example"]),
        ];
        let all = Certificates::new(&all, false);
        for (name, mark) in [
            (Some("www.shop.example"), 3),
            (Some("shop.example"), 3),
            (Some("api.shop.example"), 2),
            (Some("api.shop.example."), 2),
            (Some("a.b.shop.example"), 1), // RFC 9525 §6.3: one label alone
            (Some("other.example"), 1),
            (None, 1),
        ] {
            assert_eq!(shown(&all, name, BOTH), Some(mark), "{name:?}");
        }
    }

    #[test]
    fn strict_names_refuse_a_name_that_none_is_for_but_not_no_name() {
        let all = [certificate(1, SignatureAlgorithm::ECDSA, &["first.example"])];
        let all = Certificates::new(&all, true);
        assert_eq!(shown(&all, Some("other.example"), BOTH), None);
        assert_eq!(shown(&all, Some("first.example"), BOTH), Some(1));
        assert_eq!(shown(&all, None, BOTH), Some(1));
    }

    #[test]
    fn of_two_for_one_name_a_client_gets_what_it_can_check_ecdsa_first() {
        let all = [
            certificate(1, SignatureAlgorithm::RSA, &["*.example", "example"]),
            certificate(2, SignatureAlgorithm::ECDSA, &["example", "*.example"]),
        ];
        let all = Certificates::new(&all, false);
        for name in [Some("example"), Some("a.example"), None] {
            assert_eq!(shown(&all, name, BOTH), Some(2), "{name:?}");
            assert_eq!(shown(&all, name, RSA), Some(1), "{name:?}");
        }
    }
}
