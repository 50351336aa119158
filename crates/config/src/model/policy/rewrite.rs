//! `rewrite`: what servers are asked for.

use crate::model::{Pattern, Template};

/// Changes of path, query and host, as servers get them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// The path; the client's if `None`.
    pub path: Option<PathRewrite>,
    /// The query; the client's if it changes nothing.
    pub query: QueryRewrite,
    /// The host; the client's if `None`. A pool that says what its servers see goes first.
    pub host: Option<Template>,
}

/// A change of the path.
#[derive(Clone, Debug, PartialEq)]
pub enum PathRewrite {
    /// This prefix, on segment boundaries, is replaced. A path without it stays.
    Prefix {
        /// Without a slash at its end.
        from: String,
        /// Without a slash at its end; empty takes the prefix away.
        to: String,
    },
    /// This path.
    Set(Template),
    /// What matches is replaced.
    Regex {
        /// What is looked for, anywhere unless anchored.
        pattern: Pattern,
        /// `$1` or `$name` is what the group has matched.
        to: String,
    },
}

/// A change of the query's parameters, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryRewrite {
    /// All others are taken away.
    pub keep: Option<Vec<String>>,
    /// Taken away.
    pub remove: Vec<String>,
    /// Replaced or added.
    pub set: Vec<(String, Template)>,
}

impl QueryRewrite {
    /// It leaves the query as it is.
    pub fn is_none(&self) -> bool {
        self.keep.is_none() && self.remove.is_empty() && self.set.is_empty()
    }
}

impl Rewrite {
    /// The texts with variables in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let path = match &self.path {
            Some(PathRewrite::Set(template)) => Some(template),
            _ => None,
        };
        path.into_iter().chain(&self.host).chain(self.query.set.iter().map(|(_, value)| value))
    }
}
