//! The old process's side of an upgrade: starts the new one, gives it the sockets, waits until it
//! has proved itself, and only then lets it have them alone. Whatever goes wrong, the new process is
//! killed and nothing has changed here. Blocks; runs on a thread of its own. What the old process
//! does afterwards (drain) is the control plane's.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evenkeel_runtime::{self as runtime, descriptors};

use super::launch::Launch;
use super::message::{Line, Manifest, Message, PROTOCOL, SOCKETS_MAX, Trouble};
use super::{Order, Refused, Step, TIMEOUT_MAX, Upgraded};

/// Within this an honest program says hello: it reads nothing before.
const HELLO: Duration = Duration::from_secs(10);
/// Within this a process that was ready accepts.
const SERVING: Duration = Duration::from_secs(5);
/// How long both serve before the old one believes that the new one lives.
const PROBATION: Duration = Duration::from_secs(1);
/// How long a file that is being written is waited for.
const BUSY: Duration = Duration::from_secs(2);
/// How long a process that closed its end may take to be gone, so that its exit status can be told.
const EXIT_TOLD: Duration = Duration::from_millis(500);

/// Stops a hand-over that has not come as far as serving.
#[derive(Clone, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// The old process is asked to end: there is nothing to hand over any more.
    pub(crate) fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    fn is_asked(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Hands everything over to a new process; returns when it is the only one that should accept.
pub(crate) fn hand_over(
    launch: &Launch,
    order: &Order,
    manifest: Manifest,
    sockets: &[OwnedFd],
    cancel: &Cancel,
) -> Result<Upgraded, Refused> {
    let until = runtime::now() + order.timeout.min(TIMEOUT_MAX);
    if sockets.len() > SOCKETS_MAX {
        let reason = format!("{} sockets are more than {SOCKETS_MAX}", sockets.len());
        return Err(Refused::new(Step::Start, reason));
    }
    let launch = launch.clone().with_program(order.exec.clone());
    let mut attempt = Attempt::start(&launch)?;
    let version = attempt.greet(until, cancel)?;
    attempt.give(manifest, sockets, until, cancel)?;
    attempt.wait_ready(until, cancel)?;
    attempt.let_serve(until)?;
    attempt.watch()?;
    attempt.leave_alone()?;
    Ok(Upgraded { pid: attempt.release(), version })
}

/// Starts it, once whoever is still writing the file has finished.
fn start(launch: &Launch, line: UnixStream) -> io::Result<Child> {
    let until = runtime::now() + BUSY;
    loop {
        match launch.start(line.try_clone()?.into()) {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && runtime::now() < until =>
            {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            started => return started,
        }
    }
}

/// A new process that may still fail; killed with all it started, and collected, when dropped.
struct Attempt {
    child: Option<Child>,
    line: Line,
}

impl Attempt {
    fn start(launch: &Launch) -> Result<Self, Refused> {
        let cannot = |e| {
            let program = launch.program().display();
            Refused::new(Step::Start, format!("cannot start {program}: {e}"))
        };
        let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
        let line = Line::new(ours).map_err(cannot)?;
        let child = start(launch, theirs).map_err(cannot)?;
        tracing::info!(pid = child.id(), program = %launch.program().display(), "upgrade: started");
        Ok(Self { child: Some(child), line })
    }

    fn greet(&mut self, until: Instant, cancel: &Cancel) -> Result<String, Refused> {
        let hello = until.min(runtime::now() + HELLO);
        match self.hear(Step::Hello, hello, Some(cancel))? {
            Message::Hello { protocol: PROTOCOL, version, pid } => {
                tracing::info!(pid, %version, "upgrade: the new process says hello");
                Ok(version)
            }
            Message::Hello { protocol, version, .. } => {
                let reason = format!(
                    "version {version} speaks version {protocol} of the language of upgrades, \
                     this process version {PROTOCOL}: restart instead"
                );
                Err(Refused::new(Step::Hello, reason))
            }
            other => Err(unexpected(Step::Hello, &other)),
        }
    }

    fn give(
        &mut self,
        manifest: Manifest,
        sockets: &[OwnedFd],
        until: Instant,
        cancel: &Cancel,
    ) -> Result<(), Refused> {
        use std::os::fd::AsFd;
        self.say(Step::Sockets, &Message::Manifest(Box::new(manifest)), &[], until)?;
        for batch in sockets.chunks(descriptors::PER_MESSAGE_MAX) {
            if cancel.is_asked() {
                return Err(cancelled(Step::Sockets));
            }
            let batch: Vec<BorrowedFd<'_>> = batch.iter().map(AsFd::as_fd).collect();
            self.say(Step::Sockets, &Message::Sockets, &batch, until)?;
        }
        Ok(())
    }

    fn wait_ready(&mut self, until: Instant, cancel: &Cancel) -> Result<(), Refused> {
        match self.hear(Step::Ready, until, Some(cancel))? {
            Message::Ready { adopted } => {
                tracing::info!(sockets = adopted, "upgrade: the new process is ready");
                Ok(())
            }
            other => Err(unexpected(Step::Ready, &other)),
        }
    }

    /// From here on both accept from the same queues.
    fn let_serve(&mut self, until: Instant) -> Result<(), Refused> {
        let until = until.max(runtime::now()).min(runtime::now() + SERVING);
        self.say(Step::Serving, &Message::Serve, &[], until)?;
        match self.hear(Step::Serving, until, None)? {
            Message::Serving => Ok(()),
            other => Err(unexpected(Step::Serving, &other)),
        }
    }

    /// Nothing may be heard for a while: neither its end nor a word.
    fn watch(&mut self) -> Result<(), Refused> {
        let until = runtime::now() + PROBATION;
        while runtime::now() < until {
            match self.line.hear_a_little() {
                Ok(None) => self.check_alive(Step::Probation)?,
                Ok(Some((Message::Leaving { why }, _))) => {
                    self.let_finish();
                    return Err(Refused::new(Step::Probation, why));
                }
                Ok(Some((other, _))) => return Err(unexpected(Step::Probation, &other)),
                Err(trouble) => return Err(self.explain(Step::Probation, &trouble)),
            }
        }
        Ok(())
    }

    fn leave_alone(&mut self) -> Result<(), Refused> {
        self.say(Step::Probation, &Message::Yours, &[], runtime::now() + SERVING)
    }

    fn say(
        &mut self,
        step: Step,
        message: &Message,
        attached: &[BorrowedFd<'_>],
        until: Instant,
    ) -> Result<(), Refused> {
        let said = self.line.say(message, attached, until);
        said.map_err(|trouble| self.explain(step, &trouble))
    }

    fn hear(
        &mut self,
        step: Step,
        until: Instant,
        cancel: Option<&Cancel>,
    ) -> Result<Message, Refused> {
        loop {
            match self.line.hear_a_little() {
                Ok(Some((Message::Refused { why } | Message::Leaving { why }, _))) => {
                    return Err(Refused::by_successor(step, why));
                }
                Ok(Some((message, _))) => return Ok(message),
                Ok(None) => {}
                Err(trouble) => return Err(self.explain(step, &trouble)),
            }
            self.check_alive(step)?;
            if cancel.is_some_and(Cancel::is_asked) {
                return Err(cancelled(step));
            }
            if runtime::now() >= until {
                return Err(self.explain(step, &Trouble::Silent));
            }
        }
    }

    fn check_alive(&mut self, step: Step) -> Result<(), Refused> {
        match self.exit_status() {
            Some(status) => Err(Refused::new(step, ended(status))),
            None => Ok(()),
        }
    }

    /// Its exit status, once it has ended. Before it is collected what it started is ended too: until
    /// then nobody else can have its id.
    fn exit_status(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        if !runtime::has_ended(child.id()).is_ok_and(|ended| ended) {
            return None;
        }
        let _ = runtime::kill_group(child.id());
        self.child.take()?.wait().ok()
    }

    /// Why there is no conversation; the exit status says more than a closed line.
    fn explain(&mut self, step: Step, trouble: &Trouble) -> Refused {
        let until = runtime::now() + EXIT_TOLD;
        while matches!(trouble, Trouble::Closed) && runtime::now() < until {
            if let Some(status) = self.exit_status() {
                return Refused::new(step, ended(status));
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Refused::new(step, trouble.to_string())
    }

    /// It ends by itself when it has finished what it accepted.
    fn let_finish(&mut self) {
        if let Some(mut child) = self.child.take() {
            let wait = move || drop(child.wait());
            // Without a thread it is collected when this process ends.
            let _ = std::thread::Builder::new().name("upgrade-end".into()).spawn(wait);
        }
    }

    /// It lives on its own.
    fn release(mut self) -> u32 {
        self.child.take().map_or(0, |child| child.id())
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let killed = runtime::kill_group(child.id()).or_else(|_| child.kill());
        if let Err(error) = killed.and_then(|()| child.wait()) {
            tracing::error!(pid = child.id(), %error, "upgrade: cannot end the new process");
        }
    }
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit status {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".into(),
    }
}

fn unexpected(step: Step, message: &Message) -> Refused {
    Refused::new(step, format!("it said `{}` out of turn", message.name()))
}

fn cancelled(step: Step) -> Refused {
    Refused::new(step, "this process was asked to end".into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("evenkeel-upgrade-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn program(&self, text: &str, mode: u32) -> PathBuf {
            let path = self.0.join("program");
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn refused(program: &Path, millis: u64, cancel: &Cancel) -> Refused {
        let order = Order { exec: Some(program.into()), timeout: Duration::from_millis(millis) };
        let launch = Launch::of_this_process();
        hand_over(&launch, &order, Manifest::default(), &[], cancel).unwrap_err()
    }

    fn told(name: &str, text: &str, mode: u32) -> String {
        let directory = Directory::new(name);
        refused(&directory.program(text, mode), 20_000, &Cancel::default()).to_string()
    }

    #[test]
    fn a_program_that_cannot_be_started_is_told() {
        let missing = refused(Path::new("/nowhere/evenkeel"), 1000, &Cancel::default());
        assert_eq!(missing.step, Step::Start);
        let (missing, start) = (missing.to_string(), "could not start the new process");
        assert!(missing.contains(start) && missing.contains("No such file"), "{missing}");
        let denied = told("denied", "#!/bin/sh\n", 0o600);
        assert!(denied.contains(start) && denied.contains("Permission denied"), "{denied}");
        let garbage = told("garbage", "\x7fELF but not really", 0o700);
        assert!(garbage.contains(start) && garbage.contains("format"), "{garbage}");
    }

    #[test]
    fn a_program_that_ends_is_told_with_its_status() {
        let ended = told("ended", "#!/bin/sh\nexit 3\n", 0o700);
        assert!(ended.ends_with("did not say hello: it ended with exit status 3"), "{ended}");
        let killed = told("killed", "#!/bin/sh\nkill -9 $$\n", 0o700);
        assert!(killed.ends_with("it was ended by signal 9"), "{killed}");
    }

    #[test]
    fn a_program_that_says_something_else_is_told_what() {
        let said = told("words", "#!/bin/sh\necho hello >&0; sleep 60\n", 0o700);
        assert!(said.contains("it began with `hell`"), "{said}");
    }

    #[test]
    fn a_silent_program_is_ended_with_all_it_started() {
        let directory = Directory::new("silent");
        let note = directory.0.join("note");
        let text = format!("#!/bin/sh\nsleep 60 & echo $! >{}; wait\n", note.display());
        let program = directory.program(&text, 0o700);
        let silent = refused(&program, 3000, &Cancel::default());
        assert_eq!((silent.step, silent.reason.as_str()), (Step::Hello, "it said nothing in time"));
        let started = std::fs::read_to_string(&note).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", started.trim()));
        assert!(stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")), "still there");
    }

    #[test]
    fn who_is_asked_to_end_meanwhile_hands_nothing_over() {
        let directory = Directory::new("cancelled");
        let program = directory.program("#!/bin/sh\nsleep 60\n", 0o700);
        let cancel = Cancel::default();
        cancel.cancel();
        let reason = refused(&program, 20_000, &cancel).reason;
        assert_eq!(reason, "this process was asked to end");
    }
}
