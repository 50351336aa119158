//! `compress` and `decompress`.

use serde_json::{Map, Value, json};

use crate::model::{Compress, Decompress};
use crate::read::show_size;

pub(super) fn write(compress: &Compress) -> Value {
    let words: Vec<_> = compress.encodings.iter().map(|encoding| encoding.word()).collect();
    let types: Vec<_> = compress.types.iter().map(|pattern| pattern.text()).collect();
    let levels = &compress.levels;
    json!({
        "encodings": words,
        "types": types,
        "min_size": show_size(compress.min_size),
        "levels": { "zstd": levels.zstd, "br": levels.br, "gzip": levels.gzip },
        "concurrent": compress.concurrent,
    })
}

pub(super) fn decompress(decompress: &Decompress) -> Value {
    let mut all = Map::new();
    all.extend(decompress.max.map(|max| ("max".to_owned(), show_size(max).into())));
    all.insert("concurrent".into(), decompress.concurrent.into());
    all.into()
}
