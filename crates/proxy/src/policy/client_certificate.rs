//! `client_certificate`: lets in whose certificate, which was verified in the handshake, is one of those
//! that are named.

use evenkeel_config::model;

use super::{Policy, Steps, Verdict};
use crate::failure::{Failure, Reason};
use crate::http::exchange::Exchange;
use crate::tls::Shown;

/// See the module's head.
pub(super) struct ClientCertificate(model::ClientCertificate);

impl ClientCertificate {
    pub(super) fn compile(rules: &model::ClientCertificate) -> Self {
        Self(rules.clone())
    }

    fn fits(&self, shown: &Shown) -> bool {
        let rules = &self.0;
        let one = |list: &[String], value: &str| {
            list.is_empty() || list.iter().any(|wanted| wanted == value)
        };
        let named = rules.names.is_empty()
            || shown.names.iter().any(|name| rules.names.iter().any(|wanted| **wanted == **name));
        one(&rules.subjects, &shown.subject)
            && one(&rules.issuers, &shown.issuer)
            && one(&rules.fingerprints, &shown.fingerprint)
            && named
    }
}

impl Policy for ClientCertificate {
    fn steps(&self) -> Steps {
        Steps { admit: true, ..Steps::default() }
    }

    fn admit<'e>(&'e self, exchange: &'e mut Exchange<'_>) -> Verdict<'e> {
        let session = exchange.connection.tls.get();
        match session.and_then(|session| session.client.shown.as_ref()) {
            Some(shown) if self.fits(shown) => Verdict::Pass,
            _ => Verdict::Refuse(Failure::new(Reason::CertificateDenied)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_that_is_written_has_to_have_one_that_fits() {
        let shown = Shown {
            subject: "CN=billing,O=Example".into(),
            issuer: "CN=ca".into(),
            names: vec!["DNS:a.example".into(), "URI:spiffe://x/billing".into()],
            fingerprint: "ab".repeat(32).into(),
        };
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let fits = |subjects: &[&str], names: &[&str], fingerprints: &[&str]| {
            let rules = model::ClientCertificate {
                subjects: list(subjects),
                issuers: Vec::new(),
                names: list(names),
                fingerprints: list(fingerprints),
            };
            ClientCertificate::compile(&rules).fits(&shown)
        };
        assert!(fits(&["CN=other", "CN=billing,O=Example"], &[], &[]));
        assert!(!fits(&["CN=billing"], &[], &[]), "a part of a subject is another subject");
        assert!(fits(&[], &["URI:spiffe://x/billing"], &[&"ab".repeat(32)]));
        assert!(!fits(&["CN=billing,O=Example"], &["DNS:b.example"], &[]));
    }
}
