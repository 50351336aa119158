//! `redirect`: one spelling of a site's address.

/// Where requests under another spelling are sent; path and query stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// To `https`, those that came without.
    pub https: bool,
    /// The port of `https`; 443.
    pub port: u16,
    /// What becomes of `www.`.
    pub www: Www,
    /// 301, 302, 307 or 308 (the default).
    pub status: u16,
}

/// What becomes of `www.` before a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Www {
    /// It is there or not, as the client likes.
    Keep,
    /// It is put before names that do not begin with it.
    Add,
    /// It is taken away.
    Remove,
}
