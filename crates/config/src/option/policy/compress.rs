//! Options of `compress` and `decompress`.

use crate::option::Absent::{Is, Means};
use crate::option::Kind::{Choice, Count, OneOrMany, Size, Text};
use crate::option::{Kind, Object, opt};

pub(crate) const ENCODINGS: Kind = Choice(&[
    ("zstd", "RFC 8878, with a window that every client has (RFC 9659)"),
    ("br", "Brotli, RFC 7932"),
    ("gzip", "RFC 1952"),
]);

/// Types that become much shorter.
pub(crate) const TYPES: &[&str] = &[
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/xml",
    "application/*+xml",
    "application/javascript",
    "application/wasm",
    "application/yaml",
    "image/svg+xml",
    "font/otf",
    "font/ttf",
];

pub(crate) static COMPRESS: Object = Object {
    name: "compress",
    doc: "Compress responses for clients that accept it. Beware of responses that hold a secret beside what a stranger may choose (BREACH): see docs/compression.md.",
    options: &[
        opt(
            "encodings",
            OneOrMany(&ENCODINGS),
            Means("zstd, br, gzip"),
            "Codings in order of preference; a client's weights come first.",
        ),
        opt(
            "types",
            OneOrMany(&Text("text/*")),
            Means("text, JSON, XML, JavaScript, WebAssembly, SVG and plain fonts"),
            "Media types; one `*` stands for any text: `application/*+json`, `*`.",
        ),
        opt(
            "min_size",
            Size(0, 1 << 30),
            Is("1KiB"),
            "A content known to be shorter is left as it is.",
        ),
        opt(
            "levels",
            Kind::Object(&LEVELS),
            Means("its defaults"),
            "How hard each coding tries; more costs time and memory.",
        ),
        opt(
            "concurrent",
            Count(1, 1_000_000),
            Is("512"),
            "Most responses compressed at the same time, by all workers; others pass as they are. It bounds the memory: see docs/compression.md.",
        ),
    ],
};

pub(crate) static LEVELS: Object = Object {
    name: "levels",
    doc: "Higher is smaller and slower.",
    options: &[
        opt("zstd", Count(1, 12), Is("3"), "Of zstd."),
        opt("br", Count(0, 9), Is("4"), "Of Brotli."),
        opt("gzip", Count(1, 9), Is("5"), "Of gzip."),
    ],
};

pub(crate) static DECOMPRESS: Object = Object {
    name: "decompress",
    doc: "Decompress responses (gzip, Brotli, zstd) for clients that do not accept their coding.",
    options: &[
        opt(
            "max",
            Size(1024, 1 << 50),
            Means("no bound"),
            "Most bytes that a content may become; one that becomes longer is broken off.",
        ),
        opt(
            "concurrent",
            Count(1, 1_000_000),
            Is("512"),
            "Most responses decompressed at the same time, by all workers; others pass as they are.",
        ),
    ],
};
