//! A connection that the kernel promised is served, whatever its worker is doing just then: between
//! two workers that open and leave their sockets one after the other, and between this process and
//! the next, which has the same listening sockets. Each moment is tried by letting the worker run
//! for so many turns before the next thing happens to it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "the world outside the worker may wait")]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_config::{Source, load};
use evenkeel_proxy::access_log::LogSinks;
use evenkeel_proxy::counters::WorkerCounters;
use evenkeel_proxy::shared::{Ledger, ListenerShared, Publication, Shared};
use evenkeel_proxy::snapshot::{Resolved, Snapshot};
use evenkeel_proxy::worker::{self, Adoption, Command, Drain, Handover, Opening, Setup};
use evenkeel_runtime::{self as runtime, Bound, TcpListener, mailbox};

/// More turns than a worker takes from any order to its end.
const TURNS: usize = 40;

const CONFIG: &str = "
listeners: { web: { bind: 127.0.0.1:0 } }
routes: [ { respond: { status: 200, body: here } } ]
";

/// Workers that have not been started.
struct Crew {
    publication: Publication,
    shared: Arc<Shared>,
    counters: Vec<Arc<WorkerCounters>>,
    inboxes: Vec<mailbox::Sender<Command>>,
    setups: Vec<Option<Setup>>,
}

impl Crew {
    fn of(workers: usize) -> Self {
        let source = Source { name: "test".into(), text: CONFIG.into() };
        let config = load(&[source], &|_| None).unwrap().config;
        let mut ledger = Ledger::new(workers);
        let publication = ledger.publish(Snapshot::compile(&config, &Resolved::default()));
        let shared = Shared::new(workers, 10_000, 1);
        let counters: Vec<Arc<WorkerCounters>> = (0..workers).map(|_| Arc::default()).collect();
        let (inboxes, receivers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mailbox::channel(256)).unzip();
        let setup = |(index, inbox)| {
            Some(Setup {
                index,
                core: None,
                seed: index as u64,
                publication: publication.clone(),
                openings: Vec::new(),
                shared: shared.clone(),
                counters: counters[index].clone(),
                inbox,
                peers: inboxes.clone(),
                logs: LogSinks::default(),
            })
        };
        let setups = receivers.into_iter().enumerate().map(setup).collect();
        Self { publication, shared, counters, inboxes, setups }
    }

    /// To accept from this one.
    fn open(&self, socket: Bound) -> Command {
        let open = vec![Opening { listener: self.publication.listeners[0].key, socket }];
        Command::Adopt(Box::new(Adoption { open, ..*Adoption::of(self.publication.clone()) }))
    }

    fn tell(&self, worker: usize, command: Command) {
        assert!(self.inboxes[worker].try_send(command).is_ok());
    }

    /// Runs the first worker to its end, and `beside` it, on this thread: as a worker's own thread
    /// does, it drops what is left then.
    fn run(&mut self, beside: impl Future<Output = ()> + 'static) {
        let setup = self.setups[0].take().unwrap();
        let main = async {
            runtime::spawn(beside);
            worker::serve(setup).await;
        };
        runtime::run(None, main).unwrap();
    }
}

fn drain() -> Command {
    let until = runtime::now() + Duration::from_secs(10);
    let idle_grace = Duration::from_secs(1);
    Command::Drain(Drain { requests_until: until, tunnels_until: until, idle_grace })
}

