//! `client_certificate`.

use crate::diagnostic::Diagnostic;
use crate::model::ClientCertificate;
use crate::option::CLIENT_CERTIFICATE;
use crate::read::{Findings, Options, first_line, one_or_many, text};
use crate::tree::Node;

pub(super) fn read(node: &Node, found: &mut Findings) -> ClientCertificate {
    let options = Options::read(node, &CLIENT_CERTIFICATE, found);
    let mut list = |key: &str, good: &dyn Fn(&str) -> Option<String>, help: &str| {
        let mut all = Vec::new();
        for node in options.node(key).map(one_or_many).unwrap_or_default() {
            let Some(written) = text(node, found) else { continue };
            match good(written) {
                Some(value) => all.push(value),
                None => found.push(
                    Diagnostic::error("bad-value", node.span, format!("`{written}` never fits"))
                        .help(help),
                ),
            }
        }
        all
    };
    let distinguished = |text: &str| text.contains('=').then(|| text.to_owned());
    let help =
        "write it as RFC 4514 has it, the most particular part first: `CN=billing,O=Example`";
    let rules = ClientCertificate {
        subjects: list("subjects", &distinguished, help),
        issuers: list("issuers", &distinguished, help),
        names: list(
            "names",
            &|text| {
                let kinds = ["DNS:", "URI:", "email:", "IP:"];
                kinds.iter().any(|kind| text.starts_with(kind)).then(|| text.to_owned())
            },
            "write the kind before it: `DNS:`, `URI:`, `email:` or `IP:`",
        ),
        fingerprints: list(
            "fingerprints",
            &|text| {
                let digits: String = text.chars().filter(|c| *c != ':').collect();
                let is_digest = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                is_digest.then(|| digits.to_ascii_lowercase())
            },
            "`openssl x509 -noout -fingerprint -sha256 -in CERT` writes 32 bytes in hexadecimal",
        ),
    };
    if options.written().next().is_none() {
        found.push(
            Diagnostic::error("says-nothing", first_line(node.span), "this names no certificate")
                .help("write `subjects`, `issuers`, `names` or `fingerprints`"),
        );
    }
    rules
}
