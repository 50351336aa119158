//! The rhythm of checks against real servers: who is checked when, and what follows.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use evenkeel_balancer::{Check, SharedPool, SharedServer};
use evenkeel_config::model::{Address, CommandProbe, Exchange, HealthCheck, Probe};
use evenkeel_runtime as runtime;

use super::recent::Recent;
use super::{Came, Checks, Target};

const LIMIT: Duration = Duration::from_secs(60);
const MS: fn(u64) -> Duration = Duration::from_millis;

fn check(interval: Duration, timeout: Duration) -> Arc<HealthCheck> {
    Arc::new(HealthCheck {
        probe: Probe::Tcp(Exchange::default()),
        interval,
        timeout,
        rise: 2,
        fall: 3,
        interval_changing: interval / 2,
        interval_down_max: interval,
        port: None,
    })
}

fn target(address: SocketAddr, check: &Arc<HealthCheck>) -> Target {
    Target {
        pool: "app".into(),
        server: address.to_string().into(),
        address: Address::Socket(address),
        addresses: [address].into(),
        elsewhere: None,
        check: check.clone(),
        keys: None,
        header: None,
        shared: SharedServer::new(&SharedPool::new(runtime::now())),
    }
}

fn within_control<T>(test: impl Future<Output = T>) -> T {
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    control.block_on(test)
}

async fn wait_for(what: &str, happened: impl Fn() -> bool) {
    let begun = runtime::now();
    while !happened() {
        assert!(begun.elapsed() < LIMIT, "waited in vain for {what}");
        tokio::time::sleep(MS(2)).await;
    }
}

