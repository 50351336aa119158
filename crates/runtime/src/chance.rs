//! Chance in a simulated world comes from its seed, or the same seed would not give the same world.

/// Fills `bytes` from the seed of the simulated world; `false`, and nothing done, outside one: then
/// whoever asks has to find real chance.
#[inline(always)]
pub fn fill_from_seed(bytes: &mut [u8]) -> bool {
    #[cfg(feature = "sim")]
    return crate::sim::fill(bytes);
    #[cfg(not(feature = "sim"))]
    {
        let _ = bytes;
        false
    }
}
