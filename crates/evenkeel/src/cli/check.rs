//! `evenkeel check`: reads a configuration as `run` would and says what is wrong with it, or what
//! it comes to. Opens no socket and looks up no name.

use evenkeel_config::{Config, Loaded, Report};

use super::ConfigArgument;
use super::kernel::Kernel;
use crate::failure::{Exit, Failure};
use crate::{certs, sources, terminal};

/// Routes in the summary; `--routes` shows all of them.
const SUMMARY_ROUTES_MAX: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Print the configuration with every default filled in
    #[arg(long, conflicts_with_all = ["json", "routes"])]
    effective: bool,
    /// Print the mistakes as JSON on standard output
    #[arg(long)]
    json: bool,
    /// Print every route in order of precedence
    #[arg(long, conflicts_with = "json")]
    routes: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let sources = sources::read(&arguments.config.path)?;
    let environment = |name: &str| std::env::var(name).ok();
    let loaded = evenkeel_config::load_with(&sources, &environment, certs::inspect);
    if arguments.json {
        return print_json(&loaded);
    }
    let Loaded { config, warnings, .. } = loaded.map_err(|report| refused(&report))?;
    print_warnings(&warnings);
    for advice in Kernel::running().advice(&config) {
        terminal::print_error(&format!("advice: {advice}\n"));
    }
    let name = arguments.config.path.display().to_string();
    terminal::print(&match arguments {
        Arguments { effective: true, .. } => evenkeel_config::effective(&config),
        Arguments { routes: true, .. } => evenkeel_config::precedence::explain(&config),
        _ => summary(&name, &config),
    });
    Ok(())
}

/// The failure that shows every mistake of `report`.
pub(crate) fn refused(report: &Report) -> Failure {
    let text = report.render(terminal::has_colour(&std::io::stderr()));
    Failure::told(Exit::Config, text)
}

/// Shows what is allowed but probably not meant.
pub(crate) fn print_warnings(warnings: &Report) {
    if !warnings.is_empty() {
        terminal::print_error(&warnings.render(terminal::has_colour(&std::io::stderr())));
    }
}

fn print_json(loaded: &Result<Loaded, Report>) -> Result<(), Failure> {
    let report = match loaded {
        Ok(loaded) => &loaded.warnings,
        Err(report) => report,
    };
    terminal::print(&format!("{:#}", report.to_json()));
    match loaded {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::told(Exit::Config, String::new())),
    }
}

fn summary(name: &str, config: &Config) -> String {
    let servers = config.pools.iter().map(|pool| pool.servers.len()).sum();
    let mut text = format!(
        "{name}: ok: {}, {}, {}, {}\n",
        count(config.listeners.len(), "listener"),
        count(config.routes.len(), "route"),
        count(config.pools.len(), "pool"),
        count(servers, "server"),
    );
    for listener in &config.listeners {
        let bind: Vec<_> = listener.bind.iter().map(|address| address.to_string()).collect();
        text.push_str(&format!("  listener {} on {}\n", listener.name, bind.join(", ")));
    }
    if !config.routes.is_empty() {
        text.push_str("routes in order of precedence, the first that matches is taken:\n");
        text.push_str(&shorten(&evenkeel_config::precedence::explain(config)));
    }
    text
}

/// `1 pool`, `3 pools`.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn shorten(explained: &str) -> String {
    let lines: Vec<&str> = explained.lines().collect();
    let Some(head) = lines.get(..SUMMARY_ROUTES_MAX) else {
        return explained.to_owned();
    };
    let rest = lines.len() - SUMMARY_ROUTES_MAX;
    let more =
        if rest > 0 { format!("\n  … {rest} more: --routes shows them") } else { String::new() };
    head.join("\n") + &more
}
