//! Fields of answers whose content coding is changed, or could be: what `compress` and `decompress` have
//! in common.

use evenkeel_codec::content_coding::{self as rules, Coding};

use super::{Answered, Edits, Passing};
use crate::http::exchange::Exchange;

const ACCEPT: &[u8] = b"accept-encoding";
const NONE_MATCH: &[u8] = b"if-none-match";
/// Most tags of a request that are looked at.
const TAGS_MAX: usize = 32;

/// The coding of an answer as it came; of several, no single name.
pub(super) fn coding<'a>(answer: &Answered<'a>) -> Option<&'a [u8]> {
    let mut lines = answer.values(b"content-encoding");
    let first = lines.next()?;
    Some(if lines.next().is_some() { b"several" } else { first })
}

/// An answer that is passed on as it is, though another client would get another.
pub(super) fn plain(exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
    if !rules::varies_by(answer.values(b"vary"), ACCEPT) {
        exchange.changes().response.add(b"vary", b"accept-encoding");
    }
    Passing::AsIs
}

/// Writes the fields of content in another coding than it came in.
pub(super) fn describe(fields: &mut Edits, answer: &Answered<'_>, coding: Option<Coding>) {
    match coding {
        Some(coding) => fields.set(b"content-encoding", coding.name().as_bytes()),
        None => fields.remove(b"content-encoding"),
    }
    if !rules::varies_by(answer.values(b"vary"), ACCEPT) {
        fields.add(b"vary", b"accept-encoding");
    }
    weaken(fields, answer);
    rules::DIGESTS.iter().for_each(|digest| fields.remove(digest));
    // Parts are counted in bytes of what is not sent here (RFC 9110 §14.3).
    fields.remove(b"accept-ranges");
}

fn weaken(fields: &mut Edits, answer: &Answered<'_>) {
    if let Some(weak) = answer.value(b"etag").and_then(rules::weakened) {
        fields.set(b"etag", &weak);
    }
}

/// A 304 has the fields of the 200 that its client holds (RFC 9110 §15.4.5): who named a tag in its weak
/// form has content whose coding was changed here.
pub(super) fn not_modified(exchange: &mut Exchange<'_>, answer: &Answered<'_>) -> Passing {
    let named = exchange.head.named(exchange.buffer.all(), NONE_MATCH);
    if answer.value(b"etag").is_some_and(|tag| rules::names_weakly(named, tag)) {
        weaken(&mut exchange.changes().response, answer);
        return plain(exchange, answer);
    }
    Passing::AsIs
}

/// Names each weak tag of an `If-None-Match` in its strong form too: a server made the strong one, and
/// some compare them letter by letter. It means the same (RFC 9110 §13.1.2: weak comparison).
pub(super) fn ask_strongly(exchange: &mut Exchange<'_>) {
    let bytes = exchange.buffer.all();
    let mut lines = exchange.head.named(bytes, NONE_MATCH).peekable();
    if lines.peek().is_none() {
        return;
    }
    let all: Vec<&[u8]> = lines.flat_map(rules::tags).take(TAGS_MAX + 1).collect();
    let strong = all.iter().filter_map(|tag| tag.strip_prefix(b"W/"));
    let missing: Vec<&[u8]> = strong.filter(|strong| !all.contains(strong)).collect();
    if missing.is_empty() || all.len() > TAGS_MAX {
        return;
    }
    let value = [all.as_slice(), &missing].concat().join(&b", "[..]);
    exchange.changes().request.set(NONE_MATCH, &value);
}
