//! From the tree to the model. The only place that makes a [`Config`] from what users write; goes
//! on after every mistake, so that all of them are reported at once.

mod acme;
mod admin;
mod affinity;
mod balance;
mod discovery;
mod groups;
mod health;
mod layer4;
mod listener;
mod matching;
mod policy;
mod pool;
mod resilience;
mod route;
mod secret;
mod sense;
mod server;
mod template;
mod tls;
mod upstream_tls;

pub use secret::key_of;
pub(crate) use server::read_list as servers;

use std::collections::HashMap;
use std::num::NonZeroU32;

use crate::diagnostic::{Diagnostic, Span};
use crate::model::{Config, Shutdown};
use crate::option::{ROOT, SHUTDOWN};
use crate::read::{Findings, Options, one_or_many, text};
use crate::tree::{Key, Node, Value};

/// A name defined in the file: its place is its id.
pub(crate) struct Names {
    what: &'static str,
    names: Vec<(String, Span)>,
    places: HashMap<String, u32>,
}

/// Names that are shown or suggested for one that is not known; more would help nobody, and each
/// costs a comparison for each mistake.
const SUGGESTED_MAX: usize = 200;

impl Names {
    fn collect(what: &'static str, entries: &[(Key, Node)]) -> Self {
        let names: Vec<_> = entries.iter().map(|(key, _)| (key.text.clone(), key.span)).collect();
        let places = names.iter().zip(0..).map(|((name, _), at)| (name.clone(), at)).collect();
        Self { what, names, places }
    }

    /// The id of what `name` means, if anything has that name.
    pub(crate) fn find(&self, name: &str, span: Span, found: &mut Findings) -> Option<u32> {
        let at = self.places.get(name).copied();
        if at.is_none() {
            let names = self.names.iter().take(SUGGESTED_MAX);
            let known: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
            let mut diagnostic = Diagnostic::error(
                "unknown-name",
                span,
                format!("there is no {} `{name}`", self.what),
            )
            .suggest(name, known.iter().copied());
            if diagnostic.label.is_empty() && !known.is_empty() {
                diagnostic = diagnostic.help(format!("there is: {}", known.join(", ")));
            }
            found.push(diagnostic);
        }
        at
    }

    /// The ids of the names in `node`, one or a list.
    pub(crate) fn find_all(&self, node: Option<&Node>, found: &mut Findings) -> Vec<u32> {
        let nodes = node.map(one_or_many).unwrap_or_default();
        nodes.iter().filter_map(|n| self.find(text(n, found)?, n.span, found)).collect()
    }

    fn span(&self, at: usize) -> Span {
        self.names.get(at).map(|(_, span)| *span).unwrap_or_default()
    }
}

/// What the parts of a configuration may refer to.
pub(crate) struct Scope {
    pub(crate) listeners: Names,
    pub(crate) pools: Names,
    pub(crate) policies: Names,
}

/// Makes a configuration of the merged sources.
pub(crate) fn validate(root: &Node, found: &mut Findings) -> Config {
    let options = Options::read(root, &ROOT, found);
    let section = |key: &str, found: &mut Findings| -> &[(Key, Node)] {
        options.node(key).map(|node| crate::read::map(node, found)).unwrap_or_default()
    };
    let listeners = section("listeners", found);
    let pools = section("pools", found);
    let policies = section("policies", found);
    let scope = Scope {
        listeners: Names::collect("listener", listeners),
        pools: Names::collect("pool", pools),
        policies: Names::collect("policy", policies),
    };
    let workers =
        options.count("workers", found).and_then(|n| NonZeroU32::new(u32::try_from(n).ok()?));
    let mut config = Config {
        workers,
        shutdown: shutdown(options.node("shutdown"), found),
        watch: options.bool("watch", found),
        resolvers: discovery::resolvers(options.node("resolvers"), found),
        acme: options.node("acme").and_then(|node| acme::read(node, found)),
        admin: admin::read(options.node("admin").unwrap_or(&empty()), found),
        listeners: listeners.iter().map(|(k, n)| listener::read(k, n, &scope, found)).collect(),
        routes: Vec::new(),
        pools: pools.iter().map(|(k, n)| pool::read(k, n, found)).collect(),
        policies: policies.iter().map(|(k, n)| policy::read(k, n, &scope, found)).collect(),
    };
    let nodes =
        options.node("routes").map(|node| crate::read::list(node, found)).unwrap_or_default();
    let spans: Vec<Span>;
    (config.routes, spans) = route::read_all(nodes, &scope, found).into_iter().unzip();
    acme::check(&config, |at| scope.listeners.span(at), found);
    layer4::check(&config, &scope, found);
    groups::check(&config, &scope, &spans, found);
    sense::check(&config, &scope, &spans, found);
    config
}

fn shutdown(node: Option<&Node>, found: &mut Findings) -> Shutdown {
    let empty = empty();
    let options = Options::read(node.unwrap_or(&empty), &SHUTDOWN, found);
    Shutdown {
        drain: options.duration("drain", found),
        drain_tunnels: options.duration("drain_tunnels", found),
    }
}

/// A section that was not written.
pub(crate) fn empty() -> Node {
    Node { value: Value::Null, span: Span::default() }
}
