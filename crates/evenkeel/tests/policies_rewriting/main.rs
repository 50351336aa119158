//! What is changed on the way of a message, end to end over every version of HTTP: fields, paths,
//! cookies, and answers in place of others.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/quic.rs"]
mod quic;

#[path = "../support/versions.rs"]
mod versions;

mod browsers;
mod fields;
mod pages;
mod paths;
