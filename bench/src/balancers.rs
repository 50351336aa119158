//! The balancers and their configurations: the files of `bench/peers`, filled in for a number of
//! routes and servers and a way to balance, each as a good operator of that balancer writes it.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use evenkeel_tools::peer::Peer;

use crate::certificate;

/// Routes of one host; more routes mean more hosts.
const PREFIXES: usize = 10;
/// Envoy's choice of the least loaded of all; the short form, `lb_policy: LEAST_REQUEST`, draws two.
const LEAST_REQUEST: &str = r#"load_balancing_policy: { policies: [{ typed_extension_config: {
        name: envoy.load_balancing_policies.least_request,
        typed_config: {
          "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest,
          selection_method: FULL_SCAN } } }] }"#;

/// How one of several servers is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// What the balancer does if it is not told.
    Default,
    /// In turn.
    RoundRobin,
    /// The best it has that looks at load or latency.
    Aware,
}

/// What all balancers of a scenario are told.
pub(crate) struct Layout<'a> {
    /// Apart from those of other layouts that run at the same time.
    pub(crate) name: &'a str,
    /// The first balancer's port; the others follow.
    pub(crate) port: u16,
    /// Servers (address and port) of the balancer at this place in the list.
    pub(crate) servers: &'a dyn Fn(u16) -> Vec<String>,
    /// Routes by host and path; 0 is a single one for everything.
    pub(crate) routes: usize,
    /// How a server is chosen.
    pub(crate) balance: Balance,
    /// Each listens with TLS too (but for Envoy), this far above its port.
    pub(crate) secure: Option<u16>,
}

impl Layout<'_> {
    /// `text` with the balancer's second port and the directory of the certificate, if it has them.
    fn secure(&self, port: u16, directory: &Path, text: &str) -> String {
        self.secure.map_or_else(String::new, |above| {
            text.replace("@PORT@", &(port + above).to_string())
                .replace("@DIR@", &directory.display().to_string())
        })
    }
}

/// Where configurations are written and binaries are found.
pub(crate) struct Place {
    /// Temporary files.
    pub(crate) directory: PathBuf,
    /// Envoy, if there is one.
    pub(crate) envoy: Option<PathBuf>,
}

/// Of a layout's n-th route: host and path prefix.
fn route(n: usize) -> (String, String) {
    (format!("tenant-{:05}.example.com", n / PREFIXES), format!("/service/s{}/v1", n % PREFIXES))
}

/// Host and path of a request that one of the routes in the middle serves: the same place within
/// its host for any number of hosts.
pub(crate) fn request_in_the_middle(routes: usize) -> (String, String) {
    let (host, prefix) = route(routes / 2 / PREFIXES * PREFIXES + PREFIXES / 2);
    (host, format!("{prefix}/items/7"))
}

impl Place {
    /// Starts a layout's balancers. Evenkeel is the first: ratios are against it.
    pub(crate) fn start(&self, layout: &Layout<'_>) -> io::Result<Vec<Peer>> {
        let directory = self.directory.join(layout.name);
        std::fs::create_dir_all(&directory)?;
        certificate::write(&directory)?;
        let own = std::env::current_exe()?.with_file_name("evenkeel").display().to_string();
        let at = |place: u16| (layout.port + place, (layout.servers)(place));
        let (mut peers, core) = (Vec::new(), 0);

        let (port, servers) = at(0);
        let file =
            write(&directory, "evenkeel.yaml", &evenkeel(layout, &directory, port, &servers))?;
        peers.push(Peer::start("evenkeel", core, port, &[&own, "run", "-c", &file])?);

        let (port, servers) = at(1);
        let file = write(&directory, "nginx.conf", &nginx(layout, &directory, port, &servers))?;
        peers.push(Peer::start("nginx", core, port, &["nginx", "-c", &file])?);

        let (port, servers) = at(2);
        let map = write(&directory, "routes.map", &map(layout.routes))?;
        let file =
            write(&directory, "haproxy.cfg", &haproxy(layout, &directory, &map, port, &servers))?;
        peers.push(Peer::start("haproxy", core, port, &["haproxy", "-db", "-f", &file])?);

        if let Some(envoy_path) = &self.envoy {
            let (port, servers) = at(3);
            let file = write(&directory, "envoy.yaml", &envoy(layout, port, &servers))?;
            let binary = envoy_path.display().to_string();
            let options = ["--concurrency", "1", "--disable-hot-restart", "-l", "critical"];
            let command = [[binary.as_str(), "-c", &file].as_slice(), &options].concat();
            peers.push(Peer::start("envoy", core, port, &command)?);
        }
        Ok(peers)
    }

