//! `access_log`.

use crate::model::{AccessLog, LogFormat, LogTarget};
use crate::option::ACCESS_LOG;
use crate::read::{Findings, Options};
use crate::tree::Node;

pub(super) fn read(node: &Node, found: &mut Findings) -> AccessLog {
    let options = Options::read(node, &ACCESS_LOG, found);
    AccessLog {
        format: match options.choice("format", found) {
            Some("text") => LogFormat::Text,
            _ => LogFormat::Json,
        },
        to: match options.text("to", found).as_deref() {
            None | Some("stdout") => LogTarget::Stdout,
            Some("stderr") => LogTarget::Stderr,
            Some(path) => LogTarget::File(path.to_owned()),
        },
        sample: options.share("sample", found),
    }
}
