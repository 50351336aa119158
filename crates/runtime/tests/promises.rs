//! What the runtime promises of timers and sockets, on the real kernel.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // test code outside the workers

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use evenkeel_runtime::{
    ConnectOptions, TcpListener, TcpStream, Timer, mailbox, now, run, sleep, spawn, yield_now,
};

fn on_worker(main: impl Future<Output = ()>) {
    run(None, main).unwrap();
}

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn pair() -> (TcpStream, std::net::TcpStream) {
    let listener = StdListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    let ours = TcpStream::connect(address, &ConnectOptions::default()).await.unwrap();
    (ours, listener.accept().unwrap().0)
}

async fn read(stream: &TcpStream, buffer: &mut [u8]) -> usize {
    poll_fn(|cx| stream.poll_read(cx, buffer)).await.unwrap()
}

async fn write(stream: &TcpStream, bytes: &[u8]) {
    assert_eq!(poll_fn(|cx| stream.poll_write(cx, bytes)).await.unwrap(), bytes.len());
}

#[test]
fn a_timer_is_never_early_and_soon_after() {
    on_worker(async {
        for millis in [0, 1, 5, 20, 60] {
            let mut soonest = Duration::MAX; // this machine may do something else meanwhile
            for _ in 0..10 {
                let begun = now();
                sleep(Duration::from_millis(millis)).await;
                let took = begun.elapsed();
                assert!(took >= Duration::from_millis(millis));
                soonest = soonest.min(took - Duration::from_millis(millis));
            }
            assert!(soonest < Duration::from_millis(50), "{soonest:?}");
        }
    });
}

#[test]
fn a_timer_can_be_moved_both_ways_and_cleared() {
    on_worker(async {
        let begun = now();
        let timer = Timer::new();
        timer.set(begun + Duration::from_secs(3600));
        timer.set(begun + Duration::from_millis(30));
        timer.expired().await;
        assert!(begun.elapsed() < Duration::from_secs(600));
        // Ready until it is set anew, also when it is set to the same moment.
        timer.set(begun + Duration::from_millis(30));
        timer.expired().await;
        let later = now();
        timer.set(later + Duration::from_millis(5));
        timer.set(later + Duration::from_millis(60));
        timer.expired().await;
        assert!(later.elapsed() >= Duration::from_millis(50));
        timer.set(now() + Duration::from_millis(10));
        timer.clear();
        let other = Timer::new();
        other.set(now() + Duration::from_millis(40));
        let mut cleared = pin!(timer.expired());
        let mut other = pin!(other.expired());
        poll_fn(|cx| {
            assert!(cleared.as_mut().poll(cx).is_pending());
            other.as_mut().poll(cx)
        })
        .await;
    });
}

