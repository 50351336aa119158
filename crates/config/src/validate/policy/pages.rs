//! `error_pages` and `maintenance`.

use crate::model::{ErrorPages, Maintenance, Page};
use crate::option::{ERROR_PAGES, MAINTENANCE, PAGE};
use crate::read::{Findings, Options, first_line, map};
use crate::tree::Node;
use crate::validate::listener::networks;
use crate::validate::template::{self, Of};

pub(super) fn read_errors(node: &Node, found: &mut Findings) -> ErrorPages {
    let options = Options::read(node, &ERROR_PAGES, found);
    let mut pages = Vec::new();
    for (key, node) in options.node("pages").map(|node| map(node, found)).unwrap_or_default() {
        let page = page(node, found);
        match range(&key.text) {
            Some((first, last)) => pages.push((first, last, page)),
            None => found.error(
                "bad-value",
                key.span,
                format!(
                    "`{}` is no status that an error has: write `404`, `5xx` or `500-504`",
                    key.text
                ),
            ),
        }
    }
    pages.sort_by_key(|(first, last, _)| (last - first, *first));
    ErrorPages { pages, servers: options.bool("servers", found) }
}

/// First and last status.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = match text {
        "4xx" => (400, 499),
        "5xx" => (500, 599),
        _ => match text.split_once('-') {
            Some((first, last)) => (first.trim().parse().ok()?, last.trim().parse().ok()?),
            None => (text.parse().ok()?, text.parse().ok()?),
        },
    };
    (400 <= first && first <= last && last <= 599).then_some((first, last))
}

fn page(node: &Node, found: &mut Findings) -> Page {
    let options = Options::read(node, &PAGE, found);
    let mut kind = |key: &str| template::read(options.node(key)?, Of::Answer, found);
    let page = Page { html: kind("html"), json: kind("json"), text: kind("text") };
    if page == Page::default() {
        found.error("bad-value", first_line(node.span), "a page needs one of: html, json, text");
    }
    page
}

pub(super) fn read_maintenance(node: &Node, found: &mut Findings) -> Maintenance {
    let options = Options::read(node, &MAINTENANCE, found);
    Maintenance {
        enabled: options.bool("enabled", found),
        allow: networks(options.node("allow"), found),
        retry_after: options.duration("retry_after", found),
        page: options.node("page").map(|node| page(node, found)),
    }
}
