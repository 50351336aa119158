//! Faults on request, to prove that they stay where they happen. Exists only with the feature
//! `fault-injection`, which no released binary has.

use std::time::Duration;

use crate::http::exchange::Exchange;

const NAME: &[u8] = b"x-evenkeel-fault";
/// A worker spins for no longer, whatever is asked for.
const SPIN_MAX: Duration = Duration::from_secs(30);

/// Does what `x-evenkeel-fault: panic` or `x-evenkeel-fault: spin=MS` asks for.
pub(super) fn inject(exchange: &Exchange<'_>) {
    let bytes = exchange.buffer.all();
    let is_fault = |name: &[u8]| name.eq_ignore_ascii_case(NAME);
    let asked = exchange.head.fields.iter().find(|field| is_fault(field.name.of(bytes)));
    let Some(asked) = asked else { return };
    let text = std::str::from_utf8(asked.value.of(bytes)).unwrap_or_default();
    if text == "panic" {
        panic!("asked to by the request");
    }
    if let Some(millis) = text.strip_prefix("spin=").and_then(|millis| millis.parse().ok()) {
        spin(Duration::from_millis(millis).min(SPIN_MAX));
    }
}

#[allow(clippy::disallowed_methods, reason = "the worker's clock stands still within a step")]
fn spin(time: Duration) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}
