//! Content codings (RFC 9110 §8.4): which one a client wants, and what a change of coding means for
//! the fields that describe a representation. Owns rules only; who codes is elsewhere.

use crate::syntax;

/// A content coding that can be made and undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878, with the window of RFC 9659.
    Zstd,
}

impl Coding {
    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The coding of a name; names are compared without case, and `x-gzip` is `gzip` (RFC 9110
    /// §8.4.1.3).
    pub fn of(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("br") => Some(Self::Brotli),
            () if is("zstd") => Some(Self::Zstd),
            () => None,
        }
    }
}

/// A weight in thousandths (RFC 9110 §12.4.2); 0 is "not acceptable".
type Weight = u16;

/// What a client says it takes (`Accept-Encoding`, RFC 9110 §12.5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    gzip: Option<Weight>,
    brotli: Option<Weight>,
    zstd: Option<Weight>,
    identity: Option<Weight>,
    /// `*`: whatever is not named.
    rest: Option<Weight>,
    /// It said something.
    stated: bool,
}

impl Accepted {
    /// Reads all lines of the field. Of a coding that is named twice the lower weight counts, and one
    /// whose weight is malformed is not acceptable: what is not understood is never sent.
    pub fn of<'v>(lines: impl IntoIterator<Item = &'v [u8]>) -> Self {
        let mut accepted = Self::default();
        for line in lines {
            accepted.stated = true;
            for member in syntax::list(line) {
                accepted.take(member);
            }
        }
        accepted
    }

    fn take(&mut self, member: &[u8]) {
        let mut parts = member.split(|byte| *byte == b';').map(syntax::trim);
        let name = parts.next().unwrap_or_default();
        let mut weight = 1000;
        for parameter in parts {
            weight = match parameter {
                [b'q' | b'Q', b'=', value @ ..] => thousandths(value).unwrap_or(0),
                _ => weight,
            };
        }
        let place = match Coding::of(name) {
            Some(Coding::Gzip) => &mut self.gzip,
            Some(Coding::Brotli) => &mut self.brotli,
            Some(Coding::Zstd) => &mut self.zstd,
            None if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            None if name == b"*" => &mut self.rest,
            None => return,
        };
        *place = Some(place.map_or(weight, |before| before.min(weight)));
    }

    /// How much a coding is wanted.
    fn weight(&self, coding: Coding) -> Weight {
        let named = match coding {
            Coding::Gzip => self.gzip,
            Coding::Brotli => self.brotli,
            Coding::Zstd => self.zstd,
        };
        named.or(self.rest).unwrap_or(0)
    }

    /// Whether content in this coding may be sent. Who says nothing takes anything by the letter, but
    /// an old client that cannot decode says nothing either.
    pub fn takes(&self, coding: Coding) -> bool {
        self.weight(coding) > 0
    }

    /// Whether content may be sent as it is: unless it is ruled out, by its name or by `*`.
    pub fn takes_identity(&self) -> bool {
        !self.stated || self.identity.or(self.rest) != Some(0)
    }

    /// The coding to be used, of those `offered` in order of our own preference: the one with the
    /// highest weight, and among equals the first. `None` if nothing is to be coded: the client takes
    /// none of them, or would rather have the content as it is.
    pub fn best(&self, offered: &[Coding]) -> Option<Coding> {
        let mut best: Option<(Weight, Coding)> = None;
        for coding in offered {
            let weight = self.weight(*coding);
            if weight > 0 && best.is_none_or(|(most, _)| weight > most) {
                best = Some((weight, *coding));
            }
        }
        let (weight, coding) = best?;
        // Only by its name: `*` says the same of everything.
        self.identity.is_none_or(|plain| plain <= weight).then_some(coding)
    }
}

/// `qvalue` (RFC 9110 §12.4.2): `0`, `0.` or `1` and at most three digits.
fn thousandths(text: &[u8]) -> Option<Weight> {
    let (whole, digits) = match text {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return None,
    };
    let mut weight: Weight = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, worth) in digits.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        weight += Weight::from(digit - b'0') * worth;
    }
    (weight <= 1000).then_some(weight)
}

/// A weak entity tag in place of a strong one; `None` if it is weak already, or no tag. Two codings of
/// the same content are not the same byte for byte (RFC 9110 §8.8.1, §8.8.3.3).
pub fn weakened(tag: &[u8]) -> Option<Vec<u8>> {
    is_strong_tag(tag).then(|| [b"W/", tag].concat())
}

/// `"…"` (RFC 9110 §8.8.3).
fn is_strong_tag(tag: &[u8]) -> bool {
    match tag {
        [b'"', inner @ .., b'"'] => inner.iter().all(|byte| is_tag_byte(*byte)),
        _ => false,
    }
}

fn is_tag_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff)
}

