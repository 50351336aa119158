//! TLS to servers: what a pool's settings make of a handshake, and what is said when there is none.
//! Owns whom a server must prove to be; not how long it may take, nor what its failure means.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use evenkeel_config::model::{PoolProtocol, TlsVersion};
use evenkeel_runtime::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    RootCertStore, SignatureScheme, SupportedProtocolVersion,
};

use super::TlsStream;
use crate::failure::Reason;

/// Names of a certificate that a complaint lists; it may have thousands.
const NAMES_SHOWN: usize = 8;

/// How a pool's servers are spoken to.
#[derive(Debug)]
pub struct ClientTls {
    /// For connections over TCP, and over QUIC.
    pub config: Arc<ClientConfig>,
    /// The same, offering HTTP/1 alone.
    h1: Arc<ClientConfig>,
    /// The same, offering nothing.
    raw: Arc<ClientConfig>,
    /// The name asked for and verified, instead of the server's own.
    pub name: Option<ServerName<'static>>,
    /// HTTP/2 it must be.
    needs_h2: bool,
}

/// What [`ClientTls`] is made of; everything is read and parsed.
#[derive(Debug)]
pub struct ClientSettings {
    /// Whose word is taken for who a server is.
    pub trust: Trust,
    /// The chain and the key that a server is shown if it asks.
    pub identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// The name asked for and verified, instead of the server's own.
    pub name: Option<ServerName<'static>>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// What is offered by ALPN (RFC 7301).
    pub protocol: PoolProtocol,
}

/// Whose word is taken for who a server is.
#[derive(Debug)]
pub enum Trust {
    /// These authorities'.
    Roots(RootCertStore),
    /// Nobody's is needed: whoever answers is the server.
    Anyone,
}

/// What a server is offered by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// What the pool speaks.
    Pool,
    /// HTTP/1, whatever the pool would rather speak.
    Http1,
    /// Nothing: what is spoken is the client's business.
    Nothing,
}

impl ClientTls {
    /// # Errors
    /// When the key does not belong to the certificate, or cannot be used.
    pub fn new(settings: ClientSettings) -> Result<Self, rustls::Error> {
        let ClientSettings { trust, identity, name, min_version, protocol } = settings;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions: &[&SupportedProtocolVersion] = match (min_version, protocol) {
            (TlsVersion::V13, _) | (_, PoolProtocol::H3) => &[&TLS13],
            (TlsVersion::V12, _) => &[&TLS13, &TLS12],
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?;
        let builder = match trust {
            #[cfg(feature = "http3")]
            Trust::Roots(roots) if protocol == PoolProtocol::H3 => {
                let verifier = super::quic_client::Telling::of(roots, provider)?;
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
            Trust::Roots(roots) => builder.with_root_certificates(roots),
            Trust::Anyone => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            }
        };
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        let offered: &[&[u8]] = match protocol {
            PoolProtocol::H1 => &[b"http/1.1"],
            PoolProtocol::H2 => &[b"h2"],
            PoolProtocol::Auto => &[b"h2", b"http/1.1"],
            PoolProtocol::H3 => &[b"h3"],
        };
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let mut h1 = config.clone();
        h1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut raw = config.clone();
        raw.alpn_protocols = Vec::new();
        let (config, h1, raw) = (Arc::new(config), Arc::new(h1), Arc::new(raw));
        Ok(Self { config, h1, raw, name, needs_h2: protocol == PoolProtocol::H2 })
    }

    /// A connection to a server of this name, before its handshake.
    pub(crate) fn connect(
        &self,
        tcp: TcpStream,
        own: Option<&ServerName<'static>>,
        offer: Offer,
    ) -> Result<TlsStream, Complaint> {
        let name = self.name_of(own)?;
        let config = match offer {
            Offer::Pool => &self.config,
            Offer::Http1 => &self.h1,
            Offer::Nothing => &self.raw,
        };
        let session = ClientConnection::new(config.clone(), name.clone());
        let session = session.map_err(|error| Complaint::of(&error))?;
        Ok(TlsStream::new(tcp, session.into()))
    }

    /// Whom a server of this name must prove to be.
    pub(super) fn name_of<'n>(
        &'n self,
        own: Option<&'n ServerName<'static>>,
    ) -> Result<&'n ServerName<'static>, Complaint> {
        let text = "its name is none that a certificate can have; give the pool `tls.sni`";
        let missing = || Complaint { reason: Reason::UpstreamTlsName, text: text.into() };
        self.name.as_ref().or(own).ok_or_else(missing)
    }

    /// What is wrong with a handshake that came to its end.
    pub(crate) fn complain(&self, stream: &TlsStream) -> Option<Complaint> {
        if !self.needs_h2 || stream.has_agreed_on(b"h2") {
            return None;
        }
        let text = "it does not take HTTP/2 (ALPN `h2`); `protocol: auto` takes what it offers";
        Some(Complaint { reason: Reason::UpstreamTlsHandshake, text: text.into() })
    }
}

