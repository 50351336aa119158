//! `fields`.

use serde_json::{Map, Value, json};

use crate::effective::literal;
use crate::model::{Edits, FieldEdits};

pub(super) fn write(fields: &FieldEdits) -> Value {
    json!({ "request": edits(&fields.request), "response": edits(&fields.response) })
}

fn edits(edits: &Edits) -> Value {
    let lines = |lines: &[(String, String)]| -> Value {
        lines
            .iter()
            .map(|(name, value)| (name.clone(), literal(value)))
            .collect::<Map<_, _>>()
            .into()
    };
    json!({ "remove": edits.remove, "set": lines(&edits.set), "add": lines(&edits.add) })
}
