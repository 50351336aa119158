//! Key material: reads files, says what is wrong with them, and makes of them what the data path
//! speaks TLS with. Owns when that of listeners and pools is made anew; nothing here is on a request's path.

#[cfg(feature = "acme")]
pub(crate) mod acme;
mod challenges;
mod files;
mod inspect;
mod issued;
mod keyring;
mod listener;
mod ocsp;
mod pair;
mod pool;
mod problem;
mod read;
mod start;

pub(crate) use self::challenges::Challenges;
pub(crate) use self::files::read;
pub(crate) use self::inspect::inspect;
pub(crate) use self::keyring::{Keyring, Occasion, OwnTickets, prevents};
pub(crate) use self::pool::{client_of, system_roots};
pub(crate) use self::problem::{Problem, report};
pub(crate) use self::start::at_start;
