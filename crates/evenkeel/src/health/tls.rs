//! TLS of checks: which certificates are trusted, and by what name. What is read from disk is read
//! once, when the first check needs it; where a check speaks as its pool does, with the pool's own keys.

use std::io;
use std::sync::Arc;

use evenkeel_config::model::{PoolProtocol, PoolTls};
use evenkeel_proxy::tls::ClientTls;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::probe::{Aim, Miss, blame};
use crate::certs;

/// TLS of one kind of check; none at all for those without.
pub(super) struct Tls {
    wanted: Option<Wanted>,
    config: OnceCell<Arc<ClientConfig>>,
}

struct Wanted {
    settings: PoolTls,
    alpn: &'static [u8],
    /// The pool's, if the check speaks as the pool does.
    keys: Option<Arc<ClientTls>>,
}

/// How one check speaks TLS.
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    sni: Option<String>,
}

impl Tls {
    pub(super) fn new(
        settings: Option<&PoolTls>,
        alpn: &'static [u8],
        keys: Option<Arc<ClientTls>>,
    ) -> Self {
        let wanted = settings.map(|settings| Wanted { settings: settings.clone(), alpn, keys });
        Self { wanted, config: OnceCell::new() }
    }

    /// `None` for a check without TLS.
    pub(super) async fn connector(&self) -> Result<Option<Connector>, Miss> {
        let Some(wanted) = &self.wanted else { return Ok(None) };
        let config = self.config.get_or_try_init(|| build(wanted)).await;
        let config = config.map_err(Miss::NotMade)?.clone();
        Ok(Some(Connector { config, sni: wanted.settings.sni.clone() }))
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

async fn build(wanted: &Wanted) -> Result<Arc<ClientConfig>, String> {
    let made = match &wanted.keys {
        Some(keys) => keys.config.clone(),
        None => {
            let settings = wanted.settings.clone();
            let read = move || certs::client_of(&settings, PoolProtocol::H1);
            let read = tokio::task::spawn_blocking(read).await.map_err(|e| e.to_string())?;
            read.map_err(|problem| problem.to_string())?.config
        }
    };
    let mut config = ClientConfig::clone(&made);
    config.alpn_protocols = vec![wanted.alpn.to_vec()];
    Ok(Arc::new(config))
}
