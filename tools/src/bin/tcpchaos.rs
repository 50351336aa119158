//! A bad network; see `evenkeel_tools::chaos`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use evenkeel_tools::chaos::{Settings, start};

/// Relays connections, badly.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// Where to relay to
    #[arg(long)]
    to: SocketAddr,
    /// Each piece waits so many milliseconds
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Pieces are at most so many bytes
    #[arg(long, default_value_t = 0)]
    split: usize,
    /// Bytes a second
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Nothing moves after so many bytes
    #[arg(long)]
    stall_after: Option<u64>,
    /// Reset after so many bytes
    #[arg(long)]
    reset_after: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let settings = Settings {
        delay: Duration::from_millis(arguments.delay),
        split: arguments.split,
        rate: arguments.rate,
        stall_after: arguments.stall_after,
        reset_after: arguments.reset_after,
    };
    println!("{}", start(arguments.listen, arguments.to, settings).await?);
    std::future::pending().await
}
