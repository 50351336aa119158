//! `geo`: where clients are.

/// Where clients are, by a database of networks, and who comes in by that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geo {
    /// A MaxMind database with countries.
    pub file: String,
    /// Servers are told the country in this field, and nobody else can.
    pub country_field: Option<String>,
    /// Those that may; all if empty.
    pub allow: Vec<String>,
    /// Those that may not.
    pub deny: Vec<String>,
    /// Whether those may whose country is not known.
    pub unknown: bool,
}
