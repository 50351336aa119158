//! TLS of checks: which certificates are trusted, and by what name. What is read from disk is read
//! once, when the first check needs it.

use std::io;
use std::sync::Arc;

use evenkeel_config::model::ProbeTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::probe::{Aim, Miss, blame};

/// The system's certificates, read once for all checks.
#[derive(Clone, Default)]
pub(super) struct Roots(Arc<OnceCell<Arc<RootCertStore>>>);

impl Roots {
    async fn load(&self) -> Arc<RootCertStore> {
        let read = || {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!("health: a certificate of the system is not trusted: {error}");
            }
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(found.certs);
            Arc::new(roots)
        };
        let load = || async {
            tokio::task::spawn_blocking(read)
                .await
                .unwrap_or_else(|_| Arc::new(RootCertStore::empty()))
        };
        self.0.get_or_init(load).await.clone()
    }
}

/// TLS of one kind of check; none at all for those without.
pub(super) struct Tls {
    wanted: Option<(ProbeTls, Vec<Vec<u8>>)>,
    config: OnceCell<Arc<ClientConfig>>,
}

/// How one check speaks TLS.
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    sni: Option<String>,
}

impl Tls {
    pub(super) fn new(tls: Option<&ProbeTls>, alpn: &[&[u8]]) -> Self {
        let protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Self { wanted: tls.map(|tls| (tls.clone(), protocols)), config: OnceCell::new() }
    }

    /// `None` for a check without TLS.
    pub(super) async fn connector(&self, roots: &Roots) -> Result<Option<Connector>, Miss> {
        let Some((tls, alpn)) = &self.wanted else { return Ok(None) };
        let config = self.config.get_or_try_init(|| build(tls, alpn, roots)).await;
        let config = config.map_err(Miss::NotMade)?.clone();
        Ok(Some(Connector { config, sni: tls.sni.clone() }))
    }
}

impl Connector {
    /// Speaks TLS on a connection.
    pub(super) async fn handshake(
        self,
        stream: TcpStream,
        aim: &Aim,
    ) -> Result<TlsStream<TcpStream>, Miss> {
        let name = self.sni.unwrap_or_else(|| aim.host.to_string());
        let server = ServerName::try_from(name.clone())
            .map_err(|_| Miss::NotMade(format!("`{name}` is no name a certificate can have")))?;
        let connector = TlsConnector::from(self.config);
        connector.connect(server, stream).await.map_err(|e| explain(&name, &e))
    }
}

fn explain(name: &str, error: &io::Error) -> Miss {
    use rustls::Error::InvalidCertificate;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let why = match tls {
        Some(InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => format!("certificate is not for `{name}`"),
        Some(InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "certificate has expired".into(),
        Some(InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "certificate is signed by nobody trusted".into()
        }
        Some(error) => format!("TLS: {error}"),
        None => return blame("TLS", error),
    };
    Miss::Failed(why)
}

async fn build(
    tls: &ProbeTls,
    alpn: &[Vec<u8>],
    roots: &Roots,
) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS: {e}"))?;
    let builder = match (tls.verify, &tls.ca) {
        (false, _) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        }
        (true, Some(file)) => builder.with_root_certificates(read(file.clone()).await?),
        (true, None) => builder.with_root_certificates(roots.load().await),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = alpn.to_vec();
    Ok(Arc::new(config))
}

/// The certificates of a file.
async fn read(file: String) -> Result<Arc<RootCertStore>, String> {
    let read = move || {
        let wrong = |e: &dyn std::fmt::Display| format!("ca file `{file}`: {e}");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&file).map_err(|e| wrong(&e))? {
            let certificate = certificate.map_err(|e| wrong(&e))?;
            roots.add(certificate).map_err(|e| wrong(&e))?;
        }
        match roots.is_empty() {
            true => Err(wrong(&"it has no certificate")),
            false => Ok(Arc::new(roots)),
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|e| Err(e.to_string()))
}

/// `verify: false`: whoever answers is the server, so anyone in between may say it is well.
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
