//! `jwt`.

use crate::diagnostic::Diagnostic;
use crate::model::{Jwt, KeySource, TokenAlgorithm, TokenKeys};
use crate::option::JWT;
use crate::read::{Findings, Options, map, one_or_many, text};
use crate::tree::Node;
use crate::validate::policy::credentials::source;
use crate::validate::policy::{file, is_field_name};
use crate::validate::secret::secret;

pub(super) fn read(node: &Node, owner: &str, found: &mut Findings) -> Jwt {
    let options = Options::read(node, &JWT, found);
    let texts = |key: &str, found: &mut Findings| -> Vec<String> {
        let nodes = options.node(key).map(one_or_many).unwrap_or_default();
        nodes.iter().filter_map(|node| text(node, found).map(str::to_owned)).collect()
    };
    let mut claims = Vec::new();
    for (key, node) in options.node("claims").map(|node| map(node, found)).unwrap_or_default() {
        if let Some(field) = text(node, found)
            && is_field_name(field, node.span, found)
        {
            claims.push((key.text.clone(), field.to_ascii_lowercase()));
        }
    }
    Jwt {
        keys: keys(&options, owner, found),
        issuers: texts("issuer", found),
        audiences: texts("audience", found),
        leeway: options.duration("leeway", found),
        from: match options.node("from") {
            Some(node) => source(node, found),
            None => KeySource::Header("authorization".into()),
        },
        required: options.bool("required", found),
        claims,
        pass: options.bool("pass", found),
    }
}

fn keys(options: &Options<'_>, owner: &str, found: &mut Findings) -> TokenKeys {
    let nobody = TokenKeys::Set(String::new()); // a mistake, and noted
    let Some((key, node)) = options.only_of(&["jwks", "public_key", "secret"], found) else {
        return nobody;
    };
    let written = options.node("algorithm").and_then(|_| options.choice("algorithm", found));
    let algorithm = written.and_then(TokenAlgorithm::named);
    let wrong = |is_shared: bool, found: &mut Findings| {
        let what = if is_shared { "a secret" } else { "a public key" };
        let message = format!("this algorithm is not for {what}");
        found.error("bad-value", options.span_of("algorithm"), message);
    };
    match key.text.as_str() {
        "secret" => {
            let algorithm = algorithm.unwrap_or(TokenAlgorithm::Hs256);
            if !algorithm.is_shared() {
                wrong(true, found);
            }
            secret(node, found).map_or(nobody, |secret| TokenKeys::Shared(secret, algorithm))
        }
        "public_key" => {
            let algorithm = algorithm.unwrap_or(TokenAlgorithm::Rs256);
            if algorithm.is_shared() {
                wrong(false, found);
            }
            let file = file(options, "public_key", owner, found);
            file.map_or(nobody, |file| TokenKeys::Public(file, algorithm))
        }
        _ => {
            if algorithm.is_some() {
                let span = options.span_of("algorithm");
                let message = "`algorithm` is not used with `jwks`";
                found.push(
                    Diagnostic::warning("no-effect", span, message)
                        .help("each key of the set says what it is for"),
                );
            }
            let place = file(options, "jwks", owner, found);
            if let Some(place) = place.as_ref().filter(|place| is_open(place)) {
                found.push(
                    Diagnostic::warning(
                        "plaintext",
                        node.span,
                        format!("whoever is on the way to `{place}` says which tokens are good"),
                    )
                    .help("write `https://`"),
                );
            }
            place.map_or(nobody, TokenKeys::Set)
        }
    }
}

/// Neither encrypted nor of this machine.
fn is_open(place: &str) -> bool {
    let host = place.strip_prefix("http://");
    host.is_some_and(|host| {
        !["127.", "localhost:", "localhost/", "[::1]"].iter().any(|own| host.starts_with(own))
    })
}