/// The entity tags of an `If-None-Match`, weak ones with their `W/`. What is no tag ends it.
pub fn tags(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = value;
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', rest @ ..] = left {
            left = rest;
        }
        let prefix = if left.starts_with(b"W/") { 2 } else { 0 };
        let quoted = left.get(prefix..)?.strip_prefix(b"\"")?;
        let length = quoted.iter().position(|byte| !is_tag_byte(*byte))?;
        if quoted.get(length) != Some(&b'"') {
            left = &[];
            return None;
        }
        let (tag, rest) = left.split_at_checked(prefix + length + 2)?;
        left = rest;
        Some(tag)
    })
}

/// Whether an `If-None-Match` names a strong tag by its weak form, and not by itself: its sender holds
/// coded content, whose tag was weakened on the way.
pub fn names_weakly<'v>(lines: impl IntoIterator<Item = &'v [u8]>, tag: &[u8]) -> bool {
    let mut weakly = false;
    for found in lines.into_iter().flat_map(tags) {
        if found == tag {
            return false;
        }
        weakly |= found.strip_prefix(b"W/") == Some(tag);
    }
    weakly
}

/// Whether a list of field names (`Vary`, RFC 9110 §12.5.5) holds this one, or all there are.
pub fn varies_by<'v>(lines: impl IntoIterator<Item = &'v [u8]>, name: &[u8]) -> bool {
    let mut members = lines.into_iter().flat_map(syntax::list);
    members.any(|member| member == b"*" || member.eq_ignore_ascii_case(name))
}

/// Whether a `Cache-Control` forbids changing the content (RFC 9111 §5.2.1.6, §5.2.2.6).
pub fn forbids_transforming<'v>(lines: impl IntoIterator<Item = &'v [u8]>) -> bool {
    let mut members = lines.into_iter().flat_map(syntax::list);
    members.any(|member| member.eq_ignore_ascii_case(b"no-transform"))
}

/// Fields that say something about the bytes of one coding: they are wrong for any other (RFC 9530 §2
/// and §3, RFC 3230 §4.3.2, RFC 1864).
pub const DIGESTS: &[&[u8]] = &[b"content-digest", b"repr-digest", b"digest", b"content-md5"];

/// Whether a field is one of [`DIGESTS`].
pub fn is_digest(name: &[u8]) -> bool {
    DIGESTS.iter().any(|digest| digest.eq_ignore_ascii_case(name))
}

/// The lines of a trailer section without [`DIGESTS`].
pub fn trailers_without_digests(lines: &[u8]) -> Vec<u8> {
    let is_kept = |line: &&[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        !is_digest(syntax::trim(name))
    };
    lines.split_inclusive(|byte| *byte == b'\n').filter(is_kept).flatten().copied().collect()
}

