//! Rates of requests as users write them: `100/s`, `1000/min`, `5/10s`.

use std::time::Duration;

use crate::model::RequestRate;
use crate::read::{Findings, Options, count_of, duration_of, show_duration};

const COUNT_MAX: u64 = 100_000_000;
const PERIOD_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// Beyond this a request is worth less than a microsecond, and nobody needs a limit.
const PER_SECOND_MAX: u128 = 1_000_000;

const UNITS: &[(&str, u64)] = &[
    ("s", 1),
    ("sec", 1),
    ("second", 1),
    ("min", 60),
    ("minute", 60),
    ("h", 3600),
    ("hour", 3600),
    ("d", 86_400),
    ("day", 86_400),
];

pub(crate) fn rate_of(text: &str) -> Result<RequestRate, String> {
    let wrong = || format!("`{text}` is not a rate: write it like `100/s`, `1000/min` or `5/10s`");
    let (count, period) = text.split_once('/').ok_or_else(wrong)?;
    let count = count_of(count.trim(), 1, COUNT_MAX).map_err(|_| wrong())?;
    let period = period.trim();
    let unit = UNITS.iter().find(|(word, _)| *word == period);
    let period = match unit {
        Some((_, seconds)) => Duration::from_secs(*seconds),
        None => duration_of(period).map_err(|_| wrong())?,
    };
    if !(Duration::from_secs(1)..=PERIOD_MAX).contains(&period) {
        return Err(format!("`{text}`: the time of a rate is between 1s and 31d"));
    }
    if u128::from(count) * 1_000_000_000 > PER_SECOND_MAX * period.as_nanos() {
        return Err(format!("`{text}` is more than 1,000,000 a second"));
    }
    Ok(RequestRate { count: u32::try_from(count).unwrap_or(u32::MAX), period })
}

/// The rate under `key`, if one is written.
pub(crate) fn rate_if_any(
    options: &Options<'_>,
    key: &str,
    found: &mut Findings,
) -> Option<RequestRate> {
    let text = options.text(key, found)?;
    rate_of(&text).map_err(|message| found.error("bad-value", options.span_of(key), message)).ok()
}

/// As [`rate_of`] reads it.
pub(crate) fn show_rate(rate: RequestRate) -> String {
    let seconds = rate.period.as_secs();
    let is_whole = rate.period.subsec_nanos() == 0;
    match UNITS.iter().find(|(_, of)| is_whole && *of == seconds) {
        Some((unit, _)) => format!("{}/{unit}", rate.count),
        None => format!("{}/{}", rate.count, show_duration(rate.period)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back_as_shown() {
        for text in ["100/s", "1000/min", "5/h", "1/d", "5/10s", "7/1m30s", "1000000/s"] {
            assert_eq!(show_rate(rate_of(text).unwrap()), text);
        }
        assert_eq!(rate_of("1_000 / minute"), rate_of("1000/min"));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in ["", "100", "/s", "0/s", "-1/s", "1/fortnight", "1/100ms", "1/32d", "2000000/s"]
        {
            assert!(rate_of(text).is_err(), "{text}");
        }
    }
}