    /// Starts a server of fixed responses behind the balancers.
    pub(crate) fn start_backend(&self, port: u16) -> io::Result<Peer> {
        let text = include_str!("../peers/backend.conf")
            .replace("@DIR@", &self.directory.display().to_string())
            .replace("@PORT@", &port.to_string())
            .replace("@B128@", &"x".repeat(128));
        let file = write(&self.directory, &format!("backend-{port}.conf"), &text)?;
        Peer::start("backend", 1, port, &["nginx", "-c", &file])
    }
}

pub(crate) fn write(directory: &Path, name: &str, text: &str) -> io::Result<String> {
    let path = directory.join(name);
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// One text for each route, one after the other.
fn each_route(routes: usize, mut text: impl FnMut(&mut String, &str, &str)) -> String {
    let mut all = String::new();
    for n in 0..routes {
        let (host, prefix) = route(n);
        text(&mut all, &host, &prefix);
    }
    all
}

fn evenkeel(layout: &Layout<'_>, directory: &Path, port: u16, servers: &[String]) -> String {
    let balance = match layout.balance {
        Balance::Default | Balance::Aware => "p2c_ewma",
        Balance::RoundRobin => "round_robin",
    };
    let routes = match layout.routes {
        0 => "\n  - to: app".to_owned(),
        many => each_route(many, |all, host, prefix| {
            let _ = write!(all, "\n  - {{ match: {{ host: {host}, path: {prefix} }}, to: app }}");
        }),
    };
    let secure = layout.secure(
        port,
        directory,
        r"  secure:
    bind: 127.0.0.1:@PORT@
    tls: { certificates: [{ cert: @DIR@/cert.pem, key: @DIR@/key.pem }] }
    limits: { requests_per_connection: 4000000000, connections_per_ip: 100000 }
    timeouts: { idle: 10m }",
    );
    include_str!("../peers/evenkeel.yaml")
        .replace("@SECURE@", &secure)
        .replace("@PORT@", &port.to_string())
        .replace("@SERVERS@", &format!("[{}]", servers.join(", ")))
        .replace("@BALANCE@", balance)
        .replace("@ROUTES@", &routes)
}

/// A `server` for each host, a `location` for each path.
fn nginx(layout: &Layout<'_>, directory: &Path, port: u16, servers: &[String]) -> String {
    let listen = format!("listen 127.0.0.1:{port} backlog=16384;");
    let mut routes = match layout.routes {
        0 => format!("server {{ {listen} location / {{ proxy_pass http://app; }}"),
        _ => format!("server {{ {listen} return 404;"),
    };
    let mut last = String::new();
    routes.push_str(&each_route(layout.routes, |all, host, prefix| {
        if last != host {
            host.clone_into(&mut last);
            let _ = write!(all, "}}\nserver {{ listen 127.0.0.1:{port}; server_name {host};\n");
        }
        let _ = writeln!(all, "location {prefix} {{ proxy_pass http://app; }}");
    }));
    routes.push('}');
    // It looks through the connections it keeps one by one: with thousands of servers keeping few and
    // connecting anew costs it less (measured: 71 µs a request instead of 100).
    let kept = if servers.len() > 1000 { "64" } else { "1024" };
    let secure = layout.secure(
        port,
        directory,
        "server { listen 127.0.0.1:@PORT@ ssl http2 backlog=16384;
    ssl_certificate @DIR@/cert.pem; ssl_certificate_key @DIR@/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:10m;
    http2_max_concurrent_streams 128;
    location / { proxy_pass http://app; } }",
    );
    include_str!("../peers/nginx.conf")
        .replace("@SECURE@", &secure)
        .replace("@DIR@", &directory.display().to_string())
        .replace("@SERVERS@", &lines(servers, |_, address| format!("server {address};")))
        .replace("@BALANCE@", if layout.balance == Balance::Aware { "least_conn;" } else { "" })
        .replace("@KEEPALIVE@", kept)
        .replace("@ROUTES@", &routes)
}

/// Routes are in a map whose keys are prefixes, kept in a tree.
fn map(routes: usize) -> String {
    each_route(routes, |all, host, prefix| {
        let _ = writeln!(all, "{host}{prefix} app");
    })
}

fn haproxy(
    layout: &Layout<'_>,
    directory: &Path,
    map: &str,
    port: u16,
    servers: &[String],
) -> String {
    let routes = match layout.routes {
        0 => "default_backend app".to_owned(),
        _ => format!("use_backend %[base,map_beg({map})]"),
    };
    let balance = if layout.balance == Balance::Aware { "leastconn" } else { "roundrobin" };
    let secure = layout.secure(
        port,
        directory,
        "bind 127.0.0.1:@PORT@ backlog 16384 ssl crt @DIR@/both.pem alpn h2,http/1.1",
    );
    include_str!("../peers/haproxy.cfg")
        .replace("@SECURE@", &secure)
        .replace("@PORT@", &port.to_string())
        .replace("@SERVERS@", &lines(servers, |n, address| format!("server s{n} {address}")))
        .replace("@BALANCE@", balance)
        .replace("@ROUTES@", &routes)
}

/// A virtual host for each host, a route for each path.
fn envoy(layout: &Layout<'_>, port: u16, servers: &[String]) -> String {
    let mut routes = String::new();
    if layout.routes == 0 {
        routes.push_str(
            r#"{name: all, domains: ["*"], routes: [{match: {prefix: "/"}, route: {cluster: app}}"#,
        );
    }
    let mut last = String::new();
    routes.push_str(&each_route(layout.routes, |all, host, prefix| {
        if last != host {
            all.push_str(if last.is_empty() { "" } else { "]},\n" });
            host.clone_into(&mut last);
            let _ = write!(all, "{{name: {host}, domains: [{host}], routes: [");
        }
        let _ =
            write!(all, "{{match: {{path_separated_prefix: {prefix}}}, route: {{cluster: app}}}},");
    }));
    let routes = format!("[{routes}]}}]");
    let endpoint = |address: &String| {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
        format!(
            "{{endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}}}"
        )
    };
    let servers = servers.iter().map(endpoint).collect::<Vec<_>>().join(",\n");
    let balance = match layout.balance {
        Balance::Aware => LEAST_REQUEST,
        Balance::Default | Balance::RoundRobin => "lb_policy: ROUND_ROBIN",
    };
    include_str!("../peers/envoy.yaml")
        .replace("@PORT@", &port.to_string())
        .replace("@SERVERS@", &format!("[{servers}]"))
        .replace("@BALANCE@", balance)
        .replace("@ROUTES@", &routes)
}

fn lines(servers: &[String], line: impl Fn(usize, &str) -> String) -> String {
    let lines = servers.iter().enumerate().map(|(n, address)| format!("    {}", line(n, address)));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_in_the_middle_is_for_one_of_the_routes() {
        for routes in [10, 10_000] {
            let (host, path) = request_in_the_middle(routes);
            let place = (0..routes).find(|n| {
                let (own, prefix) = route(*n);
                own == host && path.starts_with(&format!("{prefix}/"))
            });
            assert_eq!(place, Some(routes / 20 * 10 + 5));
        }
    }

    #[test]
    fn every_route_and_server_is_in_every_configuration() {
        let servers: Vec<String> = (1..=3).map(|n| format!("10.9.8.{n}:80")).collect();
        let layout = Layout {
            name: "test",
            port: 1,
            servers: &|_| Vec::new(),
            routes: 30,
            balance: Balance::Aware,
            secure: None,
        };
        let at = Path::new("/tmp");
        let haproxy = haproxy(&layout, at, "routes.map", 1, &servers);
        let texts = [
            (evenkeel(&layout, at, 1, &servers), "to: app"),
            (nginx(&layout, at, 1, &servers), "proxy_pass http://app;"),
            (haproxy + &map(30), ".example.com/service/"),
            (envoy(&layout, 1, &servers), "cluster: app}"),
        ];
        for (text, route) in texts {
            assert_eq!(text.matches(route).count(), 30, "{text}");
            assert_eq!(text.matches("10.9.8.").count(), 3, "{text}");
            assert!(!text.replace("@type", "").contains('@'), "{text}");
        }
    }
}
