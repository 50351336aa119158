//! `error_pages` and `maintenance`: what people see when there is no answer.

use std::time::Duration;

use ipnet::IpNet;

use crate::model::Template;

/// One page in several languages of machines and people; at least one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// For browsers.
    pub html: Option<Template>,
    /// For programs.
    pub json: Option<Template>,
    /// For all others.
    pub text: Option<Template>,
}

/// Pages by status.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorPages {
    /// First and last status, and what is shown; the narrowest range goes first.
    pub pages: Vec<(u16, u16, Page)>,
    /// Also in place of what servers say.
    pub servers: bool,
}

/// Everybody is told to come again later.
#[derive(Clone, Debug, PartialEq)]
pub struct Maintenance {
    /// It is going on.
    pub enabled: bool,
    /// Clients that are served nevertheless.
    pub allow: Vec<IpNet>,
    /// When to come again.
    pub retry_after: Duration,
    /// What is shown.
    pub page: Option<Page>,
}

impl Page {
    /// The texts with variables in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.html.iter().chain(&self.json).chain(&self.text)
    }
}
