//! Key material: reads files, says what is wrong with them, and makes of them what the data path
//! speaks TLS with. Owns when a listener's material is made anew; nothing here is on a request's path.

mod files;
mod inspect;
mod keyring;
mod listener;
mod ocsp;
mod pair;
mod problem;
mod start;

pub(crate) use self::inspect::inspect;
pub(crate) use self::keyring::{Keyring, Occasion, OwnTickets, prevents};
pub(crate) use self::problem::{Problem, report};
pub(crate) use self::start::at_start;
