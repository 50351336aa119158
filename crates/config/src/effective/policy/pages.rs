//! `error_pages` and `maintenance`.

use serde_json::{Map, Value, json};

use crate::effective::template;
use crate::model::{ErrorPages, Maintenance, Page};
use crate::read::show_duration;

pub(super) fn errors(errors: &ErrorPages) -> Value {
    let range = |first: &u16, last: &u16| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let pages = errors.pages.iter().map(|(first, last, it)| (range(first, last), page(it)));
    json!({ "pages": pages.collect::<Map<_, _>>(), "servers": errors.servers })
}

fn page(page: &Page) -> Value {
    let kinds = [("html", &page.html), ("json", &page.json), ("text", &page.text)];
    let written =
        |(key, text): (&str, &Option<_>)| Some((key.to_owned(), template(text.as_ref()?)));
    kinds.into_iter().filter_map(written).collect::<Map<_, _>>().into()
}

pub(super) fn maintenance(maintenance: &Maintenance) -> Value {
    let allow: Vec<String> = maintenance.allow.iter().map(ToString::to_string).collect();
    let mut map = Map::new();
    map.insert("enabled".into(), maintenance.enabled.into());
    map.insert("allow".into(), allow.into());
    map.insert("retry_after".into(), show_duration(maintenance.retry_after).into());
    map.extend(maintenance.page.iter().map(|it| ("page".to_owned(), page(it))));
    map.into()
}
