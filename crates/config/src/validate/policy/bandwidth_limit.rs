//! `bandwidth_limit`.

use super::limit_key;
use crate::model::BandwidthLimit;
use crate::option::BANDWIDTH_LIMIT;
use crate::read::{Findings, Options, first_line};
use crate::tree::Node;
use crate::validate::listener::networks;

pub(super) fn read(node: &Node, found: &mut Findings) -> BandwidthLimit {
    let options = Options::read(node, &BANDWIDTH_LIMIT, found);
    let (upload, download) = (options.size("upload", found), options.size("download", found));
    if options.node("upload").is_none() && options.node("download").is_none() {
        let message = "a bandwidth_limit limits `upload`, `download` or both";
        found.error("bad-value", first_line(node.span), message);
    }
    let key = limit_key::read(&options, found);
    BandwidthLimit {
        upload,
        download,
        burst: options.size("burst", found).unwrap_or_default(),
        key: options.node("key").map(|_| key),
        allow: networks(options.node("allow"), found),
        memory: options.size("memory", found).unwrap_or_default(),
    }
}
