//! `concurrency_limit`.

use crate::support::{self, Backend, Client, Gate, Then, reply};
use crate::{Stage, WAYS, Way};

const POLICY: &str = "{ concurrency_limit: { max: 1 } }";

/// A server that keeps what is asked under `/held` until the gate opens.
fn holding(gate: &Gate) -> Backend {
    let gate = gate.clone();
    Backend::start(move |request, stream| {
        if request.target().starts_with("/held") {
            gate.pass();
        }
        reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Then::Keep
    })
}

fn hold(stage: &Stage, backend: &Backend) -> Client {
    let before = backend.count();
    let mut client = Client::connect(stage.plain());
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    support::wait_for("the server to be asked", || backend.count() > before);
    client
}

fn wait_for_room(stage: &Stage) {
    support::wait_for("room", || stage.get(Way::H1).status == 200);
}

#[test]
fn one_more_than_may_be_at_a_time_is_refused_until_there_is_room() {
    let gate = Gate::default();
    let backend = holding(&gate);
    let stage = Stage::new(&backend, POLICY);
    let mut held = hold(&stage, &backend);
    for way in WAYS {
        let answer = stage.get(way);
        let told = (answer.status, answer.field("x-evenkeel-reason"), answer.field("retry-after"));
        assert_eq!(told, (429, "too_many_at_once", "1"), "{way:?}");
    }
    gate.open();
    assert_eq!(held.response().status, 200);
    for way in WAYS {
        assert_eq!(stage.get(way).status, 200, "{way:?}");
    }
}

#[test]
fn a_client_that_goes_away_leaves_its_place() {
    let gate = Gate::default();
    let backend = holding(&gate);
    let stage = Stage::new(&backend, POLICY);
    let client = hold(&stage, &backend);
    support::reset(&client.stream); // half an end could be one who still listens
    drop(client);
    wait_for_room(&stage);
    gate.open();
}

#[test]
fn a_tunnel_has_its_place_as_long_as_it_lasts() {
    let backend = Backend::start(|request, stream| {
        match request.field("upgrade") {
            Some(_) => reply(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            ),
            None => reply(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        }
        Then::Keep
    });
    let stage = Stage::new(&backend, POLICY);
    let mut tunnel = Client::connect(stage.plain());
    tunnel.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(tunnel.response().status, 101);
    assert_eq!(WAYS.map(|way| stage.get(way).status), [429; 3]);
    drop(tunnel);
    wait_for_room(&stage);
}

#[test]
fn a_failed_exchange_gives_its_place_back() {
    let backend = Backend::start(|_, _| Then::Reset);
    let stage = Stage::new(&backend, POLICY);
    for _ in 0..5 {
        for way in WAYS {
            assert_eq!(stage.get(way).status, 502, "{way:?}");
        }
    }
}

#[test]
fn places_held_survive_a_reload_and_a_dry_run_refuses_nobody() {
    let gate = Gate::default();
    let backend = holding(&gate);
    let stage = Stage::new(&backend, POLICY);
    let held = hold(&stage, &backend);
    stage.reload(&backend, "{ concurrency_limit: { max: 2 } }");
    let second = hold(&stage, &backend);
    assert_eq!(stage.get(Way::H2).status, 429);
    stage.reload(&backend, "{ concurrency_limit: { max: 2, dry_run: true } }");
    assert_eq!(stage.get(Way::H2).status, 200);
    support::wait_for("a line about it", || {
        stage.proxy.log().iter().any(|line| line.contains("dry run"))
    });
    gate.open();
    drop((held, second));
}
