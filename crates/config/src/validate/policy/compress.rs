//! `compress` and `decompress`.

use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Compress, Decompress, Encoding, Levels, TypePattern};
use crate::option::{COMPRESS, DECOMPRESS, ENCODINGS, Kind, LEVELS, TYPES};
use crate::read::{Findings, Options, choice_of, one_or_many, text};
use crate::tree::Node;
use crate::validate::empty;

/// Beginnings of types whose content is compressed already.
const COMPRESSED: &[&str] = &["image/", "video/", "audio/", "application/zip", "application/gzip"];

pub(super) fn read(node: &Node, found: &mut Findings) -> Compress {
    let options = Options::read(node, &COMPRESS, found);
    let empty = empty();
    let levels = Options::read(options.node("levels").unwrap_or(&empty), &LEVELS, found);
    Compress {
        encodings: encodings(&options, found),
        types: types(&options, found),
        min_size: options.size("min_size", found).unwrap_or_default(),
        levels: Levels {
            zstd: levels.small("zstd", found),
            br: levels.small("br", found),
            gzip: levels.small("gzip", found),
        },
        concurrent: options.small("concurrent", found),
    }
}

pub(super) fn decompress(node: &Node, found: &mut Findings) -> Decompress {
    let options = Options::read(node, &DECOMPRESS, found);
    Decompress {
        max: options.node("max").and_then(|_| options.size("max", found)),
        concurrent: options.small("concurrent", found),
    }
}

fn encodings(options: &Options<'_>, found: &mut Findings) -> Vec<Encoding> {
    let all = vec![Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];
    let (Some(node), Kind::Choice(words)) = (options.node("encodings"), ENCODINGS) else {
        return all;
    };
    let mut chosen = Vec::new();
    for node in one_or_many(node) {
        let Some(written) = text(node, found) else { continue };
        let encoding = match choice_of(written, words, node.span, found) {
            Some("zstd") => Encoding::Zstd,
            Some("br") => Encoding::Brotli,
            Some(_) => Encoding::Gzip,
            None => continue,
        };
        if chosen.contains(&encoding) {
            found.error("bad-value", node.span, format!("`{written}` is named twice"));
        } else {
            chosen.push(encoding);
        }
    }
    if one_or_many(node).is_empty() {
        found.push(
            Diagnostic::error("bad-value", node.span, "`encodings` names none")
                .help("leave the policy out to compress nothing"),
        );
    }
    chosen
}

fn types(options: &Options<'_>, found: &mut Findings) -> Vec<TypePattern> {
    let Some(node) = options.node("types") else {
        return TYPES.iter().map(|text| pattern(text)).collect();
    };
    let mut all = Vec::new();
    for node in one_or_many(node) {
        let Some(written) = text(node, found) else { continue };
        if is_pattern(written, node.span, found) {
            all.push(pattern(written));
        }
    }
    if one_or_many(node).is_empty() {
        found.push(
            Diagnostic::error("bad-value", node.span, "`types` names none")
                .help("leave it out for the usual ones, or write `*` for all"),
        );
    }
    all
}

fn pattern(text: &str) -> TypePattern {
    let text = text.to_ascii_lowercase();
    match text.split_once('*') {
        Some((before, after)) => {
            TypePattern { before: before.to_owned(), after: Some(after.to_owned()) }
        }
        None => TypePattern { before: text, after: None },
    }
}

/// A media type (RFC 9110 §8.3.1) with at most one `*`.
fn is_pattern(written: &str, span: Span, found: &mut Findings) -> bool {
    let is_name = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b))
    };
    let help = match written.split_once('/') {
        _ if written.matches('*').count() > 1 => "one `*` stands for any text: `text/*`, `*`",
        _ if written.contains(';') => {
            "parameters (`; charset=…`) are not looked at: leave them out"
        }
        None if written == "*" => return true,
        Some((kind, subtype)) if is_name(kind) && is_name(subtype) => {
            warn_of_compressed(written, span, found);
            return true;
        }
        _ => "write it like `text/html`, `text/*` or `application/*+json`",
    };
    let message = format!("`{written}` is not a media type");
    found.push(Diagnostic::error("bad-value", span, message).help(help));
    false
}

fn warn_of_compressed(written: &str, span: Span, found: &mut Findings) {
    let lower = written.to_ascii_lowercase();
    let shrinks = ["svg", "bmp", "icon", "+xml"].iter().any(|word| lower.contains(word));
    if COMPRESSED.iter().any(|begin| lower.starts_with(begin)) && !shrinks {
        let message = format!("`{written}` is compressed already");
        found.push(
            Diagnostic::warning("no-effect", span, message)
                .help("compressing it again costs time and makes it no shorter: leave it out"),
        );
    }
}
