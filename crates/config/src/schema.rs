//! The table of options as a JSON Schema (draft 2020-12), for editors.

use serde_json::{Value, json};

use crate::option::{Absent, Kind, Object, ROOT};

/// The schema of a configuration file.
pub fn schema() -> Value {
    let mut definitions = serde_json::Map::new();
    collect(&ROOT, &mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Evenkeel configuration",
        "$ref": reference(&ROOT),
        "$defs": definitions,
    })
}

fn reference(object: &Object) -> String {
    format!("#/$defs/{}", object.name.replace(' ', "_"))
}

fn collect(object: &'static Object, definitions: &mut serde_json::Map<String, Value>) {
    let name = object.name.replace(' ', "_");
    if definitions.contains_key(&name) {
        return;
    }
    definitions.insert(name.clone(), Value::Null); // objects may contain themselves
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for option in object.options {
        let mut property = of_kind(&option.kind, definitions);
        if let Value::Object(fields) = &mut property {
            fields.insert("description".into(), option.doc.into());
            if let Absent::Is(default) = option.default {
                fields.insert("default".into(), default.into());
            }
        }
        if matches!(option.default, Absent::Required) {
            required.push(option.key);
        }
        properties.insert(option.key.into(), property);
    }
    let definition = json!({
        "type": "object",
        "description": object.doc,
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    });
    definitions.insert(name, definition);
}

fn of_kind(kind: &'static Kind, definitions: &mut serde_json::Map<String, Value>) -> Value {
    match kind {
        Kind::Text(example) => {
            json!({ "type": ["string", "number", "boolean"], "examples": [example] })
        }
        Kind::Bool => json!({ "enum": [true, false, "on", "off", "yes", "no"] }),
        Kind::Duration(..) => {
            json!({ "type": "string", "pattern": "^(0|([0-9]+(ms|s|m|h|d))+|.*\\$\\{.*)$" })
        }
        Kind::Size(..) | Kind::Rate => {
            json!({ "type": ["string", "integer"], "pattern": "^([0-9]+ ?(B|[KMG]iB|[kKMG]B)?(/s)?|.*\\$\\{.*)$" })
        }
        Kind::Count(least, most) => {
            json!({ "type": ["integer", "string"], "minimum": least, "maximum": most })
        }
        Kind::Number(least, most) => {
            json!({ "type": ["number", "string"], "minimum": least, "maximum": most })
        }
        Kind::Share => json!({ "type": ["number", "string"] }),
        Kind::Choice(words) => {
            json!({ "enum": words.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
        }
        Kind::List(inner) => json!({ "type": "array", "items": of_kind(inner, definitions) }),
        Kind::OneOrMany(inner) => {
            let one = of_kind(inner, definitions);
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
        Kind::Map(inner) => {
            json!({ "type": "object", "additionalProperties": of_kind(inner, definitions) })
        }
        Kind::Object(object) => {
            collect(object, definitions);
            json!({ "$ref": reference(object) })
        }
        Kind::OneOf(kinds) => {
            json!({ "anyOf": kinds.iter().map(|kind| of_kind(kind, definitions)).collect::<Vec<_>>() })
        }
    }
}
