//! TLS and the versions of HTTP, of listeners and of pools. Paths are as written; whether the files
//! can be used is asked when they are read.

use std::path::PathBuf;
use std::time::Duration;

use super::{Listener, ListenerKind};

/// The versions of HTTP that a listener's clients may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// HTTP/1.0 and HTTP/1.1.
    pub h1: bool,
    /// HTTP/2: over TLS by ALPN, without by prior knowledge.
    pub h2: bool,
    /// HTTP/3, over UDP at the same addresses; needs TLS 1.3.
    pub h3: bool,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTls {
    /// The oldest version taken; TLS 1.2.
    pub min_version: TlsVersion,
    /// Certificates from files. The first serves names that none is for, unless `strict_names`.
    pub certificates: Vec<CertificateFiles>,
    /// Names for which certificates come from the ACME authority.
    pub acme: Vec<String>,
    /// A client that asks for a name that no certificate is for is refused; off.
    pub strict_names: bool,
    /// Clients show certificates; none by default.
    pub client_auth: Option<ClientAuth>,
    /// How sessions are resumed.
    pub tickets: Tickets,
    /// `Strict-Transport-Security` (RFC 6797) on every response; none by default.
    pub hsts: Option<Hsts>,
    /// Requests in early data (RFC 8470), over HTTP/3; off.
    pub early_data: bool,
}

impl Listener {
    /// Of URIs that lead to it.
    pub fn scheme(&self) -> &'static str {
        match (&self.kind, self.tls.is_some()) {
            (ListenerKind::Http, true) => "https",
            (ListenerKind::Http, false) => "http",
            (ListenerKind::Udp(_), _) => "udp",
            (_, true) => "tls",
            (_, false) => "tcp",
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    V12,
    /// RFC 8446.
    V13,
}

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// A DER-coded OCSP response to staple (RFC 6066 §8).
    pub ocsp: Option<PathBuf>,
}

/// Whose certificates clients show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// The authorities that are trusted, in PEM.
    pub ca: PathBuf,
    /// A client without one is served too.
    pub optional: bool,
    /// Lists of revoked certificates, in PEM.
    pub crl: Vec<PathBuf>,
    /// What servers are told about the client's certificate.
    pub forward: ForwardedCertificate,
}

/// What servers are told about a client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardedCertificate {
    /// `X-Client-Cert-Subject` and the like; on.
    pub details: bool,
    /// `Client-Cert` (RFC 9440 §2.2); off.
    pub certificate: bool,
    /// `Client-Cert-Chain` (RFC 9440 §2.3); off.
    pub chain: bool,
}

/// Where requests that are not encrypted are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// Where `https` is served; 443, which is not written.
    pub port: u16,
    /// 308, which keeps the method, or 301.
    pub status: u16,
}

/// How sessions are resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tickets {
    /// Sessions may be resumed; on.
    pub enabled: bool,
    /// A file of 32-byte keys in hexadecimal or base64, one a line, that instances share: the first
    /// seals, all open. Without it each process makes and rotates its own.
    pub keys: Option<PathBuf>,
    /// How long a ticket is good, and a key of our own seals; 12 h.
    pub lifetime: Duration,
}

/// `Strict-Transport-Security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// 1 year.
    pub max_age: Duration,
    /// `includeSubDomains`; off.
    pub subdomains: bool,
    /// `preload`; off.
    pub preload: bool,
}

/// How a pool's servers are spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTls {
    /// The authorities that are trusted, in PEM; the system's without it.
    pub ca: Option<PathBuf>,
    /// The name asked for and verified; without it that of the server, or its address.
    pub sni: Option<String>,
    /// Certificates are verified; on.
    pub verify: bool,
    /// What we show a server that asks.
    pub client: Option<CertificateFiles>,
    /// The oldest version taken; TLS 1.2.
    pub min_version: TlsVersion,
}

/// The version of HTTP that a pool's servers are spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolProtocol {
    /// HTTP/1.1 (the default).
    H1,
    /// HTTP/2, over TLS or with prior knowledge.
    H2,
    /// HTTP/2 where the server takes it by ALPN, else HTTP/1.1; needs TLS.
    Auto,
    /// HTTP/3; needs TLS.
    H3,
}

/// Where certificates come from by themselves (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The authority's directory; Let's Encrypt's.
    pub directory: String,
    /// Whom the authority may write to.
    pub contact: Vec<String>,
    /// Where accounts, keys and certificates are kept.
    pub storage: PathBuf,
    /// How the authority makes sure that a name is ours; what fits the listeners without it.
    pub challenge: Option<AcmeChallenge>,
    /// The authorities that the directory's own certificate is trusted by; the system's without it.
    pub ca: Option<PathBuf>,
}

/// How an ACME authority makes sure that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// By a request at port 80 (RFC 8555 §8.3).
    Http01,
    /// By a TLS handshake at port 443 (RFC 8737).
    TlsAlpn01,
}
