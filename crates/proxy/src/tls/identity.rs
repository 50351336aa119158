//! Who a client has shown to be by its certificate, as servers are told: `Client-Cert` (RFC 9440) and
//! fields of our own with what applications ask for. Owns their form; whether a certificate is to be
//! believed was decided in the handshake, and that clients cannot send such fields is
//! [`evenkeel_codec::claims`]'s business.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evenkeel_config::model::ForwardedCertificate;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};

/// Bytes of one value; what is longer is left out, as servers refuse long heads.
const VALUE_MAX: usize = 16 * 1024;

/// Field lines about a client's certificate, made once for a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Names in lower case, and values that can stand in a field line.
    pub lines: Vec<(&'static str, Box<str>)>,
    /// What policies compare; nothing if it showed no certificate.
    pub(crate) shown: Option<Shown>,
}

/// Who a client's certificate is for, in the form in which servers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// RFC 4514.
    pub(crate) subject: Box<str>,
    /// RFC 4514.
    pub(crate) issuer: Box<str>,
    /// Alternative names with their kind.
    pub(crate) names: Vec<Box<str>>,
    /// SHA-256 of the whole, in lower-case hexadecimal.
    pub(crate) fingerprint: Box<str>,
}

impl Shown {
    fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = alternatives(&certificate);
        Some(Self {
            subject: distinguished(certificate.subject()).into(),
            issuer: distinguished(certificate.issuer()).into(),
            // A comma inside a name is escaped.
            names: split_names(&names).map(Box::from).collect(),
            fingerprint: hexadecimal(digest::digest(&digest::SHA256, der).as_ref()).into(),
        })
    }
}

/// The names of a list, at the commas that no backslash is before.
fn split_names(list: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    list.split(move |c| {
        let is_end = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    })
    .filter(|name| !name.is_empty())
}

impl Identity {
    /// Of the chain that a client has shown and that was verified.
    pub(crate) fn of(chain: &[CertificateDer<'_>], forward: ForwardedCertificate) -> Self {
        let mut identity = Self::default();
        let Some((first, rest)) = chain.split_first() else { return identity };
        identity.shown = Shown::of(first);
        if forward.details {
            identity.tell(first);
        }
        if forward.certificate {
            identity.add("client-cert", binary(first));
        }
        if forward.chain && !rest.is_empty() {
            let chain: Vec<String> = rest.iter().map(|der| binary(der)).collect();
            identity.add("client-cert-chain", chain.join(", "));
        }
        identity
    }

    fn add(&mut self, name: &'static str, value: String) {
        if !value.is_empty() && value.len() <= VALUE_MAX {
            self.lines.push((name, value.into()));
        }
    }

    fn tell(&mut self, der: &CertificateDer<'_>) {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return };
        self.add("x-client-cert-subject", distinguished(certificate.subject()));
        self.add("x-client-cert-issuer", distinguished(certificate.issuer()));
        self.add("x-client-cert-serial", hexadecimal(certificate.raw_serial()));
        self.add("x-client-cert-san", alternatives(&certificate));
        let fingerprint = digest::digest(&digest::SHA256, der);
        self.add("x-client-cert-fingerprint", hexadecimal(fingerprint.as_ref()));
        let ends = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        if let Some(ends) = UNIX_EPOCH.checked_add(Duration::from_secs(ends.min(253_402_300_799))) {
            self.add("x-client-cert-not-after", httpdate::fmt_http_date(ends));
        }
    }
}

/// How long all certificates of a chain are good; `None` if there is none.
pub(super) fn good_until(chain: &[CertificateDer<'_>]) -> Option<SystemTime> {
    let ends = |der: &CertificateDer<'_>| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let ends = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        UNIX_EPOCH.checked_add(Duration::from_secs(ends))
    };
    chain.iter().filter_map(ends).min()
}

/// A byte sequence (RFC 9651 §3.3.5).
fn binary(der: &CertificateDer<'_>) -> String {
    format!(":{}:", STANDARD.encode(der))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A distinguished name as RFC 4514 has it, the most particular part first. What could be taken for
/// another part, or leave the line, is escaped.
fn distinguished(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter().collect();
    let mut text = String::new();
    for part in parts.iter().rev() {
        let comma = if text.is_empty() { "" } else { "," };
        text.push_str(comma);
        for (at, attribute) in part.iter().enumerate() {
            let plus = if at == 0 { "" } else { "+" };
            let kind = attribute.attr_type().to_id_string();
            let _ = write!(text, "{plus}{}=", short(&kind).unwrap_or(&kind));
            match attribute.as_str() {
                Ok(value) if short(&kind).is_some() => escape(&mut text, value.as_bytes()),
                _ => {
                    let _ = write!(text, "#{}", hexadecimal(attribute.as_slice()));
                }
            }
        }
    }
    text
}

/// RFC 4514 §3, and those that are common besides.
fn short(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// RFC 4514 §2.4: special characters by a backslash, everything beyond visible ASCII by its bytes.
fn escape(text: &mut String, value: &[u8]) {
    for (at, byte) in value.iter().enumerate() {
        let is_edge = at == 0 || at + 1 == value.len();
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' ' if is_edge => text.push_str("\\20"),
            b'#' if at == 0 => text.push_str("\\23"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\{byte:02x}");
            }
        }
    }
}

/// Alternative names with their kind, as `openssl` writes them.
fn alternatives(certificate: &X509Certificate<'_>) -> String {
    let mut text = String::new();
    let names = certificate.subject_alternative_name().ok().flatten();
    for name in names.into_iter().flat_map(|names| &names.value.general_names) {
        let (kind, value): (&str, Vec<u8>) = match name {
            GeneralName::DNSName(name) => ("DNS", name.as_bytes().to_vec()),
            GeneralName::URI(uri) => ("URI", uri.as_bytes().to_vec()),
            GeneralName::RFC822Name(name) => ("email", name.as_bytes().to_vec()),
            GeneralName::IPAddress(address) => match ip(address) {
                Some(address) => ("IP", address.to_string().into_bytes()),
                None => continue,
            },
            _ => continue,
        };
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{kind}:");
        escape(&mut text, &value);
    }
    text
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(<[u8; 4]>::try_from(bytes).ok()?.into()),
        16 => Some(<[u8; 16]>::try_from(bytes).ok()?.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l7_no_value_leaves_its_part_or_its_line() {
        let mut text = String::new();
        escape(&mut text, "a, O=Admin\r\nx: \0é#".as_bytes());
        assert_eq!(text, "a\\, O=Admin\\0d\\0ax: \\00\\c3\\a9#");
        text.clear();
        escape(&mut text, b"# x ");
        assert_eq!(text, "\\23 x\\20");
    }

    #[test]
    fn what_is_no_certificate_tells_nothing() {
        let all = ForwardedCertificate { details: true, certificate: true, chain: true };
        let identity = Identity::of(&[CertificateDer::from(vec![1, 2, 3])], all);
        assert_eq!(identity.lines, [("client-cert", ":AQID:".into())]);
        assert_eq!(Identity::of(&[], all), Identity::default());
    }
}
