//! `fields`.

use serde_json::{Map, Value, json};

use crate::effective::{literal, template};
use crate::model::{Edits, FieldEdits, Template};

pub(super) fn write(fields: &FieldEdits) -> Value {
    json!({ "request": edits(&fields.request), "response": edits(&fields.response) })
}

fn edits(edits: &Edits) -> Value {
    let lines = |lines: &[(String, Template)]| -> Value {
        lines
            .iter()
            .map(|(name, value)| (name.clone(), template(value)))
            .collect::<Map<_, _>>()
            .into()
    };
    let renamed = edits.rename.iter().map(|(from, to)| (from.clone(), literal(to)));
    let renamed: Map<_, _> = renamed.collect();
    json!({ "remove": edits.remove, "rename": renamed, "set": lines(&edits.set), "add": lines(&edits.add) })
}
