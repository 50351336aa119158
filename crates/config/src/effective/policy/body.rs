//! `body`.

use serde_json::{Value, json};

use crate::model::BodyRules;
use crate::read::show_size;

pub(super) fn write(rules: &BodyRules) -> Value {
    json!({ "max": show_size(rules.max) })
}
