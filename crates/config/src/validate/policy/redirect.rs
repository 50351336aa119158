//! `redirect`, the policy.

use crate::model::{Canonical, Www};
use crate::option::CANONICAL;
use crate::read::{Findings, Options, first_line};
use crate::tree::Node;

pub(super) fn read(node: &Node, found: &mut Findings) -> Canonical {
    let options = Options::read(node, &CANONICAL, found);
    let status = options.count("status", found).unwrap_or(308) as u16;
    if !matches!(status, 301 | 302 | 307 | 308) {
        let message = format!("{status} is none of: 301, 302, 307, 308");
        found.error("bad-value", options.span_of("status"), message);
    }
    let canonical = Canonical {
        https: options.bool("https", found),
        port: options.count("port", found).unwrap_or(443) as u16,
        www: match options.choice("www", found) {
            Some("add") => Www::Add,
            Some("remove") => Www::Remove,
            _ => Www::Keep,
        },
        status,
    };
    if !canonical.https && canonical.www == Www::Keep {
        found.error("bad-value", first_line(node.span), "this redirects nothing: `https` or `www`");
    }
    canonical
}
