//! TLS to servers over QUIC (RFC 9001): the same trust and identity as over TCP. Owns the difference: the
//! QUIC library passes on what was wrong with a certificate as text alone, so the reason is in it.

use std::fmt;
use std::sync::Arc;

use quinn::ConnectionError;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::client::{ClientTls, Complaint, is_refusal, of_alert, of_certificate};
use crate::failure::Reason;

/// Around the reason in the library's text; in nothing that a certificate's names are shown as.
const MARK: char = '\u{1f}';

/// Reasons that a certificate can be refused for.
const REASONS: [Reason; 3] =
    [Reason::UpstreamTlsName, Reason::UpstreamTlsExpired, Reason::UpstreamTlsUntrusted];

impl ClientTls {
    /// What a QUIC connection to a server of this name is made with, and whom the server must prove to
    /// be.
    pub(crate) fn for_quic(
        &self,
        own: Option<&ServerName<'static>>,
    ) -> Result<(Arc<QuicClientConfig>, Box<str>), Complaint> {
        let name = self.name_of(own)?.to_str().into();
        let crypto = QuicClientConfig::try_from(self.config.clone()).map_err(|error| {
            let text = error.to_string(); // TLS 1.3 is always among what is spoken
            Complaint { reason: Reason::UpstreamTlsHandshake, text: text.into() }
        })?;
        Ok((Arc::new(crypto), name))
    }
}

impl Complaint {
    /// About a QUIC connection that ended because of TLS: of our verification of the server, or by an
    /// alert of either side (RFC 9001 §4.8).
    pub(crate) fn of_quic(error: &ConnectionError) -> Option<Self> {
        let handshake =
            |text: String| Some(Self { reason: Reason::UpstreamTlsHandshake, text: text.into() });
        match error {
            ConnectionError::TransportError(error) => {
                let alert = alert(error.code.into())?;
                told(&error.reason).or_else(|| match alert {
                    AlertDescription::NoApplicationProtocol => {
                        handshake("it does not take HTTP/3 (ALPN `h3`): `protocol`".to_owned())
                    }
                    _ => handshake(error.reason.clone()),
                })
            }
            ConnectionError::ConnectionClosed(closed) => {
                handshake(of_alert(alert(closed.error_code.into())?))
            }
            ConnectionError::VersionMismatch => {
                handshake("it speaks other versions of QUIC".to_owned())
            }
            _ => None,
        }
    }
}

/// Whether the server has ended a connection because of our certificate: then it has read nothing of a
/// request on it.
pub(crate) fn refuses_certificate(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::ConnectionClosed(closed) => {
            alert(closed.error_code.into()).is_some_and(is_refusal)
        }
        _ => false,
    }
}

/// CRYPTO_ERROR (RFC 9001 §4.8).
fn alert(code: u64) -> Option<AlertDescription> {
    let alert = code.checked_sub(0x100)?;
    u8::try_from(alert).ok().map(AlertDescription::from)
}

/// What [`Told`] said.
fn told(text: &str) -> Option<Complaint> {
    let (_, marked) = text.split_once(MARK)?;
    let (word, text) = marked.split_once(MARK)?;
    let (text, _) = text.split_once(MARK)?;
    let reason = REASONS.into_iter().find(|reason| reason.word() == word)?;
    Some(Complaint { reason, text: text.into() })
}

/// Verifies as the library does, and says for which reason not.
#[derive(Debug)]
pub(super) struct Telling(Arc<WebPkiServerVerifier>);

impl Telling {
    /// # Errors
    /// When nobody is trusted.
    pub(super) fn of(
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, Error> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|error| Error::General(error.to_string()))?;
        Ok(Arc::new(Self(verifier)))
    }
}

/// A complaint on its way through the library, which shows it as one shows things to developers.
struct Told(Complaint);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}{}{MARK}{}{MARK}", self.0.reason.word(), self.0.text)
    }
}

impl std::error::Error for Told {}

impl ServerCertVerifier for Telling {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.verify_server_cert(certificate, more, name, ocsp, now).map_err(|error| match error {
            Error::InvalidCertificate(error) => {
                let (reason, text) = of_certificate(&error);
                let told = Told(Complaint { reason, text: text.into() });
                CertificateError::Other(OtherError(Arc::new(told))).into()
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
