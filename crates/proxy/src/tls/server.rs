//! How a listener speaks TLS: versions, key exchange, ALPN, who must show a certificate, and how
//! sessions are resumed. Owns the settings of the TLS library; not where keys come from.

use std::sync::Arc;
#[cfg(feature = "http3")]
use std::sync::OnceLock;

use evenkeel_config::model::{Protocols, TlsVersion};
use evenkeel_runtime::TcpStream;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::certificates::{ACME_TLS, Certificates};
use super::stream::TlsStream;
use super::tickets::Tickets;

/// How a listener speaks TLS.
#[derive(Debug)]
pub struct ServerTls {
    /// For connections over TCP.
    pub config: Arc<ServerConfig>,
    /// Made from it when QUIC first needs it: without and with early data.
    #[cfg(feature = "http3")]
    pub(super) quic: [OnceLock<Arc<ServerConfig>>; 2],
}

/// What a listener's TLS is made of.
pub struct ServerParts {
    /// What clients are shown.
    pub certificates: Arc<Certificates>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// What is offered by ALPN (RFC 7301).
    pub protocols: Protocols,
    /// What is agreed to besides, of listeners that do not speak HTTP.
    pub alpn: Vec<String>,
    /// Who checks what clients show; nobody if they are not asked.
    pub client_auth: Option<Arc<dyn ClientCertVerifier>>,
    /// How sessions are resumed; not at all without.
    pub tickets: Option<Arc<Tickets>>,
}

/// The cryptography that all of TLS uses: of key exchanges X25519MLKEM768 first.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The versions from `min` on.
pub(super) fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_12: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    static FROM_13: &[&SupportedProtocolVersion] = &[&TLS13];
    match min {
        TlsVersion::V12 => FROM_12,
        TlsVersion::V13 => FROM_13,
    }
}

/// Checks what clients show: it leads to one of `roots`, and is not on a list of those revoked. With
/// such lists, an authority without a current one revokes all it signed.
///
/// # Errors
/// When there is no root, or a list cannot be read.
pub fn client_verifier(
    roots: RootCertStore,
    crls: Vec<CertificateRevocationListDer<'static>>,
    optional: bool,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if !crls.is_empty() {
        builder = builder.with_crls(crls).enforce_revocation_expiration();
    }
    if optional {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| error.to_string())
}

impl ServerTls {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When the library refuses them, which validation keeps from happening.
    pub fn new(parts: &ServerParts) -> Result<Self, rustls::Error> {
        let mut config = base(parts, versions(parts.min_version))?;
        config.alpn_protocols = offered(parts);
        Ok(Self {
            config: Arc::new(config),
            #[cfg(feature = "http3")]
            quic: Default::default(),
        })
    }

    /// A client's connection, before its handshake.
    ///
    /// # Errors
    /// When the settings cannot make a session; validation keeps this from happening.
    pub(crate) fn accept(&self, tcp: TcpStream) -> Result<TlsStream, rustls::Error> {
        let session = rustls::ServerConnection::new(self.config.clone())?;
        Ok(TlsStream::new(tcp, session.into()))
    }
}

/// What TCP and QUIC have in common.
fn base(
    parts: &ServerParts,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, rustls::Error> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let builder = match &parts.client_auth {
        Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(parts.certificates.clone());
    // Tickets alone: nothing is kept here for clients that may not come back, and no lock is taken.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match &parts.tickets {
        Some(tickets) => config.ticketer = tickets.clone(),
        None => config.send_tls13_tickets = 0,
    }
    Ok(config)
}

/// In the order of preference.
fn offered(parts: &ServerParts) -> Vec<Vec<u8>> {
    let mut all: Vec<&[u8]> = Vec::new();
    if parts.protocols.h2 {
        all.push(b"h2");
    }
    if parts.protocols.h1 {
        all.extend([&b"http/1.1"[..], b"http/1.0"]);
    }
    all.extend(parts.alpn.iter().map(String::as_bytes));
    if parts.certificates.has_challenges() {
        all.push(ACME_TLS);
    }
    all.into_iter().map(<[u8]>::to_vec).collect()
}
