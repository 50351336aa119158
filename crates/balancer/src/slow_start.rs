//! A server that comes (back) begins with a tenth of its weight and gets another tenth after each
//! tenth of the time, so that tables are built at most ten times. Owns the arithmetic.

/// Steps of the ramp; effective weights count in these parts of a weight.
pub(crate) const STEPS: u32 = 10;

/// Which step a server is at that entered at `entered` (0: long ago), and when the next begins.
pub(crate) fn step(entered: u64, ramp: u64, now: u64) -> (u32, Option<u64>) {
    if entered == 0 || ramp == 0 {
        return (STEPS, None);
    }
    let each = (ramp / u64::from(STEPS)).max(1);
    let done = now.saturating_sub(entered) / each;
    let next_at = |steps: u64| entered.saturating_add(each.saturating_mul(steps));
    match u32::try_from(done) {
        Ok(done) if done < STEPS - 1 => (done + 1, Some(next_at(u64::from(done) + 1))),
        _ => (STEPS, None),
    }
}
