//! Known bugs, real ones of the past, that a test can put back to see whether it would notice.
//! Without the feature `plant`, which no shipped build has, every question is answered by a
//! constant `false` and nothing of them is compiled.

/// One bug; its comment says where the world met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words are the documentation
pub enum Bug {
    LengthBesideCoding,
}

impl Bug {
    /// All of them, with their names.
    pub const ALL: &[(&str, Self)] = &[("length-beside-coding", Self::LengthBesideCoding)];
}

#[cfg(feature = "plant")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Puts a bug back, on this thread; or none.
#[cfg(feature = "plant")]
pub fn set(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether `bug` is there.
#[inline(always)]
pub fn is(bug: Bug) -> bool {
    #[cfg(feature = "plant")]
    return PLANTED.get() == Some(bug);
    #[cfg(not(feature = "plant"))]
    {
        let _ = bug;
        false
    }
}
