//! The balancers: Evenkeel with its defaults, nginx and HAProxy as a good operator starts them. Each
//! has a route `/version` that tells which configuration it follows.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use evenkeel_tools::load::Load;
use evenkeel_tools::peer::{Peer, descriptors, rollup};

use crate::Fault;
use crate::backend::{Backend, free_address};
use crate::stage::{Stage, within};

/// A build of Evenkeel that fails when it is asked to; tests of isolation need it.
pub(crate) const FAULTS: &str = "evenkeel-faults";

/// How long a change may take until it shows.
const CHANGE_MAX: Duration = Duration::from_secs(10);

/// Who balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Evenkeel,
    Nginx,
    Haproxy,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Evenkeel => "evenkeel",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }
}

/// What a configuration says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Addresses of the pool's servers, as they are written.
    pub(crate) servers: Vec<String>,
    /// Told at `/version`.
    pub(crate) version: String,
    /// Whether a server's 503 leads to another try.
    pub(crate) retry_503: bool,
    /// Evenkeel: more members of the pool, like `slow_start: 0s`.
    pub(crate) pool: String,
    /// Evenkeel: more routes, each a line of a list.
    pub(crate) routes: String,
    /// Evenkeel: further sections.
    pub(crate) sections: String,
    /// Evenkeel: workers; one for each core by default.
    pub(crate) workers: Option<usize>,
}

impl Wanted {
    /// Defaults in front of these.
    pub(crate) fn of(backends: &[Backend]) -> Self {
        Self {
            servers: backends.iter().map(|backend| backend.address.to_string()).collect(),
            version: "v0".into(),
            ..Self::default()
        }
    }

    /// The same, with another version.
    pub(crate) fn version(&self, version: impl ToString) -> Self {
        Self { version: version.to_string(), ..self.clone() }
    }

    fn evenkeel(&self, port: u16, directory: &Path) -> String {
        let mut text = String::new();
        if let Some(workers) = self.workers {
            let _ = writeln!(text, "workers: {workers}");
        }
        let _ = writeln!(text, "listeners: {{ web: {{ bind: \"127.0.0.1:{port}\" }} }}");
        text.push_str("pools:\n  app:\n");
        if !self.servers.is_empty() {
            let _ = writeln!(text, "    servers: [\"{}\"]", self.servers.join("\", \""));
        }
        if self.retry_503 {
            text.push_str("    retry: { attempts: 2, on: [connect, reset, 503] }\n");
        }
        for line in self.pool.lines() {
            let _ = writeln!(text, "    {line}");
        }
        let version = &self.version;
        let _ = writeln!(
            text,
            "routes:\n  - {{ match: {{ path: {{ exact: /version }} }}, respond: {{ body: \"{version}\" }} }}\n  - {{ to: app }}"
        );
        text.push_str(&self.routes);
        let _ = writeln!(text, "admin: {{ bind: \"unix:{}/admin.sock\" }}", directory.display());
        text.push_str(&self.sections);
        text
    }

    fn nginx(&self, port: u16, directory: &Path) -> String {
        let directory = directory.display();
        let servers: String = self.servers.iter().map(|s| format!("server {s}; ")).collect();
        let retry = if self.retry_503 { "error timeout http_503" } else { "error timeout" };
        let version = &self.version;
        format!(
            "daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.err; worker_processes auto;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 0;
  upstream app {{ {servers} keepalive 256; }}
  map $http_upgrade $connection_word {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /version {{ return 200 '{version}'; }}
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_next_upstream {retry};
      proxy_set_header Connection $connection_word; proxy_set_header Upgrade $http_upgrade; }}
  }}
}}
"
        )
    }

    fn haproxy(&self, port: u16) -> String {
        let mut servers = String::new();
        for (n, server) in self.servers.iter().enumerate() {
            let _ = writeln!(servers, "  server s{n} {server} check");
        }
        let retry = if self.retry_503 {
            "  retry-on conn-failure 503\n  option redispatch 1\n"
        } else {
            ""
        };
        let version = &self.version;
        format!(
            "global
  maxconn 8000
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 3s
  timeout tunnel 600s
frontend web
  bind 127.0.0.1:{port} backlog 4096
  http-request return status 200 content-type text/plain string {version} if {{ path /version }}
  default_backend app
backend app
  balance roundrobin
{retry}{servers}"
        )
    }

    fn text(&self, kind: Kind, port: u16, directory: &Path) -> String {
        match kind {
            Kind::Evenkeel => self.evenkeel(port, directory),
            Kind::Nginx => self.nginx(port, directory),
            Kind::Haproxy => self.haproxy(port),
        }
    }
}

/// One that runs.
pub(crate) struct Balancer {
    pub(crate) kind: Kind,
    pub(crate) peer: Peer,
    pub(crate) file: PathBuf,
    port: u16,
    directory: PathBuf,
}

impl Balancer {
    /// Starts with a configuration.
    pub(crate) fn start(stage: &Stage, kind: Kind, wanted: Wanted) -> Result<Self, Fault> {
        Self::start_as(stage, kind, &stage.binaries.join(kind.name()), wanted, |_| {})
    }

    /// Starts this build of Evenkeel.
    pub(crate) fn start_program(
        stage: &Stage,
        program: &Path,
        wanted: Wanted,
        adjust: impl FnOnce(&mut Command),
    ) -> Result<Self, Fault> {
        Self::start_as(stage, Kind::Evenkeel, program, wanted, adjust)
    }

