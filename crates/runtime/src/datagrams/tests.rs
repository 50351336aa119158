//! With the kernel's sockets on this machine.

use std::future::poll_fn;
use std::net::UdpSocket as Std;
use std::time::Duration;

use super::*;

fn local(socket: &Std) -> SocketAddr {
    socket.local_addr().unwrap()
}

fn client() -> Std {
    let socket = Std::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// In a worker of its own, for 10 s at most.
fn worker(test: impl Future<Output = ()>) {
    crate::run(None, async {
        let test = tokio::time::timeout(Duration::from_secs(10), test);
        test.await.expect("nothing came");
    })
    .unwrap();
}

/// What `count` datagrams hold, however many calls they need.
async fn receive(socket: &UdpSocket, count: usize) -> Vec<(SocketAddr, Option<IpAddr>, Vec<u8>)> {
    let (mut inbox, mut all) = (Inbox::default(), Vec::new());
    while all.len() < count {
        poll_fn(|cx| socket.poll_receive(cx, &mut inbox)).await.unwrap();
        for arrived in inbox.arrived() {
            for one in arrived.bytes.chunks(arrived.segment.max(1)) {
                all.push((arrived.from, arrived.to, one.to_vec()));
            }
        }
    }
    all
}

#[test]
fn many_datagrams_come_with_one_call_each_with_its_sender() {
    worker(async {
        let socket = UdpSocket::adopt(UdpBound::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let socket = socket.unwrap();
        let to = local(socket.io.get_ref());
        let clients: Vec<_> = (0..40).map(|_| client()).collect();
        for (n, client) in (0_u8..).zip(&clients) {
            client.send_to(&[n; 10], to).unwrap();
        }
        let all = receive(&socket, 40).await;
        for ((n, client), (from, _, bytes)) in (0_u8..).zip(&clients).zip(&all) {
            assert_eq!((*from, bytes.as_slice()), (local(client), [n; 10].as_slice()));
        }
    });
}

#[test]
fn a_socket_of_all_addresses_says_which_it_was_and_answers_from_it() {
    for (any, ours) in [("0.0.0.0:0", "127.0.0.5"), ("[::]:0", "::1")] {
        worker(async {
            let socket = UdpSocket::adopt(UdpBound::bind(any.parse().unwrap()).unwrap()).unwrap();
            let ours: IpAddr = ours.parse().unwrap();
            let to = SocketAddr::new(ours, local(socket.io.get_ref()).port());
            let loopback = if ours.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
            let client = Std::bind(loopback).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            client.send_to(b"?", to).unwrap();
            let all = receive(&socket, 1).await;
            assert_eq!(all, [(local(&client), Some(ours), b"?".to_vec())]);
            let server = Std::bind(loopback).unwrap();
            let flow = Flow::connect(local(&server)).unwrap();
            flow.send(b"ask", 3).unwrap();
            let (_, back) = server.recv_from(&mut [0; 8]).unwrap();
            server.send_to(b"answer", back).unwrap();
            let mut outbox = Outbox::default();
            assert_eq!(outbox.take(&flow, local(&client), Some(ours)).unwrap(), (6, 6));
            assert_eq!(outbox.last(), b"answer");
            assert_eq!(socket.send(&mut outbox), 0);
            let mut answer = [0; 16];
            assert_eq!(client.recv_from(&mut answer).unwrap(), (6, to));
        });
    }
}

#[test]
fn a_run_of_datagrams_is_one_call_and_arrives_as_it_was() {
    worker(async {
        let server = UdpSocket::adopt(UdpBound::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let server = server.unwrap();
        let flow = Flow::connect(local(server.io.get_ref())).unwrap();
        let bytes: Vec<u8> = (0..100_u8).flat_map(|n| [n; 500]).take(49_900).collect();
        flow.send(&bytes, 500).unwrap();
        let all = receive(&server, 100).await;
        assert_eq!(all.iter().flat_map(|one| one.2.clone()).collect::<Vec<_>>(), bytes);
        assert!(all[..99].iter().all(|one| one.2.len() == 500));
        // And back: joined by the flow, sent on as a run.
        flow.join_runs();
        let (back, own) = (client(), UdpBound::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let sender = server.io.into_inner();
        sender.connect(all[0].0).unwrap();
        os::send_connected(sender.as_fd(), &bytes[..5000], 500).unwrap();
        let (own, mut outbox) = (UdpSocket::adopt(own).unwrap(), Outbox::default());
        let mut taken = 0;
        while taken < 5000 {
            taken += outbox.take(&flow, local(&back), None).map_or(0, |(length, _)| length);
        }
        assert_eq!(own.send(&mut outbox), 0);
        for n in 0..10 {
            let mut one = [0; 1000];
            assert_eq!(back.recv(&mut one).unwrap(), 500);
            assert_eq!(one[..500], [n; 500]);
        }
    });
}

#[test]
fn a_server_that_is_not_there_is_an_error_of_its_flow_alone() {
    worker(async {
        let (gone, there) = (local(&client()), client());
        let mut readiness = Readiness::new().unwrap();
        let flows = [Flow::connect(gone).unwrap(), Flow::connect(local(&there)).unwrap()];
        for (name, flow) in (7..).zip(&flows) {
            readiness.watch(flow, name).unwrap();
            flow.send(b"?", 1).unwrap();
        }
        let (mut names, mut outbox) = (Vec::new(), Outbox::default());
        poll_fn(|cx| readiness.poll(cx, &mut names)).await.unwrap();
        assert_eq!(names, [7]);
        let error = outbox.take(&flows[0], gone, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(outbox.is_empty());
        let (_, back) = there.recv_from(&mut [0; 8]).unwrap();
        there.send_to(b"!", back).unwrap();
        poll_fn(|cx| readiness.poll(cx, &mut names)).await.unwrap();
        assert_eq!(names, [8]);
    });
}

#[test]
fn an_outbox_loses_only_what_cannot_be_sent() {
    worker(async {
        let socket = UdpSocket::adopt(UdpBound::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let (socket, client, server) = (socket.unwrap(), client(), client());
        let (flow, mut outbox) = (Flow::connect(local(&server)).unwrap(), Outbox::default());
        flow.send(b"?", 1).unwrap();
        let (_, back) = server.recv_from(&mut [0; 8]).unwrap();
        // No way leads from a loopback address to the second.
        for to in [local(&client), "192.0.2.1:9".parse().unwrap(), local(&client)] {
            server.send_to(b"!", back).unwrap();
            outbox.take(&flow, to, None).unwrap();
        }
        assert_eq!(socket.send(&mut outbox), 1);
        assert_eq!(client.recv(&mut [0; 8]).unwrap(), 1);
        assert_eq!(client.recv(&mut [0; 8]).unwrap(), 1);
    });
}
