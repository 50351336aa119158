//! CPU time for each datagram, beside nginx: sessions that go on, and sessions of one question and one
//! answer. Each peer listens with TCP at the same port, which only tells that it is there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use evenkeel_tools::peer::Peer;
use serde_json::Value;

use crate::Arguments;
use crate::balancers::Place;
use crate::load::Window;
use crate::throughput;

const PORT: u16 = 21_120;
/// Clients; each has one datagram on the way.
const CLIENTS: usize = 64;
/// A datagram that takes longer is lost.
const LOST: Duration = Duration::from_millis(200);

/// Name, and whether each question comes from a port of its own.
pub(crate) const SCENARIOS: &[(&str, bool)] = &[("udp", false), ("udponce", true)];

/// A thread that sends back what it gets, until this is dropped.
struct Echo {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Echo {
    fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(LOST))?;
        let (address, over) = (socket.local_addr()?, Arc::<AtomicBool>::default());
        let is_over = over.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !is_over.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        });
        Ok(Self { address, over })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Those of [`SCENARIOS`] that are wanted.
pub(crate) fn run(arguments: &Arguments, place: &Place) -> io::Result<Vec<Value>> {
    let echo = Echo::start()?;
    let mut results = Vec::new();
    for (nth, (name, once)) in (0..).zip(SCENARIOS) {
        if !arguments.wants(|wanted| wanted == *name) {
            continue;
        }
        let peers = start(place, PORT + 10 * nth, echo.address, *once)?;
        throughput::print_heading();
        let mut windows = vec![Vec::new(); peers.len()];
        for round in 0..=arguments.rounds {
            for (peer, windows) in peers.iter().zip(&mut windows) {
                let seconds = if round == 0 { 1 } else { arguments.window };
                let window = window(peer, Duration::from_secs(seconds), *once)?;
                if round > 0 {
                    windows.push(window);
                }
            }
        }
        let peers: Vec<&Peer> = peers.iter().collect();
        results.push(throughput::print(name, &peers, &windows));
    }
    Ok(results)
}

fn start(place: &Place, port: u16, to: SocketAddr, once: bool) -> io::Result<Vec<Peer>> {
    let write = |name: &str, text: String| {
        let path = place.directory.join(name);
        std::fs::write(&path, text)?;
        io::Result::Ok(path.display().to_string())
    };
    let own = std::env::current_exe()?.with_file_name("evenkeel").display().to_string();
    let (reply, responses) = if once { ("once", "proxy_responses 1;") } else { ("any", "") };
    let evenkeel = format!(
        "listeners:\n  web: {{ bind: 127.0.0.1:{port} }}\n  dgram:\n    bind: 127.0.0.1:{port}\n    \
         udp: {{ to: app, reply: {reply}, idle_timeout: 5s, sessions_per_ip: 1_000_000 }}\n\
         routes: [ {{ respond: {{ status: 204 }} }} ]\n\
         pools: {{ app: {{ servers: ['{to}'] }} }}\nworkers: 1\n"
    );
    let file = write("datagrams.yaml", evenkeel)?;
    let first = Peer::start("evenkeel", 0, port, &[&own, "run", "-c", &file])?;
    let (port, directory) = (port + 1, place.directory.display());
    let nginx = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         daemon off; worker_processes 1; pid {directory}/datagrams.pid; error_log {directory}/datagrams.log;\n\
         events {{ worker_connections 40000; }}\n\
         stream {{ server {{ listen 127.0.0.1:{port}; return ok; }}\n\
         server {{ listen 127.0.0.1:{port} udp; proxy_pass {to}; proxy_timeout 5s; {responses} }} }}\n"
    );
    let file = write("datagrams.conf", nginx)?;
    Ok(vec![first, Peer::start("nginx", 0, port, &["nginx", "-c", &file])?])
}

/// Questions of all clients, then all answers, again and again.
fn window(peer: &Peer, length: Duration, once: bool) -> io::Result<Window> {
    let client = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, peer.port))?;
        socket.set_read_timeout(Some(LOST))?;
        io::Result::Ok(socket)
    };
    let open = || (0..CLIENTS).map(|_| client()).collect::<io::Result<Vec<_>>>();
    let mut clients = open()?;
    let (begun, cpu) = (Instant::now(), peer.cpu());
    let (mut answered, mut lost, mut buffer) = (0_u64, 0_u64, [0; 256]);
    let mut millis = Vec::new();
    while begun.elapsed() < length {
        let sent = Instant::now();
        for client in &clients {
            let _ = client.send(&[b'x'; 100]);
        }
        for client in &clients {
            match client.recv(&mut buffer) {
                Ok(_) => {
                    answered += 1;
                    millis.push(sent.elapsed().as_secs_f64() * 1e3);
                }
                Err(_) => lost += 1,
            }
        }
        if once {
            clients = open()?;
        }
    }
    // There and back.
    let datagrams = (2 * answered).max(1) as f64;
    let micros = (peer.cpu() - cpu) as f64 / 1e3 / datagrams;
    let rate = datagrams / begun.elapsed().as_secs_f64();
    millis.sort_by(f64::total_cmp);
    let at = |share: usize| millis.get(millis.len() * share / 100).copied().unwrap_or(f64::NAN);
    Ok(Window { micros, rate, p50: at(50), p99: at(99), lost })
}