    /// Starts with a configuration, and with what `adjust` does to the command.
    fn start_as(
        stage: &Stage,
        kind: Kind,
        program: &Path,
        wanted: Wanted,
        adjust: impl FnOnce(&mut Command),
    ) -> Result<Self, Fault> {
        let port = free_address()?.port();
        let directory = stage.directory();
        let file = directory.join(format!("{}.conf", kind.name()));
        // Evenkeel knows its format by the name.
        let file = if kind == Kind::Evenkeel { file.with_extension("yaml") } else { file };
        std::fs::write(&file, wanted.text(kind, port, &directory))?;
        let mut command = match kind {
            Kind::Evenkeel => Command::new(program),
            Kind::Nginx => Command::new("/usr/sbin/nginx"),
            Kind::Haproxy => Command::new("/usr/sbin/haproxy"),
        };
        match kind {
            Kind::Evenkeel => command.args(["run", "-c"]).arg(&file),
            Kind::Nginx => command.arg("-c").arg(&file),
            Kind::Haproxy => command.args(["-W", "-f"]).arg(&file),
        };
        let log = std::fs::File::create(directory.join(format!("{}.err", kind.name())))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Looking a backtrace up takes a worker a tenth of a second.
        command.current_dir(&directory).env_remove("RUST_BACKTRACE");
        adjust(&mut command);
        let started = Peer::spawn(kind.name(), port, &mut command);
        let peer = started.map_err(|error| {
            let log = std::fs::read_to_string(directory.join(format!("{}.err", kind.name())));
            format!("{error}: {}", log.unwrap_or_default())
        })?;
        Ok(Self { kind, peer, file, port, directory })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.port)
    }

    /// A load on it: `/echo` over 100 kept connections, as fast as answers come, until stopped.
    pub(crate) fn load(&self) -> Load {
        Load { address: self.address(), connections: 100, ..Load::default() }
    }

    /// Writes another configuration, whole at any moment.
    pub(crate) fn write(&self, wanted: &Wanted) -> Result<(), Fault> {
        self.write_text(&wanted.text(self.kind, self.port, &self.directory))
    }

    /// The text of a configuration for it.
    pub(crate) fn text(&self, wanted: &Wanted) -> String {
        wanted.text(self.kind, self.port, &self.directory)
    }

    /// Writes this text, whole at any moment.
    pub(crate) fn write_text(&self, text: &str) -> Result<(), Fault> {
        let draft = self.file.with_extension("draft");
        std::fs::write(&draft, text)?;
        std::fs::rename(&draft, &self.file)?;
        Ok(())
    }

    /// Asks it to read its configuration again.
    pub(crate) fn tell_reload(&self) {
        self.peer.signal(if self.kind == Kind::Haproxy { "USR2" } else { "HUP" });
    }

    /// Changes to another configuration; how long it took until a new connection saw it.
    pub(crate) fn reload(&self, wanted: &Wanted) -> Result<Duration, Fault> {
        self.write(wanted)?;
        self.tell_reload();
        let mut told = Instant::now();
        let shown = within(CHANGE_MAX, || {
            // HAProxy's master misses signals while it starts a worker.
            if self.kind == Kind::Haproxy && told.elapsed() > Duration::from_secs(1) {
                self.tell_reload();
                told = Instant::now();
            }
            self.version().as_deref() == Some(&*wanted.version)
        });
        shown.ok_or_else(|| format!("{} does not show after a reload", wanted.version).into())
    }

    /// What `/version` tells on a new connection.
    pub(crate) fn version(&self) -> Option<String> {
        let answer = self.ask("GET", "/version")?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned())
    }

    /// The whole answer to a request on a new connection.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Asks it to hand over to the program that is now where its own was; whether it has.
    pub(crate) fn upgrade(&self, limit: Duration) -> Result<(), String> {
        let count = |text: &str| self.log().matches(text).count();
        let (done, failed) = ("upgraded: the new process serves", "upgrade failed");
        let before = (count(done), count(failed));
        for process in self.serving() {
            let _ = Command::new("kill").args(["-USR2", &process.to_string()]).status();
        }
        let answered = within(limit, || (count(done), count(failed)) != before);
        match answered {
            Some(_) if count(done) > before.0 => Ok(()),
            Some(_) => Err(self.log().lines().filter(|line| line.contains(failed)).collect()),
            None => Err("no answer".into()),
        }
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Where it logs.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.directory.join(format!("{}.err", self.kind.name()))
    }

    /// Bytes of memory that are its own.
    pub(crate) fn memory(&self) -> u64 {
        self.serving().into_iter().map(|process| rollup(process, "Rss:")).sum()
    }

    /// Its open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        self.serving().into_iter().map(descriptors).sum()
    }

    /// Its processes: that which was started, its children, and any that follows this configuration.
    pub(crate) fn serving(&self) -> Vec<u32> {
        let mut serving = self.peer.processes();
        let file = self.file.display().to_string();
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            if line.contains(&file) && !line.contains("upgrade\0") && !serving.contains(&process) {
                serving.push(process);
            }
        }
        serving.retain(|process| {
            let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
            status.is_ok_and(|status| !status.contains(") Z "))
        });
        serving.sort_unstable();
        serving
    }

    /// Runs a verb of Evenkeel's command line against it; what it printed.
    pub(crate) fn verb(&self, stage: &Stage, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(stage.binaries.join("evenkeel"))
            .args(arguments)
            .args(["--admin".to_owned(), format!("unix:{}/admin.sock", self.directory.display())])
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() { Ok(text) } else { Err(text) }
    }
}

impl Drop for Balancer {
    /// Successors are nobody's children.
    fn drop(&mut self) {
        let own = self.peer.processes();
        for process in self.serving().into_iter().filter(|process| !own.contains(process)) {
            let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
        }
    }
}