#[test]
fn an_idle_connection_knows_without_reading_whether_something_came() {
    on_worker(async {
        let (ours, mut theirs) = pair().await;
        assert!(!ours.has_input());
        theirs.write_all(b"hello").unwrap();
        poll_fn(|cx| ours.poll_readable(cx)).await.unwrap();
        assert!(ours.has_input());
        // Taken to the last byte: the mark that is left over deceives nobody.
        let mut exact = [0; 5];
        assert_eq!(read(&ours, &mut exact).await, 5);
        assert!(!ours.has_input());
        drop(theirs);
        while !ours.has_input() {
            sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn what_a_closed_peer_never_received_is_known() {
    on_worker(async {
        let (ours, mut theirs) = pair().await;
        write(&ours, b"first").await;
        theirs.read_exact(&mut [0; 5]).unwrap();
        let before = ours.total_written();
        drop(theirs); // in order: all was read
        sleep(Duration::from_millis(20)).await;
        let _ = poll_fn(|cx| ours.poll_write(cx, b"second")).await;
        sleep(Duration::from_millis(20)).await;
        assert!(ours.peer_took_nothing_since(before));

        let (ours, mut theirs) = pair().await;
        let before = ours.total_written();
        write(&ours, b"request").await;
        theirs.read_exact(&mut [0; 7]).unwrap();
        drop(theirs); // it read the request, then closed
        sleep(Duration::from_millis(20)).await;
        assert_eq!(read(&ours, &mut [0; 8]).await, 0);
        assert!(!ours.peer_took_nothing_since(before));
    });
}

#[test]
fn a_connection_moves_to_another_worker() {
    let listener = StdListener::bind(ANY).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut receiver) = mailbox::channel(1);
    let other = std::thread::spawn(move || {
        on_worker(async move {
            let stream: evenkeel_runtime::Detached = receiver.recv().await.unwrap();
            let stream = stream.attach().unwrap();
            let mut buffer = [0; 16];
            let read = read(&stream, &mut buffer).await;
            write(&stream, &buffer[..read]).await;
        });
    });
    on_worker(async move {
        let stream = TcpStream::connect(address, &ConnectOptions::default()).await.unwrap();
        assert!(sender.try_send(stream.detach().unwrap()).is_ok());
    });
    let (mut theirs, _) = listener.accept().unwrap();
    theirs.write_all(b"moved").unwrap();
    let mut echo = [0; 5];
    theirs.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"moved");
    other.join().unwrap();
}

#[test]
fn a_mailbox_is_bounded_and_gives_back_what_it_cannot_take() {
    let (sender, receiver) = mailbox::channel(2);
    assert_eq!(
        (sender.try_send(1), sender.try_send(2), sender.try_send(3)),
        (Ok(()), Ok(()), Err(3))
    );
    drop(receiver);
    assert_eq!(sender.try_send(4), Err(4));
}

#[test]
fn workers_share_a_port_and_both_accept() {
    on_worker(async {
        let first = TcpListener::bind(ANY).unwrap();
        let second = TcpListener::bind(first.local_addr()).unwrap();
        let counts = Rc::new([Cell::new(0), Cell::new(0)]);
        for (at, listener) in [first, second].into_iter().enumerate() {
            let counts = counts.clone();
            if at == 0 {
                let address = listener.local_addr();
                std::thread::spawn(move || {
                    let all: Vec<_> =
                        (0..64).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
                    std::thread::sleep(Duration::from_secs(1));
                    drop(all);
                });
            }
            spawn(async move {
                loop {
                    let _ = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
                    counts[at].set(counts[at].get() + 1);
                }
            });
        }
        while counts[0].get() + counts[1].get() < 64 {
            sleep(Duration::from_millis(2)).await;
        }
        assert!(counts.iter().all(|count| count.get() > 5));
        yield_now().await;
    });
}

#[test]
fn the_kernel_relays_a_body_through_a_pipe() {
    const LENGTH: usize = 3_000_000;
    on_worker(async {
        let (from, mut source) = pair().await;
        let (to, mut sink) = pair().await;
        let body: Vec<u8> = (0..LENGTH).map(|n| (n % 251) as u8).collect();
        let sent = body.clone();
        let writer = std::thread::spawn(move || source.write_all(&sent).unwrap());
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; LENGTH];
            sink.read_exact(&mut all).unwrap();
            all
        });
        let pipe = evenkeel_runtime::Pipe::take().unwrap();
        let mut left = LENGTH;
        while left > 0 {
            let mut here = poll_fn(|cx| from.poll_splice_from(cx, &pipe, left)).await.unwrap();
            assert!(here > 0);
            left -= here;
            while here > 0 {
                here -= poll_fn(|cx| to.poll_splice_to(cx, &pipe, here)).await.unwrap();
            }
        }
        writer.join().unwrap();
        assert!(reader.join().unwrap() == body);
        assert!(
            poll_fn(|cx| match from.poll_readable(cx) {
                Poll::Ready(ready) => Poll::Ready(ready.is_ok()),
                Poll::Pending => Poll::Pending,
            })
            .await
        );
    });
}