/// Why there is no TLS with a server.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub(crate) reason: Reason,
    /// Exactly what was wrong, for the process log.
    pub(crate) text: Box<str>,
}

impl Complaint {
    /// About a handshake that broke off.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        if let Some(error) = tls_error(error) {
            return Self::of(error);
        }
        let text = match error.kind() {
            io::ErrorKind::UnexpectedEof => "it closed the connection during the handshake".into(),
            _ => format!("the connection broke during the handshake: {error}"),
        };
        Self { reason: Reason::UpstreamTlsHandshake, text: text.into() }
    }

    fn of(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        let (reason, text) = match error {
            E::InvalidCertificate(error) => of_certificate(error),
            E::AlertReceived(alert) => (Reason::UpstreamTlsHandshake, of_alert(*alert)),
            E::InvalidMessage(_) => {
                let text = format!("what it sent is no TLS ({error}); does it speak plain HTTP?");
                (Reason::UpstreamTlsHandshake, text)
            }
            error => (Reason::UpstreamTlsHandshake, error.to_string()),
        };
        Self { reason, text: text.into() }
    }
}

/// What a server says against the request's connection after the handshake was over for us: with
/// TLS 1.3 it judges our certificate only then (RFC 8446 §4.4.2.4). Nothing of a request was read.
pub(crate) fn refusal(error: &io::Error) -> Option<Complaint> {
    match tls_error(error)? {
        rustls::Error::AlertReceived(alert) if is_refusal(*alert) => {
            Some(Complaint { reason: Reason::UpstreamTlsHandshake, text: of_alert(*alert).into() })
        }
        _ => None,
    }
}

/// Said about our certificate, and of nothing that comes after it.
pub(super) fn is_refusal(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::CertificateRequired
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::HandshakeFailure
            | A::DecryptError
    )
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

pub(super) fn of_alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let hint = match alert {
        A::CertificateRequired => "; it wants a client certificate: `tls.client`",
        A::HandshakeFailure => "; it may want a client certificate, or other versions or ciphers",
        A::BadCertificate | A::CertificateUnknown | A::UnknownCA | A::CertificateExpired => {
            "; it does not accept our certificate: `tls.client`"
        }
        A::ProtocolVersion => "; it speaks other versions of TLS: `tls.min_version`",
        A::UnrecognisedName => "; it does not know the name it was asked for: `tls.sni`",
        A::NoApplicationProtocol => "; it does not speak this version of HTTP: `protocol`",
        _ => "",
    };
    format!("it refused the handshake with the alert {alert:?}{hint}")
}

pub(super) fn of_certificate(error: &CertificateError) -> (Reason, String) {
    use CertificateError as E;
    match error {
        E::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            let names = Names(presented);
            let text = format!("its certificate is not for `{expected}` but for {names}");
            (Reason::UpstreamTlsName, text)
        }
        E::NotValidForName => {
            (Reason::UpstreamTlsName, "its certificate is for another name".into())
        }
        E::ExpiredContext { not_after, .. } => {
            let text = format!("its certificate expired on {}", date(*not_after));
            (Reason::UpstreamTlsExpired, text)
        }
        E::NotValidYetContext { not_before, .. } => {
            let text = format!("its certificate is not valid before {}", date(*not_before));
            (Reason::UpstreamTlsExpired, text)
        }
        E::Expired | E::NotValidYet => (Reason::UpstreamTlsExpired, error.to_string()),
        E::UnknownIssuer => {
            let text = "its certificate is signed by nobody who is trusted: `tls.ca`";
            (Reason::UpstreamTlsUntrusted, text.into())
        }
        E::BadSignature => {
            let text = "its certificate is signed by nobody who is trusted, but by another of the same name: `tls.ca`";
            (Reason::UpstreamTlsUntrusted, text.into())
        }
        error => {
            (Reason::UpstreamTlsUntrusted, format!("its certificate cannot be trusted: {error}"))
        }
    }
}

/// As in HTTP.
fn date(time: UnixTime) -> String {
    // Certificates can name years that the format cannot.
    const LAST: u64 = 253_402_300_799;
    let since = Duration::from_secs(time.as_secs().min(LAST));
    httpdate::fmt_http_date(UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH))
}

struct Names<'n>(&'n [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no name at all");
        }
        for (n, name) in self.0.iter().take(NAMES_SHOWN).enumerate() {
            // The library has it as `DnsName("a.example")`, `IpAddress(10.0.0.1)`.
            let bare = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
            let bare = bare.unwrap_or(name).trim_matches('"').escape_debug();
            write!(f, "{}`{bare}`", if n > 0 { ", " } else { "" })?;
        }
        match self.0.len().saturating_sub(NAMES_SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// `verify: false`: whoever answers is the server.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
