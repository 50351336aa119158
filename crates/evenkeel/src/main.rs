//! The `evenkeel` command: owns the process (arguments, files, signals, threads, logs, exit code).
//! What happens to a request is the business of `evenkeel-proxy`, not of this crate.
#![forbid(unsafe_code)]

mod admin;
mod certs;
mod cli;
mod control;
mod demo;
mod discovery;
mod documents;
mod failure;
mod health;
mod limits;
mod log;
mod passwords;
mod signals;
mod sources;
mod supervisor;
mod systemd;
mod terminal;
mod upgrade;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
