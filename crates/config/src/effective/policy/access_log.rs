//! `access_log`.

use serde_json::{Value, json};

use crate::effective::literal;
use crate::model::{AccessLog, LogFormat, LogTarget};

pub(super) fn write(log: &AccessLog) -> Value {
    json!({
        "format": match log.format { LogFormat::Json => "json", LogFormat::Text => "text" },
        "to": match &log.to {
            LogTarget::Stdout => json!("stdout"),
            LogTarget::Stderr => json!("stderr"),
            LogTarget::File(path) => literal(path),
        },
        "sample": log.sample,
    })
}