fn bind() -> Bound {
    Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap()
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A client in the kernel's queue.
fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

/// One that has asked, too.
fn ask(address: SocketAddr) -> TcpStream {
    let mut client = connect(address);
    client.write_all(REQUEST).unwrap();
    client
}

/// What it was told: that it was answered, or what came instead.
fn heard(mut client: TcpStream) -> String {
    let mut answer = String::new();
    match client.read_to_string(&mut answer) {
        Ok(_) if answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("here") => "200".into(),
        Ok(_) => format!("`{answer}`"),
        Err(error) => error.to_string(),
    }
}

fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn turns(count: usize) {
    for _ in 0..count {
        runtime::yield_now().await;
    }
}

#[test]
fn a_worker_serves_what_others_hand_it_before_it_has_opened_its_own_socket() {
    let mut crew = Crew::of(2);
    let (first, second) = (bind(), bind());
    let clients: Vec<TcpStream> = (0..40).map(|_| connect(first.local_addr())).collect();
    let setups: Vec<Setup> = crew.setups.iter_mut().filter_map(Option::take).collect();
    let run = |setup| std::thread::spawn(move || worker::run(setup).unwrap());
    let threads: Vec<_> = setups.into_iter().map(run).collect();
    wait_until(|| crew.shared.adopted(1) == crew.publication.number);
    crew.tell(0, crew.open(first));
    wait_until(|| crew.counters[0].accepted.value() == 40);
    let ask = |mut client: TcpStream| {
        let _ = client.write_all(REQUEST);
        heard(client)
    };
    let heard: Vec<String> = clients.into_iter().map(ask).collect();
    // The second one is told late, as by a control plane that had to wait for a core.
    crew.tell(1, crew.open(second));
    assert!(heard.iter().all(|heard| heard == "200"), "{heard:?}");
    assert!(crew.counters[1].taken_over.value() > 5, "nothing was handed over");
    crew.tell(0, drain());
    crew.tell(1, drain());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(crew.shared.workers.iter().all(|gauge| gauge.value() == 0));
}

#[test]
fn what_comes_while_a_worker_drains_is_served_by_it_or_left_to_the_next_process() {
    let (mut by_worker, mut left) = (0, 0);
    for before in 0..TURNS {
        let mut crew = Crew::of(1);
        let socket = bind();
        let (address, same_queue) = (socket.local_addr(), socket.duplicate().unwrap());
        crew.tell(0, crew.open(socket));
        let client = Rc::<RefCell<Option<TcpStream>>>::default();
        let (asks, inbox) = (client.clone(), crew.inboxes[0].clone());
        crew.run(async move {
            turns(TURNS).await;
            let _ = inbox.try_send(drain());
            turns(before).await;
            asks.replace(Some(ask(address)));
            turns(usize::MAX).await;
        });
        let Some(client) = client.take() else { continue };
        // Another worker, as if of the next process.
        let mut next = Crew::of(1);
        next.tell(0, next.open(same_queue));
        let inbox = next.inboxes[0].clone();
        next.run(async move {
            turns(TURNS).await;
            let _ = inbox.try_send(drain());
        });
        match next.counters[0].accepted.value() {
            0 => by_worker += 1,
            _ => left += 1,
        }
        assert_eq!(heard(client), "200", "asked {before} turns after the order to drain");
    }
    assert!(by_worker > 0 && left > 0, "{by_worker} by the worker, {left} left");
}

#[test]
fn a_connection_handed_to_a_worker_that_drains_is_served_or_given_back() {
    let (mut served, mut given_back) = (0, 0);
    for before in 0..TURNS {
        let mut crew = Crew::of(1);
        let socket = bind();
        let client = ask(socket.local_addr());
        let held = Rc::<RefCell<Option<Command>>>::default();
        let (hand, inbox, shared) = (held.clone(), crew.inboxes[0].clone(), crew.shared.clone());
        let listener = crew.publication.listeners[0].clone();
        crew.run(async move {
            let handover = accept(socket, &shared, listener).await;
            hand.replace(Some(Command::Take(handover)));
            turns(TURNS).await;
            let _ = inbox.try_send(drain());
            turns(before).await;
            let command = hand.take();
            hand.replace(command.and_then(|take| inbox.try_send(take).err()));
            turns(usize::MAX).await;
        });
        match held.take() {
            Some(_) => given_back += 1,
            None => {
                served += 1;
                assert_eq!(heard(client), "200", "handed over {before} turns after the order");
            }
        }
    }
    assert!(served > 0 && given_back > 0, "{served} served, {given_back} given back");
}

/// As another worker does that hands a connection over: accepts and counts it.
async fn accept(socket: Bound, shared: &Shared, listener: ListenerShared) -> Handover {
    let socket = TcpListener::adopt(socket).unwrap();
    let (stream, peer) = std::future::poll_fn(|cx| socket.poll_accept(cx)).await.unwrap();
    let ListenerShared { key, connections, .. } = listener;
    assert!(shared.clients.enter(peer.ip(), 10));
    connections.enter();
    shared.workers[0].enter();
    let (stream, address) = (stream.detach().unwrap(), socket.local_addr());
    Handover { stream, listener: key, address, connections, peer }
}
