//! What a world is like and what goes wrong in it.

use std::ops::Range;
use std::time::Duration;

/// How often something happens: so many times in a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance(pub u32);

impl Chance {
    /// Never.
    pub const NEVER: Self = Self(0);

    /// `n` times in a thousand.
    pub const fn in_thousand(n: u32) -> Self {
        Self(n * 1000)
    }
}

/// The next of a series of random numbers (splitmix64): equal states give equal series.
pub fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The nature of one world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Time from one end of a wire to the other.
    pub latency: Range<Duration>,
    /// What an end of a wire can hold, in bytes.
    pub window: Range<usize>,
    /// A read or write moves less than it could.
    pub short: Chance,
    /// A task is polled although nothing happened to it.
    pub spurious: Chance,
    /// A reset destroys what had arrived and was not read.
    pub reset_discards: Chance,
    /// A segment is replaced by a reset of the connection.
    pub reset: Chance,
    /// A segment, and all behind it, is held up for up to [`Self::stall_max`].
    pub stall: Chance,
    /// See [`Self::stall`].
    pub stall_max: Duration,
    /// A connection attempt is refused although somebody listens.
    pub refuse: Chance,
    /// A connection attempt is never answered.
    pub swallow: Chance,
    /// Accepting or connecting finds no free descriptor.
    pub descriptors: Chance,
    /// After this time nothing goes wrong any more.
    pub faults_until: Duration,
    /// Polls after which the world ends as stuck.
    pub steps_max: u64,
    /// Time after which the world ends as stuck.
    pub time_max: Duration,
    /// How long the machine has been up when the world begins: counters of milliseconds in 32 bits
    /// wrap after 49.7 days.
    pub uptime: Duration,
    /// The date jumps an hour back and forth, as if somebody set it.
    pub date_jumps: bool,
    /// Keep the trace as text, not only its hash.
    pub keep_trace: bool,
}

impl Plan {
    /// A fast and faultless world.
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            latency: Duration::from_micros(20)..Duration::from_micros(200),
            window: 4096..65_536,
            short: Chance::NEVER,
            spurious: Chance::NEVER,
            reset_discards: Chance::NEVER,
            reset: Chance::NEVER,
            stall: Chance::NEVER,
            stall_max: Duration::ZERO,
            refuse: Chance::NEVER,
            swallow: Chance::NEVER,
            descriptors: Chance::NEVER,
            faults_until: Duration::ZERO,
            steps_max: 2_000_000,
            time_max: Duration::from_secs(3600),
            uptime: Duration::ZERO,
            date_jumps: false,
            keep_trace: false,
        }
    }
}
