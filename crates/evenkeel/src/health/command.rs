//! The command check: a program that ends with status 0. It runs in a process group of its own,
//! which is killed as a whole when its time is up or the check is given up; it is always waited for.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use evenkeel_config::model::CommandProbe;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::probe::{Aim, Miss, Probed, blame, late, shown};

/// How much of what a program says is kept.
const SAID_MAX: usize = 1024;
/// How long what a program said is waited for once it has ended: children it left behind may hold
/// its output open for ever.
const REST: Duration = Duration::from_millis(50);
/// How long a killed program is waited for.
const END: Duration = Duration::from_secs(1);

pub(super) async fn probe(probe: &CommandProbe, aim: &Aim, limit: Duration) -> Probed {
    let mut program = Program::start(probe, aim)?;
    let (mut out, mut err) = (Said::default(), Said::default());
    let (stdout, stderr) = (program.0.stdout.take(), program.0.stderr.take());
    let mut listen = Box::pin(async { tokio::join!(out.listen(stdout), err.listen(stderr)) });
    let mut heard = false;
    let run = async {
        loop {
            tokio::select! {
                ended = program.0.wait() => return ended,
                _ = &mut listen, if !heard => heard = true,
            }
        }
    };
    let ended = tokio::time::timeout(limit, run).await;
    let status = match ended {
        Ok(status) => status.map_err(|e| blame("cannot wait for the program", &e))?,
        Err(_) => {
            program.kill();
            // Killed, so it ends, unless the kernel holds it; then tokio waits for it.
            let _ = tokio::time::timeout(END, program.0.wait()).await;
            return Err(late(limit, "end of the program"));
        }
    };
    if status.success() {
        return Ok(());
    }
    if !heard {
        let _ = tokio::time::timeout(REST, &mut listen).await;
    }
    drop(listen);
    Err(Miss::Failed(explain(status, &out.0, &err.0)))
}

/// A program that runs.
struct Program(Child);

impl Program {
    fn start(probe: &CommandProbe, aim: &Aim) -> Result<Self, Miss> {
        let Some((program, arguments)) = probe.argv.split_first() else {
            return Err(Miss::NotMade("there is no program to run".into()));
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        let address = aim.addresses.first();
        command
            .env("EVENKEEL_POOL", &*aim.pool)
            .env("EVENKEEL_SERVER", &*aim.server)
            .env("EVENKEEL_HOST", &*aim.host)
            .env("EVENKEEL_ADDRESS", address.map(|a| a.ip().to_string()).unwrap_or_default())
            .env("EVENKEEL_PORT", address.map(|a| a.port().to_string()).unwrap_or_default())
            .envs(probe.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        match command.spawn() {
            Ok(child) => Ok(Self(child)),
            // A program that is not there says nothing about a server.
            Err(e) => Err(Miss::NotMade(format!("cannot run `{program}`: {e}"))),
        }
    }

    /// Kills it and what it started, unless it has been waited for: then its number may belong to
    /// somebody else.
    fn kill(&self) {
        if let Some(id) = self.0.id() {
            let _ = evenkeel_runtime::kill_group(id);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The beginning of what a program says; the rest is read and dropped, so that it never blocks.
#[derive(Default)]
struct Said(Vec<u8>);

impl Said {
    async fn listen(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = [0; SAID_MAX];
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            let room = SAID_MAX.saturating_sub(self.0.len()).min(n);
            self.0.extend_from_slice(buffer.get(..room).unwrap_or_default());
        }
    }
}

fn explain(status: ExitStatus, out: &[u8], err: &[u8]) -> String {
    use std::os::unix::process::ExitStatusExt;
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended strangely".into(),
    };
    match [err, out].into_iter().map(shown).find(|said| !said.is_empty()) {
        Some(said) => format!("{how}: {said}"),
        None => how,
    }
}
