//! A server that speaks no protocol in particular.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::Proxy;

/// Does something with each connection, in a thread of its own.
pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let count = connections.clone();
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { address, connections }
    }

    /// Sends back what comes, after saying its name.
    pub fn echo(name: &'static str) -> Self {
        Self::start(move |mut stream| {
            let _ = stream.write_all(name.as_bytes());
            let mut buffer = [0; 64 * 1024];
            while let Ok(read) = stream.read(&mut buffer) {
                if read == 0 || stream.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            let _ = stream.shutdown(Shutdown::Write);
        })
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A configuration with one listener and one pool, whose sessions are logged.
pub fn config(listener: &str, servers: &[SocketAddr], pool: &str) -> String {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    format!(
        "listeners:\n  l: {{ bind: 127.0.0.1:0, policies: log, {listener} }}\n\
         pools:\n  a:\n    servers: [{}]\n{pool}\n\
         policies:\n  log: {{ access_log: {{ format: json, to: stdout }} }}\n",
        servers.join(", ")
    )
}

/// The lines about sessions that have ended so far.
pub fn lines(proxy: &Proxy) -> Vec<serde_json::Value> {
    proxy.output().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The first of them, once it is there.
pub fn line(proxy: &Proxy) -> serde_json::Value {
    let mut found = None;
    crate::support::wait_for("a line about a session", || {
        found = lines(proxy).into_iter().next();
        found.is_some()
    });
    found.unwrap()
}
