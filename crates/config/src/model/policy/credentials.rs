//! `basic_auth` and `api_key`: who comes in by what he knows.

use std::time::Duration;

use super::super::Secret;

/// Who comes in by name and password (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// What the client is told that it asks for.
    pub realm: String,
    /// Names, and hashes of passwords: argon2id or bcrypt.
    pub users: Vec<(String, Secret)>,
    /// More of them.
    pub file: Option<String>,
    /// Servers are told the name in this field, and nobody else can.
    pub user_field: Option<String>,
    /// Servers get the field with the password, too.
    pub pass: bool,
    /// How long a password that was right is not verified again; zero is never.
    pub remember: Duration,
}

/// Who comes in by a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Where it is.
    pub from: KeySource,
    /// Owners and their keys.
    pub keys: Vec<(String, Secret)>,
    /// Servers are told the owner in this field, and nobody else can.
    pub owner_field: Option<String>,
    /// Servers get the key, too.
    pub pass: bool,
}

/// Where a key or token is in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The whole value of this field.
    Header(String),
    /// This parameter of the query.
    Query(String),
    /// This cookie.
    Cookie(String),
}

/// A line of a password file or an inline user: whether the hash is one that can be verified.
///
/// # Errors
/// Why it is not.
pub fn password_hash(hash: &str) -> Result<(), &'static str> {
    let is_bcrypt = ["$2a$", "$2b$", "$2y$"].iter().any(|start| hash.starts_with(start));
    if is_bcrypt {
        let cost = hash.get(4..6).and_then(|cost| cost.parse::<u32>().ok());
        return match cost {
            Some(4..=16) if hash.len() == 60 => Ok(()),
            Some(17..) => Err("a bcrypt hash of a cost above 16 takes too long to verify"),
            _ => Err("this is not a bcrypt hash"),
        };
    }
    let Some(rest) = hash.strip_prefix("$argon2id$") else {
        return Err("this is neither an argon2id nor a bcrypt hash");
    };
    let parts: Vec<&str> = rest.split('$').collect();
    let [_, parameters, salt, output] = parts.as_slice() else {
        return Err("this is not an argon2id hash");
    };
    if salt.is_empty() || output.is_empty() {
        return Err("this is not an argon2id hash");
    }
    for parameter in parameters.split(',') {
        let Some((name, value)) = parameter.split_once('=') else {
            return Err("this is not an argon2id hash");
        };
        match (name, value.parse::<u32>()) {
            ("m", Ok(8..=262_144)) | ("t", Ok(1..=16)) | ("p", Ok(1..=16)) => {}
            ("m" | "t" | "p", Ok(_)) => {
                return Err(
                    "an argon2id hash of more than 256 MiB, 16 passes or 16 lanes takes too much",
                );
            }
            _ => return Err("this is not an argon2id hash"),
        }
    }
    Ok(())
}
