//! `cache`.

use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::model::{Cache, CacheBypass, CacheKey};
use crate::option::{CACHE, CACHE_BYPASS, CACHE_KEY};
use crate::read::{Findings, Options, duration_of, list, map, one_or_many, text};
use crate::tree::Node;
use crate::validate::empty;
use crate::validate::matching::is_token;

pub(super) fn read(node: &Node, found: &mut Findings) -> Cache {
    let options = Options::read(node, &CACHE, found);
    let size = options.size("size", found).unwrap_or_default();
    let max_object = options.size("max_object", found).unwrap_or_default();
    if max_object > size && options.node("max_object").is_some() {
        found.push(
            Diagnostic::error(
                "bad-value",
                options.span_of("max_object"),
                "`max_object` is larger than the whole cache",
            )
            .help("raise `size`, or lower `max_object`"),
        );
    }
    let tags = match options.node("tags") {
        Some(node) => field_names(list(node, found), found),
        None => vec!["cache-tag".to_owned(), "surrogate-key".to_owned()],
    };
    Cache {
        size,
        max_object: max_object.min(size),
        default_ttl: options.duration_if_any("default_ttl", found),
        statuses: statuses(&options, found),
        heuristic_max: options.duration("heuristic_max", found),
        stale_while_revalidate: options.duration("stale_while_revalidate", found),
        stale_if_error: options.duration("stale_if_error", found),
        hit_for_miss: options.duration("hit_for_miss", found),
        key: key(options.node("key"), found),
        bypass: bypass(options.node("bypass"), found),
        strip_cookies: options.bool("strip_cookies", found),
        client_control: options.bool("client_control", found),
        tags,
        status_field: options.bool("status_field", found),
    }
}

fn statuses(options: &Options<'_>, found: &mut Findings) -> Vec<(u16, Duration)> {
    let mut all = Vec::new();
    let written = options.node("statuses").map(|node| map(node, found)).unwrap_or_default();
    for (key, node) in written {
        let Some(ttl) = text(node, found) else { continue };
        let status = key.text.parse::<u16>().ok().filter(|status| may_be_kept(*status));
        match (status, duration_of(ttl)) {
            (Some(status), Ok(ttl)) => all.push((status, ttl)),
            (None, _) => found.push(
                Diagnostic::error(
                    "bad-value",
                    key.span,
                    format!("`{}` is no status of an answer that can be kept", key.text),
                )
                .help("those are 200, 203, 204, 300 to 308, and most from 400 to 504; a 206 is a part of an answer, a 304 has none"),
            ),
            (_, Err(message)) => found.error("bad-value", node.span, message),
        }
    }
    all
}

fn may_be_kept(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300..=303 | 307 | 308 | 400 | 401 | 403..=406 | 410 | 414 | 421 | 451
            | 500..=504
    )
}

fn key(node: Option<&Node>, found: &mut Findings) -> CacheKey {
    let empty = empty();
    let options = Options::read(node.unwrap_or(&empty), &CACHE_KEY, found);
    if options.node("ignore_query").is_some() && options.node("only_query").is_some() {
        found.push(
            Diagnostic::warning(
                "no-effect",
                options.span_of("ignore_query"),
                "`ignore_query` means nothing beside `only_query`",
            )
            .help("leave out one of them: `only_query` names all parameters that count"),
        );
    }
    let names = |key: &str, found: &mut Findings| {
        options.node(key).map(|node| words(one_or_many(node), found))
    };
    let only_query = names("only_query", found);
    let ignore_query = names("ignore_query", found).filter(|_| only_query.is_none());
    CacheKey {
        ignore_query: ignore_query.unwrap_or_default(),
        only_query,
        fields: fields(&options, found),
        cookies: names("cookies", found).unwrap_or_default(),
    }
}

fn bypass(node: Option<&Node>, found: &mut Findings) -> CacheBypass {
    let empty = empty();
    let options = Options::read(node.unwrap_or(&empty), &CACHE_BYPASS, found);
    let cookies = options.node("cookies").map(|node| words(one_or_many(node), found));
    CacheBypass { fields: fields(&options, found), cookies: cookies.unwrap_or_default() }
}

fn fields(options: &Options<'_>, found: &mut Findings) -> Vec<String> {
    let nodes = options.node("fields").map(one_or_many).unwrap_or_default();
    field_names(nodes, found)
}

fn field_names(nodes: &[Node], found: &mut Findings) -> Vec<String> {
    let mut all = Vec::new();
    for node in nodes {
        match text(node, found) {
            Some(name) if is_token(name) => all.push(name.to_ascii_lowercase()),
            Some(name) => {
                found.error("bad-value", node.span, format!("`{name}` is not a field name"));
            }
            None => {}
        }
    }
    all
}

fn words(nodes: &[Node], found: &mut Findings) -> Vec<String> {
    nodes.iter().filter_map(|node| text(node, found).map(str::to_owned)).collect()
}