/// The type and subtype of a `Content-Type`, without parameters.
pub fn media_type(value: &[u8]) -> &[u8] {
    syntax::trim(value.split(|byte| *byte == b';').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: &[Coding] = &[Coding::Zstd, Coding::Brotli, Coding::Gzip];

    fn best(field: &str) -> Option<Coding> {
        Accepted::of([field.as_bytes()]).best(ALL)
    }

    #[test]
    fn the_highest_weight_wins_and_among_equals_our_preference() {
        // RFC 9110 §12.5.3.
        assert_eq!(best("gzip, br, zstd"), Some(Coding::Zstd));
        assert_eq!(best("gzip, br;q=0.9"), Some(Coding::Gzip));
        assert_eq!(best("gzip;q=0.5, br;q=0.501"), Some(Coding::Brotli));
        assert_eq!(best("GZIP"), Some(Coding::Gzip));
        assert_eq!(best("x-gzip"), Some(Coding::Gzip));
        assert_eq!(best("deflate, compress"), None);
        let gzip_first = [Coding::Gzip, Coding::Zstd];
        assert_eq!(Accepted::of([&b"zstd, gzip"[..]]).best(&gzip_first), Some(Coding::Gzip));
    }

    #[test]
    fn weight_0_is_never_used() {
        assert_eq!(best("gzip;q=0"), None);
        assert_eq!(best("gzip;q=0.000, br"), Some(Coding::Brotli));
        assert_eq!(best("*, zstd;q=0"), Some(Coding::Brotli));
        assert_eq!(best("*;q=0, gzip"), Some(Coding::Gzip));
        assert_eq!(best("gzip, gzip;q=0"), None, "named twice");
    }

    #[test]
    fn who_says_nothing_gets_nothing_coded() {
        assert_eq!(Accepted::of([]).best(ALL), None);
        assert_eq!(best(""), None);
        assert!(Accepted::of([]).takes_identity() && Accepted::of([&b""[..]]).takes_identity());
    }

    #[test]
    fn a_star_stands_for_what_is_not_named() {
        assert_eq!(best("*"), Some(Coding::Zstd));
        assert_eq!(best("*;q=0.1, gzip;q=0.2"), Some(Coding::Gzip));
    }

    #[test]
    fn identity_is_ruled_out_by_its_name_or_by_a_star() {
        let takes = |field: &str| Accepted::of([field.as_bytes()]).takes_identity();
        assert!(!takes("identity;q=0") && !takes("*;q=0") && !takes("gzip, *;q=0"));
        assert!(takes("gzip") && takes("*;q=0, identity;q=0.1") && takes("*"));
    }

    #[test]
    fn who_would_rather_have_it_plain_gets_it_plain() {
        assert_eq!(best("gzip;q=0.5, identity"), None);
        assert_eq!(best("gzip;q=0.5, identity;q=0.5"), Some(Coding::Gzip));
        assert_eq!(best("gzip, identity;q=0"), Some(Coding::Gzip));
    }

    #[test]
    fn a_malformed_weight_is_not_acceptable() {
        for field in
            ["gzip;q=2", "gzip;q=1.001", "gzip;q=0.1234", "gzip;q=", "gzip;q=-1", "gzip;q=a"]
        {
            assert_eq!(best(field), None, "{field}");
        }
        assert_eq!(best("gzip;x=y;Q=1.000"), Some(Coding::Gzip));
        assert_eq!(best("gzip ; q=0.8"), Some(Coding::Gzip));
    }

    #[test]
    fn strong_tags_are_weakened_and_others_left() {
        // RFC 9110 §8.8.1.
        assert_eq!(weakened(b"\"abc\"").as_deref(), Some(&b"W/\"abc\""[..]));
        assert_eq!(weakened(b"\"\"").as_deref(), Some(&b"W/\"\""[..]));
        for tag in [&b"W/\"abc\""[..], b"abc", b"\"a\"b\"", b"\"", b""] {
            assert_eq!(weakened(tag), None);
        }
    }

    #[test]
    fn tags_with_commas_in_them_are_whole() {
        let all: Vec<_> = tags(b" \"a,b\" ,W/\"c\",, \"d\"").collect();
        assert_eq!(all, [&b"\"a,b\""[..], b"W/\"c\"", b"\"d\""]);
        assert_eq!(tags(b"*").count(), 0);
        assert_eq!(tags(b"\"a\", w/\"b\", \"c\"").count(), 1, "`W` is case-sensitive");
    }

    #[test]
    fn a_tag_is_named_weakly_if_only_its_weak_form_is_there() {
        assert!(names_weakly([&b"\"x\", W/\"a\""[..]], b"\"a\""));
        assert!(!names_weakly([&b"W/\"a\""[..], b"\"a\""], b"\"a\""));
        assert!(!names_weakly([&b"\"a\""[..]], b"\"a\""));
        assert!(!names_weakly([&b"W/\"b\""[..]], b"\"a\""));
    }

    #[test]
    fn digests_do_not_follow_a_body_that_was_changed() {
        // RFC 9530 §2: a digest covers the content as it is coded.
        let lines = b"X-A: 1\r\nRepr-Digest: sha-256=:x:\r\nServer-Timing: a\r\n";
        assert_eq!(trailers_without_digests(lines), b"X-A: 1\r\nServer-Timing: a\r\n");
        assert_eq!(trailers_without_digests(b"content-md5: x\r\n"), b"");
    }

    #[test]
    fn directives_and_names_are_compared_without_case() {
        assert!(forbids_transforming([&b"max-age=1, No-Transform"[..]]));
        assert!(!forbids_transforming([&b"x-no-transform"[..]]));
        assert!(varies_by([&b"Origin"[..], b"ACCEPT-encoding"], b"accept-encoding"));
        assert!(varies_by([&b"*"[..]], b"accept-encoding"));
        assert_eq!(media_type(b" text/html ; charset=utf-8"), b"text/html");
    }

    proptest! {
        #[test]
        fn what_is_chosen_was_offered_and_is_accepted(
            field in "[ ,;=.*0-9a-z]{0,60}|((gzip|br|zstd|identity|\\*)(;q=[01](\\.[0-9]{0,3})?)?, ?){0,8}",
        ) {
            let accepted = Accepted::of([field.as_bytes()]);
            for offered in [ALL, &[Coding::Gzip], &[]] {
                if let Some(coding) = accepted.best(offered) {
                    prop_assert!(offered.contains(&coding) && accepted.takes(coding));
                    let better = offered.iter().any(|c| accepted.weight(*c) > accepted.weight(coding));
                    prop_assert!(!better);
                }
            }
        }

        #[test]
        fn tags_are_parts_of_the_field(value in prop::collection::vec(any::<u8>(), 0..64)) {
            for tag in tags(&value) {
                prop_assert!(value.windows(tag.len()).any(|window| window == tag));
                prop_assert!(tag.ends_with(b"\""));
            }
        }
    }
}
