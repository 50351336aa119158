//! Certificates from an ACME authority: which one, and for which names.

use super::tls::file;
use super::upstream_tls::is_name;
use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Acme, AcmeChallenge, Config};
use crate::option::ACME;
use crate::read::{Findings, Options, one_or_many, text};
use crate::tree::Node;

/// The section `acme`.
pub(super) fn read(node: &Node, found: &mut Findings) -> Option<Acme> {
    let options = Options::read(node, &ACME, found);
    let directory = options.text("directory", found).unwrap_or_default();
    if !directory.starts_with("https://") || directory.contains(char::is_whitespace) {
        let message = format!("`{directory}` is no address of an authority");
        found.push(
            Diagnostic::error("bad-value", options.span_of("directory"), message)
                .help("it begins with `https://`; `ca` names whom to trust if it is not public"),
        );
    }
    let nodes = options.node("contact").map(one_or_many).unwrap_or_default();
    let contact = nodes.iter().filter_map(|node| mail(node, found)).collect();
    let storage = options.text("storage", found).filter(|path| !path.is_empty());
    Some(Acme {
        directory,
        contact,
        challenge: options.choice("challenge", found).map(|word| match word {
            "http-01" => AcmeChallenge::Http01,
            _ => AcmeChallenge::TlsAlpn01,
        }),
        ca: file(&options, "ca", "acme", found),
        storage: storage?.into(),
    })
}

fn mail(node: &Node, found: &mut Findings) -> Option<String> {
    let written = text(node, found)?;
    let address = written.strip_prefix("mailto:").unwrap_or(written);
    let is_mail = address.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && is_name(host) && !address.contains([' ', ',', '?'])
    });
    if !is_mail {
        found.error("bad-value", node.span, format!("`{written}` is no mail address"));
        return None;
    }
    Some(address.to_owned())
}

/// `tls.acme` of a listener: names in lower case, each once.
pub(super) fn names(options: &Options<'_>, found: &mut Findings) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for node in options.node("acme").map(one_or_many).unwrap_or_default() {
        let Some(written) = text(node, found) else { continue };
        let name = written.trim_end_matches('.').to_ascii_lowercase();
        if name.starts_with("*.") {
            found.push(
                Diagnostic::error(
                    "bad-value",
                    node.span,
                    "an authority gives certificates for wildcards only by way of the DNS",
                )
                .help("name the hosts, or have the certificate made elsewhere: `certificates`"),
            );
        } else if !is_name(&name) || name.parse::<std::net::IpAddr>().is_ok() || !name.contains('.')
        {
            let message = format!("`{written}` is no public name of a host");
            found.error("bad-value", node.span, message);
        } else if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What only the whole shows: `listeners` are the places of their sections.
pub(super) fn check(config: &Config, listener: impl Fn(usize) -> Span, found: &mut Findings) {
    let has_names = |listener: &crate::model::Listener| {
        listener.tls.as_ref().is_some_and(|t| !t.acme.is_empty())
    };
    let first = config.listeners.iter().position(has_names);
    match (first, &config.acme) {
        (Some(at), None) => found.push(
            Diagnostic::error(
                "no-authority",
                listener(at),
                "this listener's `tls.acme` needs the section `acme`",
            )
            .help("write `acme: { storage: DIRECTORY, contact: MAIL }`"),
        ),
        (None, Some(_)) => {
            let message = "no listener names hosts in `tls.acme`: `acme` has no effect";
            found.push(Diagnostic::warning("no-effect", Span::default(), message));
        }
        _ => {}
    }
    let is_plain = |listener: &crate::model::Listener| listener.tls.is_none();
    if let (Some(at), Some(acme)) = (first, &config.acme)
        && acme.challenge == Some(AcmeChallenge::Http01)
        && !config.listeners.iter().any(is_plain)
    {
        found.push(
            Diagnostic::error(
                "no-listener",
                listener(at),
                "`challenge: http-01` needs a listener without `tls`, which the authority asks at port 80",
            )
            .help("`tls-alpn-01` is answered by this listener itself, at port 443"),
        );
    }
}
