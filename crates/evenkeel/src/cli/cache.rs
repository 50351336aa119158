//! `evenkeel cache`: what the caches of a running process hold, and having them forget.

use hyper::Method;
use serde_json::{Map, Value};

use super::client::{AdminArguments, Client};
use super::status::list;
use crate::failure::{Exit, Failure};
use crate::terminal;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show what each cache holds
    Show {
        #[command(flatten)]
        admin: AdminArguments,
    },
    /// Forget answers: of a URL, of all that begin with a prefix, or with a tag
    Purge(PurgeArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct PurgeArguments {
    /// The answers of this URL, as clients write it
    #[arg(required_unless_present_any = ["prefix", "tag", "all"], conflicts_with_all = ["prefix", "tag", "all"])]
    url: Option<String>,
    /// Of all URLs that begin with this, like https://www.example.com/news/
    #[arg(long, conflicts_with_all = ["tag", "all"])]
    prefix: Option<String>,
    /// All answers that name this tag
    #[arg(long, conflicts_with = "all")]
    tag: Option<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// Only of the cache of this policy
    #[arg(long)]
    policy: Option<String>,
    #[command(flatten)]
    admin: AdminArguments,
}

/// Does what is asked.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Show { admin } => show(admin),
        Command::Purge(arguments) => purge(arguments),
    }
}

fn show(admin: &AdminArguments) -> Result<(), Failure> {
    let caches = Client::new(admin)?.get("/v1/caches")?;
    if admin.json {
        terminal::print(&format!("{caches:#}\n"));
        return Ok(());
    }
    if list(&caches).is_empty() {
        terminal::print("no policy is a cache\n");
    }
    for cache in list(&caches) {
        let name = cache["policy"].as_str().unwrap_or_default();
        terminal::print(&format!(
            "{name}: {} entries, {} bytes\n",
            cache["entries"], cache["bytes"]
        ));
    }
    Ok(())
}

fn purge(arguments: &PurgeArguments) -> Result<(), Failure> {
    let mut body = Map::new();
    for (name, value) in [
        ("url", &arguments.url),
        ("prefix", &arguments.prefix),
        ("tag", &arguments.tag),
        ("policy", &arguments.policy),
    ] {
        if let Some(value) = value {
            body.insert(name.into(), Value::from(value.as_str()));
        }
    }
    if arguments.all {
        body.insert("all".into(), Value::Bool(true));
    }
    let answer = Client::new(&arguments.admin)?.ask(
        Method::POST,
        "/v1/caches/purge",
        Some(&Value::Object(body)),
    )?;
    let done = answer.success()?;
    match done["purged"].as_u64() {
        Some(count) => terminal::print(&format!("{count} forgotten\n")),
        None => return Err(Failure::new(Exit::Runtime, "the process did not say what it forgot")),
    }
    Ok(())
}
