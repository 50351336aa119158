//! OCSP responses from files (RFC 6960): which certificate one is about, what it says, and for how
//! long. Only as much of it is read as that takes; clients check who signed it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a response says about one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// As it stands in the certificate.
    serial: Vec<u8>,
    is_good: bool,
    from: SystemTime,
    /// Until then at least; for ever if it does not say.
    until: Option<SystemTime>,
}

/// Why a response is not shown to clients.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is about another certificate.
    Other,
    /// It says that the certificate is revoked, or unknown.
    NotGood,
    /// It is not valid yet, or no more.
    OutOfDate,
}

impl Said {
    /// Reads a DER-encoded response; `None` if it is none that says anything.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let response = Der(der).expect(SEQUENCE)?.0;
        let (status, rest) = response.expect(ENUMERATED)?;
        if status.0 != [0] {
            return None; // RFC 6960 §4.2.1: only `successful` has more
        }
        let (bytes, _) = rest.expect(context(0))?;
        let (bytes, _) = bytes.expect(SEQUENCE)?;
        let (_, rest) = bytes.expect(OBJECT)?;
        let (basic, _) = rest.expect(OCTETS)?;
        let (basic, _) = basic.expect(SEQUENCE)?;
        let (mut data, _) = basic.expect(SEQUENCE)?;
        if let Some((_, rest)) = data.expect(context(0)) {
            data = rest; // version
        }
        let (_, _, rest) = data.next()?; // responder
        let (_, rest) = rest.expect(GENERALIZED_TIME)?;
        let (responses, _) = rest.expect(SEQUENCE)?;
        let (single, _) = responses.expect(SEQUENCE)?;
        let (id, rest) = single.expect(SEQUENCE)?;
        let (_, id) = id.expect(SEQUENCE)?;
        let (_, id) = id.expect(OCTETS)?;
        let (_, id) = id.expect(OCTETS)?;
        let (serial, _) = id.expect(INTEGER)?;
        let (kind, _, rest) = rest.next()?;
        let (from, rest) = rest.expect(GENERALIZED_TIME)?;
        let until = rest.expect(context(0)).and_then(|(time, _)| time.expect(GENERALIZED_TIME));
        Some(Self {
            serial: serial.0.to_vec(),
            is_good: kind == 0x80,
            from: moment(from.0)?,
            until: match until {
                Some((time, _)) => Some(moment(time.0)?),
                None => None,
            },
        })
    }

    /// Whether it may be shown with the certificate of this serial number now.
    pub(crate) fn suits(&self, serial: &[u8], now: SystemTime) -> Result<(), Unfit> {
        if self.serial != serial {
            return Err(Unfit::Other);
        }
        if !self.is_good {
            return Err(Unfit::NotGood);
        }
        match self.from <= now && self.until.is_none_or(|until| now < until) {
            true => Ok(()),
            false => Err(Unfit::OutOfDate),
        }
    }

    /// When it ends.
    pub(crate) fn until(&self) -> Option<SystemTime> {
        self.until
    }
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;

const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// Values one after another (X.690 §8.1).
#[derive(Clone, Copy)]
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The first value, if it is of this kind, and what follows.
    fn expect(self, kind: u8) -> Option<(Self, Self)> {
        let (found, value, rest) = self.next()?;
        (found == kind).then_some((value, rest))
    }

    fn next(self) -> Option<(u8, Self, Self)> {
        let (kind, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        Some((*kind, Self(value), Self(rest)))
    }
}

/// `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5.2).
fn moment(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    // Years that begin in March, so that the leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn der(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut all = vec![kind];
        match value.len() {
            length @ 0..128 => all.push(length as u8),
            length => all.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        all.extend_from_slice(value);
        all
    }

    /// A response as an authority makes it, but for its signature.
    fn response(serial: &[u8], status: u8, from: &str, until: &str) -> Vec<u8> {
        let time = |text: &str| der(GENERALIZED_TIME, text.as_bytes());
        let hash = der(SEQUENCE, &der(OBJECT, &[0x2b, 0x0e, 0x03, 0x02, 0x1a]));
        let id = [hash, der(OCTETS, &[1; 20]), der(OCTETS, &[2; 20]), der(INTEGER, serial)];
        let single = [
            der(SEQUENCE, &id.concat()),
            der(status, &[]),
            time(from),
            der(context(0), &time(until)),
        ];
        let data = [
            der(context(2), &der(OCTETS, &[2; 20])),
            time(from),
            der(SEQUENCE, &der(SEQUENCE, &single.concat())),
        ];
        let basic = der(SEQUENCE, &der(SEQUENCE, &data.concat()));
        let bytes = [der(OBJECT, &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]), der(OCTETS, &basic)];
        let wrapped = der(context(0), &der(SEQUENCE, &bytes.concat()));
        der(SEQUENCE, &[der(ENUMERATED, &[0]), wrapped].concat())
    }

    #[test]
    fn a_response_is_shown_with_its_certificate_while_it_is_good() {
        let at = |text: &str| moment(text.as_bytes()).expect("a moment");
        let said = Said::read(&response(&[7, 8], 0x80, "20260101000000Z", "20260108000000Z"));
        let said = said.expect("a response");
        assert_eq!(said.suits(&[7, 8], at("20260102000000Z")), Ok(()));
        assert_eq!(said.suits(&[7, 9], at("20260102000000Z")), Err(Unfit::Other));
        assert_eq!(said.suits(&[7, 8], at("20251231235959Z")), Err(Unfit::OutOfDate));
        assert_eq!(said.suits(&[7, 8], at("20260108000000Z")), Err(Unfit::OutOfDate));
        let revoked = Said::read(&response(&[7], 0xa1, "20260101000000Z", "20260108000000Z"));
        let revoked = revoked.expect("a response");
        assert_eq!(revoked.suits(&[7], at("20260102000000Z")), Err(Unfit::NotGood));
    }

    #[test]
    fn what_is_cut_off_says_nothing() {
        let whole = response(&[7], 0x80, "20260101000000Z", "20260108000000Z");
        for length in 0..whole.len() {
            assert_eq!(Said::read(&whole[..length]), None, "the first {length} bytes");
        }
        assert_eq!(Said::read(&[0x30, 3, 0x0a, 1, 6]), None, "unauthorized (RFC 6960 §4.2.1)");
    }

    #[test]
    fn moments_are_read() {
        let seconds =
            |text: &str| Some(moment(text.as_bytes())?.duration_since(UNIX_EPOCH).ok()?.as_secs());
        assert_eq!(seconds("19700101000000Z"), Some(0));
        assert_eq!(seconds("20000229000000Z"), Some(951_782_400));
        assert_eq!(seconds("20261120235959Z"), Some(1_795_219_199));
        for text in ["", "20261320235959Z", "2026112023595Z", "20261120235959"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
