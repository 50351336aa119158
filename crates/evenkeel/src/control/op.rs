//! What can be changed while the process runs, as the API, the state file and the log say it. Owns
//! the words; what they do to the configuration is in `overlay`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A server as the file has it: `"10.0.0.1:80"`, or a map with `address`, `weight`, `backup` ….
pub(crate) type ServerSpec = Value;

/// One change. `server` is a server's key: its address as configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Op {
    /// More servers; one that is there already with the same settings changes nothing.
    AddServers { pool: String, servers: Vec<ServerSpec> },
    /// Takes no new request from now on; what runs there drains.
    RemoveServer { pool: String, server: String },
    /// These instead of those of the file and those added before; registered ones stay.
    ReplaceServers { pool: String, servers: Vec<ServerSpec> },
    /// Another share.
    Weight { pool: String, server: String, weight: u32 },
    /// No new requests; what runs may finish.
    Drain {
        target: Target,
        #[serde(default)]
        mode: Mode,
        /// Instead of `shutdown.drain` (and `drain_tunnels`).
        #[serde(default, skip_serializing_if = "Option::is_none", with = "span::optional")]
        deadline: Option<Duration>,
    },
    /// Takes requests again; what failures said about it is forgotten.
    Enable { target: Target },
    /// No new requests, for as long as it is so.
    Disable { target: Target },
    /// A pool made at runtime, or made anew.
    PutPool { name: String, spec: Value },
    /// Only one made at runtime.
    RemovePool { name: String },
    /// A route made at runtime, or made anew.
    PutRoute { name: String, spec: Value },
    /// Only one made at runtime.
    RemoveRoute { name: String },
    /// What was changed about the servers of a pool, or about one of them, is as in the file again.
    Forget {
        pool: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
    },
    /// A service says that it is there, and what it serves; until `ttl` has passed without another.
    Register {
        pool: String,
        server: ServerSpec,
        #[serde(with = "span")]
        ttl: Duration,
        /// Who says so; only the same may renew or end it.
        owner: String,
        /// As in the file, without `to`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        routes: Vec<Value>,
    },
    /// It says that it goes.
    Deregister { pool: String, server: String, owner: String },
}

/// What is drained, enabled or disabled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Target {
    /// One server of a pool.
    Server { pool: String, server: String },
    /// All servers of a pool.
    Pool(String),
    /// A listener: its sockets are closed.
    Listener(String),
    /// Everything; then the process ends.
    Process,
}

/// How what runs comes to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// It may finish until the deadline; clients bound to a server are still sent there.
    #[default]
    Graceful,
    /// It may finish, however long that takes; nothing new is sent there.
    Immediate,
    /// It ends now.
    Forced,
}

/// Times as the file writes them: `30s`, `5m`; a number is seconds.
pub(crate) mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(f64),
        Text(String),
    }

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{}ms", span.as_millis()))
    }

    pub(crate) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Duration, D::Error> {
        Written::deserialize(from).and_then(|written| read(written).map_err(D::Error::custom))
    }

    fn read(written: Written) -> Result<Duration, String> {
        let wrong = |text: &str| format!("`{text}` is no time; write `500ms`, `30s`, `5m` or `1h`");
        let (number, unit) = match &written {
            Written::Seconds(seconds) => (*seconds, "s"),
            Written::Text(text) => {
                let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
                let (number, unit) = text.split_at(end);
                (number.trim().parse().map_err(|_| wrong(text))?, unit)
            }
        };
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            other => return Err(wrong(other)),
        };
        let seconds = number * scale;
        // A year: keeps the sum of instants sound.
        match (0.0..=31_536_000.0).contains(&seconds) {
            true => Ok(Duration::from_secs_f64(seconds)),
            false => Err("a time is between 0 and a year".into()),
        }
    }

    pub(crate) mod optional {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serializer, de::Error};

        pub(crate) fn serialize<S: Serializer>(
            span: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match span {
                Some(span) => super::serialize(span, to),
                None => to.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'d, D: Deserializer<'d>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            let written = Option::<super::Written>::deserialize(from)?;
            written.map(super::read).transpose().map_err(D::Error::custom)
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server { pool, server } => write!(f, "server `{server}` of pool `{pool}`"),
            Self::Pool(pool) => write!(f, "pool `{pool}`"),
            Self::Listener(listener) => write!(f, "listener `{listener}`"),
            Self::Process => f.write_str("the process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = r#"[
            {"op":"weight","pool":"app","server":"a:1","weight":3},
            {"op":"drain","target":{"server":{"pool":"app","server":"a:1"}},"deadline":"5s"},
            {"op":"drain","target":"process","mode":"forced"},
            {"op":"register","pool":"app","server":"a:1","ttl":"30s","owner":"shop"},
            {"op":"forget","pool":"app"}
        ]"#;
        let ops: Vec<Op> = serde_json::from_str(text).unwrap();
        let again: Vec<Op> = serde_json::from_value(serde_json::to_value(&ops).unwrap()).unwrap();
        assert_eq!(ops, again);
    }

    #[test]
    fn a_word_that_nobody_knows_is_refused() {
        for text in [
            r#"{"op":"weight","pool":"app","server":"a:1","weight":3,"wieght":4}"#,
            r#"{"op":"drain","target":{"listner":"web"}}"#,
            r#"{"op":"drain","target":"process","deadline":"soon"}"#,
            r#"{"op":"explode"}"#,
        ] {
            assert!(serde_json::from_str::<Op>(text).is_err(), "{text}");
        }
    }
}
