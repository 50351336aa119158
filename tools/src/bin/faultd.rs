//! A misbehaving backend; see `evenkeel_tools::faultd`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use evenkeel_tools::faultd::{Behaviour, Faultd, Options};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Answers as the path of each request says (`/echo`, `/bytes/N`, `/reset`, …).
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; repeat for more
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: Vec<SocketAddr>,
    /// Told in `x-backend`
    #[arg(long, default_value = "faultd")]
    name: String,
    /// Close idle connections after a random time between these, in microseconds: 0..20000
    #[arg(long, value_parser = range)]
    idle_close: Option<(u64, u64)>,
    /// Append a line for each request, before it is answered: microseconds, connection, method, id
    #[arg(long)]
    log: Option<PathBuf>,
    /// Steps in front of every path, like delay/20
    #[arg(long, default_value = "")]
    behave: String,
    /// Take lines from standard input: each is what `--behave` is from then on; ends with it
    #[arg(long)]
    control: bool,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (least, most) = text.split_once("..").ok_or("write it like 0..20000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    let (least, most) = (number(least)?, number(most)?);
    if least <= most {
        Ok((least, most))
    } else {
        Err("the first is larger than the second".into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let behaviour = Behaviour::default();
    behaviour.set(&arguments.behave);
    for address in arguments.listen {
        let options = Options {
            name: arguments.name.clone(),
            idle_close: arguments.idle_close,
            record: false,
            log: arguments.log.clone(),
            behaviour: behaviour.clone(),
        };
        println!("{}", Faultd::start(address, options).await?.address);
    }
    if arguments.control {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            behaviour.set(line.trim());
            // A reader that has gone wants no more.
            let _ = writeln!(std::io::stdout(), "ok");
        }
        return Ok(());
    }
    std::future::pending().await
}