fn recent(checks: &Checks, target: &Target) -> Recent {
    checks.reader().of(&target.pool, &target.server).unwrap_or_default()
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn a_server_that_dies_is_down_and_one_that_comes_back_is_up() {
    within_control(async {
        let (listener, address) = listen();
        let server = target(address, &check(MS(50), MS(1000)));
        let checks = Checks::start(1);
        checks.set(vec![server.clone()]);
        wait_for("up", || server.shared.check() == Check::Up).await;
        drop(listener);
        wait_for("down", || server.shared.check() == Check::Down).await;
        let found = recent(&checks, &server);
        let refused = Came::Failed("connection refused".into());
        assert_eq!(found.iter().take(3).filter(|made| made.result == refused).count(), 3);
        assert!(found.iter().skip(3).any(|made| made.result == Came::Passed), "{found:?}");
        let _listener = TcpListener::bind(address).unwrap();
        wait_for("up again", || server.shared.check() == Check::Up).await;
        wait_for("ten results", || recent(&checks, &server).len() == 10).await;
        tokio::time::sleep(MS(200)).await;
        assert_eq!(recent(&checks, &server).len(), 10, "and no more");
    });
}

#[test]
fn a_server_that_is_not_checked_any_more_is_not_known_to_be_up_or_down() {
    within_control(async {
        let gone = target(listen().1, &check(MS(20), MS(1000)));
        let checks = Checks::start(1);
        checks.set(vec![gone.clone()]);
        wait_for("down", || gone.shared.check() == Check::Down).await;
        checks.set(vec![]);
        wait_for("unknown", || gone.shared.check() == Check::Unknown).await;
        assert_eq!(checks.reader().of("app", &gone.server), None);
        tokio::time::sleep(MS(200)).await;
        assert_eq!(gone.shared.check(), Check::Unknown, "no check is left behind");
    });
}

#[test]
fn servers_that_stay_notice_nothing_when_others_come_and_go() {
    within_control(async {
        let (_listener, address) = listen();
        let settings = check(MS(100), MS(1000));
        let stays = target(address, &settings);
        let checks = Checks::start(1);
        checks.set(vec![stays.clone()]);
        wait_for("up", || stays.shared.check() == Check::Up).await;
        // Far more changes than intervals: if each began anew, there would be far more checks.
        let begun = runtime::now();
        let before = recent(&checks, &stays).front().map(|made| made.at);
        let mut seen = 0;
        let mut last = before;
        for n in 0..100_u8 {
            let other = target(SocketAddr::from(([127, 0, 0, 1], 1)), &settings);
            // The settings are equal, though not the same.
            let again = Target { check: check(MS(100), MS(1000)), ..stays.clone() };
            checks.set(if n % 2 == 0 { vec![other, again] } else { vec![again] });
            tokio::time::sleep(MS(10)).await;
            let now = recent(&checks, &stays).front().map(|made| made.at);
            seen += usize::from(now != last);
            last = now;
        }
        let most = begun.elapsed().as_millis() / 90 + 2;
        assert!(seen as u128 <= most && seen >= 3, "{seen} checks, at most {most}");
        assert_eq!(stays.shared.check(), Check::Up);
    });
}

#[test]
fn changed_settings_apply_at_once_and_what_was_known_stays_known() {
    within_control(async {
        let (listener, address) = listen();
        let slow = target(address, &check(MS(20), MS(1000)));
        let checks = Checks::start(1);
        checks.set(vec![slow.clone()]);
        wait_for("up", || slow.shared.check() == Check::Up).await;
        drop(listener);
        wait_for("down", || slow.shared.check() == Check::Down).await;
        let (_listener, elsewhere) = listen();
        let moved = Some((Address::Socket(elsewhere), vec![elsewhere]));
        checks.set(vec![Target { elsewhere: moved, ..slow.clone() }]);
        assert_eq!(slow.shared.check(), Check::Down);
        wait_for("up", || slow.shared.check() == Check::Up).await;
    });
}

#[test]
fn first_checks_are_spread() {
    within_control(async {
        let (listener, address) = listen();
        listener.set_nonblocking(true).unwrap();
        let settings = check(MS(2000), MS(1000));
        let servers: Vec<Target> = (0..100)
            .map(|n| Target { server: n.to_string().into(), ..target(address, &settings) })
            .collect();
        let checks = Checks::start(1);
        checks.set(servers.clone());
        let all_up = || servers.iter().all(|server| server.shared.check() == Check::Up);
        wait_for("all up", all_up).await;
        let mut at: Vec<_> = servers
            .iter()
            .filter_map(|server| recent(&checks, server).back().map(|made| made.at))
            .collect();
        at.sort_unstable();
        let (Some(first), Some(last)) = (at.first(), at.last()) else { panic!("{at:?}") };
        let took = last.duration_since(*first).unwrap();
        assert!(took > MS(800), "100 checks at 100 a second took {took:?}");
        let half = at.get(50).unwrap().duration_since(*first).unwrap();
        assert!(half > took / 8 && half < took * 7 / 8, "half of them in {half:?} of {took:?}");
    });
}

#[test]
fn a_check_that_fails_while_this_process_stands_still_says_nothing() {
    within_control(async {
        // Nobody accepts, and the queue is full: connecting takes for ever.
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let _full: Vec<_> = (0..4)
            .filter_map(|_| std::net::TcpStream::connect_timeout(&address, MS(50)).ok())
            .collect();
        let mut settings = (*check(MS(20), MS(60))).clone();
        settings.fall = 2;
        let server = target(address, &Arc::new(settings));
        let checks = Checks::start(1);
        checks.set(vec![server.clone()]);
        for _ in 0..20 {
            tokio::time::sleep(MS(20)).await;
            #[allow(clippy::disallowed_methods, reason = "the process stands still")]
            std::thread::sleep(MS(200));
        }
        assert_ne!(server.shared.check(), Check::Down);
        let found = recent(&checks, &server);
        assert!(found.iter().any(|made| matches!(made.result, Came::NotMade(_))), "{found:?}");
        // And as soon as it runs again, it knows.
        wait_for("down", || server.shared.check() == Check::Down).await;
    });
}

#[test]
fn no_more_than_512_run_at_a_time() {
    within_control(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = (*check(MS(100), LIMIT)).clone();
        let expect = Some(b"never".to_vec());
        settings.probe = Probe::Tcp(Exchange { send: None, expect });
        let settings = Arc::new(settings);
        let servers: Vec<Target> = (0..700)
            .map(|n| Target { server: n.to_string().into(), ..target(address, &settings) })
            .collect();
        let checks = Checks::start(1);
        checks.set(servers);
        let mut open = Vec::new();
        let next = |within| tokio::time::timeout(within, listener.accept());
        while open.len() < 512 {
            open.push(next(LIMIT).await.expect("512 of them").unwrap());
        }
        assert!(next(Duration::from_secs(1)).await.is_err(), "and no more");
        open.truncate(500); // twelve are answered (with an end), so twelve others may begin
        tokio::time::timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    });
}

#[test]
fn programs_that_wait_for_their_turn_keep_nobody_else_from_being_checked() {
    within_control(async {
        let probe = CommandProbe { argv: vec!["/bin/sleep".into(), "30".into()], env: vec![] };
        let slow = HealthCheck { probe: Probe::Command(probe), ..(*check(MS(100), LIMIT)).clone() };
        let (slow, address) = (Arc::new(slow), SocketAddr::from(([127, 0, 0, 1], 9)));
        let program = |n: usize| Target {
            server: format!("{n}").into(),
            pool: "programs".into(),
            ..target(address, &slow)
        };
        let mut targets: Vec<Target> = (0..600).map(program).collect();
        let checks = Checks::start(1);
        checks.set(targets.clone());
        tokio::time::sleep(MS(500)).await;
        let (_listener, address) = listen();
        let server = target(address, &check(MS(50), MS(1000)));
        targets.push(server.clone());
        checks.set(targets);
        wait_for("up", || server.shared.check() == Check::Up).await;
    });
}
