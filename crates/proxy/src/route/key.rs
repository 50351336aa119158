//! What of a request a consistent hash goes by.

use std::borrow::Cow;

use evenkeel_codec::{Known, cookie, query};
use evenkeel_config::model::HashKey;

use super::RequestView;
use super::query::is_encoding_of;

/// The bytes to hash; `None` if the request has no such thing. Where it has several, the first
/// counts. A client's address is not bytes of the request and is hashed by the caller.
pub fn balance_key<'a>(key: &HashKey, view: &RequestView<'a>) -> Option<Cow<'a, [u8]>> {
    match key {
        HashKey::ClientIp | HashKey::Connection => None,
        HashKey::Path => Some(Cow::Borrowed(view.path)),
        HashKey::Header(name) => {
            let mut fields = view.head.fields.iter();
            let is_named = |text: &[u8]| text.eq_ignore_ascii_case(name.as_bytes());
            let field = fields.find(|field| is_named(field.name.of(view.bytes)))?;
            Some(Cow::Borrowed(field.value.of(view.bytes)))
        }
        HashKey::Cookie(name) => view
            .head
            .values(view.bytes, Known::Cookie)
            .flat_map(cookie::pairs)
            .find(|(n, _)| *n == name.as_bytes())
            .map(|(_, value)| Cow::Borrowed(value)),
        HashKey::Query(name) => query::parameters(view.query?)
            .find(|(n, _)| is_encoding_of(n, name.as_bytes()))
            .map(|(_, value)| query::decode(value)),
    }
}
