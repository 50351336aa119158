//! Values as YAML: block style for what has structure, flow style for what is short.

use serde_json::Value;

/// Block style for what has structure, flow style for what is short.
pub(super) fn write(value: &Value, indent: usize, out: &mut String) {
    let pad = "  ".repeat(indent);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                out.push_str(&format!("{pad}{}:", scalar(&Value::from(key.as_str()))));
                write_inner(value, indent, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut text = String::new();
                write(item, indent + 1, &mut text);
                out.push_str(&format!("{pad}- {}", text.trim_start()));
            }
        }
        other => out.push_str(&format!("{pad}{}\n", scalar(other))),
    }
}

fn write_inner(value: &Value, indent: usize, out: &mut String) {
    let flat = flow(value);
    if flat.len() <= 60 {
        out.push_str(&format!(" {flat}\n"));
    } else {
        out.push('\n');
        write(value, indent + 1, out);
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let all: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{}: {}", scalar(&Value::from(k.as_str())), flow(v)))
                .collect();
            format!("{{ {} }}", all.join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        other => scalar(other),
    }
}

/// Quoted, unless it is a word that cannot be taken for anything else.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && text.parse::<f64>().is_err()
        && !matches!(
            text.as_str(),
            "true" | "false" | "null" | "Null" | "NULL" | "yes" | "no" | "on" | "off" | "present"
        );
    if plain { text.clone() } else { value.to_string() }
}
