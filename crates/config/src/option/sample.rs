//! Configurations made at random from the table: whatever it allows is read, or refused with a
//! reason; what is read can be written out and read again. Tests only.

use serde_json::{Map, Value, json};

use super::{Absent, Kind, Object, ROOT};
use crate::read::{show_duration, show_size};
use crate::{Report, Source, effective, load};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }

    /// The bounds and what is near them more often than their middle.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        let small = 1 << self.below(24);
        let value = match self.below(4) {
            0 => least,
            1 => most,
            _ => least.saturating_add(self.below(small)),
        };
        value.min(most)
    }
}

fn value(kind: &Kind, depth: u32, random: &mut Random) -> Value {
    match kind {
        Kind::Text(example) => json!(example),
        Kind::Bool => json!(random.below(2) == 0),
        Kind::Duration(least, most) => {
            let millis = random.between(*least, *most);
            json!(show_duration(std::time::Duration::from_millis(millis)))
        }
        Kind::Size(least, most) => json!(show_size(random.between(*least, *most))),
        Kind::Rate => json!(show_size(random.between(0, 1 << 20))),
        Kind::Count(least, most) => json!(random.between(*least, *most)),
        Kind::Number(least, most) => json!(least + (most - least) * random.below(17) as f64 / 16.0),
        Kind::Share => json!(format!("{}%", random.between(0, 100))),
        Kind::Choice(words) => json!(words[random.below(words.len() as u64) as usize].0),
        Kind::List(inner) => json!([value(inner, depth + 1, random)]),
        Kind::OneOrMany(inner) if random.below(2) == 0 => value(inner, depth, random),
        Kind::OneOrMany(inner) => json!([value(inner, depth + 1, random)]),
        Kind::Map(inner) => map(inner, depth, random),
        Kind::Object(inner) => object(inner, depth, random),
        Kind::OneOf(kinds) => {
            value(&kinds[random.below(kinds.len() as u64) as usize], depth, random)
        }
    }
}

/// The names are those that examples refer to.
fn map(inner: &Kind, depth: u32, random: &mut Random) -> Value {
    let key = match inner {
        Kind::Object(object) if object.name == "pool" => "app",
        Kind::Count(..) => "app",
        Kind::Duration(..) => "404",
        Kind::Text("connected") => "$.db[1].state",
        _ => "name",
    };
    json!({ key: value(inner, depth + 1, random) })
}

fn object(object: &Object, depth: u32, random: &mut Random) -> Value {
    let mut map = Map::new();
    let is_choice = |absent: &Absent| matches!(absent, Absent::Means("one of the others"));
    let choices = object.options.iter().filter(|option| is_choice(&option.default)).count();
    let chosen = random.below(choices as u64);
    let mut at = 0;
    for option in object.options {
        let wanted = match option.default {
            Absent::Required => true,
            default if is_choice(&default) => {
                at += 1;
                at - 1 == chosen
            }
            _ if depth == 0 => true,
            _ => depth < 12 && random.below(5) == 0,
        };
        if wanted {
            map.insert(option.key.into(), value(&option.kind, depth + 1, random));
        }
    }
    map.into()
}

fn environment(name: &str) -> Option<String> {
    match name {
        "STICKY_KEY" => Some("07".repeat(32)),
        "VALKEY_PASSWORD" => Some("secret".to_owned()),
        "PARTNER_KEY" | "TOKEN_SECRET" => Some("long-enough-to-be-another".to_owned()),
        "ADMIN_TOKEN" => Some("long-enough-to-be-one".to_owned()),
        _ => None,
    }
}

fn read(name: &str, text: &str) -> Result<crate::Config, Report> {
    let source = Source { name: name.into(), text: text.into() };
    load(&[source], &environment).map(|loaded| loaded.config)
}

/// Whether it was accepted.
fn try_one(seed: u64) -> bool {
    let text = object(&ROOT, 0, &mut Random(seed)).to_string();
    let config = match read("sample", &text) {
        Ok(config) => config,
        Err(report) => {
            assert!(report.has_errors(), "{text}");
            let strange = ["unknown-field", "missing-field", "syntax", "unset-variable"];
            let strange = report.diagnostics.iter().find(|d| {
                strange.contains(&d.code)
                    && !d.message.contains("route")
                    && !d.message.contains("match")
            });
            assert!(strange.is_none(), "the table allows what is refused: {strange:?}\n{text}");
            return false;
        }
    };
    let written = effective(&config);
    match read("effective", &written) {
        Ok(again) => assert_eq!(again, config, "{written}"),
        Err(report) => panic!("seed {seed}: {}\n{written}", report.compact()),
    }
    true
}

#[test]
fn what_the_table_allows_is_read_and_comes_back_or_is_refused_with_a_reason() {
    let accepted = (0..2_000).filter(|seed| try_one(*seed)).count();
    assert!(accepted > 100, "only {accepted} of 2,000 were accepted: this proves little");
}

#[test]
fn a_default_is_one_of_the_words_and_no_two_objects_have_one_name() {
    let mut objects = vec![&ROOT];
    let mut seen: Vec<&str> = Vec::new();
    while let Some(object) = objects.pop() {
        if seen.contains(&object.name) {
            continue;
        }
        seen.push(object.name);
        for option in object.options {
            inner(&option.kind, &mut objects);
            if let (Absent::Is(default), Kind::Choice(words)) = (option.default, option.kind) {
                assert!(words.iter().any(|(word, _)| *word == default), "{default}");
            }
        }
        let twice = objects.iter().find(|o| o.name == object.name && !std::ptr::eq(**o, object));
        assert!(twice.is_none(), "two objects are called {}", object.name);
    }
}

fn inner(kind: &'static Kind, objects: &mut Vec<&'static Object>) {
    match kind {
        Kind::List(kind) | Kind::OneOrMany(kind) | Kind::Map(kind) => inner(kind, objects),
        Kind::OneOf(kinds) => kinds.iter().for_each(|kind| inner(kind, objects)),
        Kind::Object(object) => objects.push(object),
        _ => {}
    }
}
