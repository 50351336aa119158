//! The verbs that talk to a running process: what they print, what they change, how they end.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // test code outside the workers

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};

use serde_json::Value;
use support::admin::Admin;
use support::{Backend, Proxy, Then, reply, simple, wait_for};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn start(config: &str) -> (Proxy, Admin) {
    let proxy = Proxy::start(config);
    wait_for("the admin API", || UnixStream::connect(proxy.admin_socket()).is_ok());
    let admin = Admin::of(&proxy);
    (proxy, admin)
}

fn command(admin: &Admin, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(arguments).env("EVENKEEL_ADMIN", admin.argument());
    command.env_remove("EVENKEEL_ADMIN_TOKEN");
    command
}

fn run(admin: &Admin, arguments: &[&str]) -> Output {
    command(admin, arguments).output().unwrap()
}

/// Standard output of a command that has to succeed.
fn say(admin: &Admin, arguments: &[&str]) -> String {
    let output = run(admin, arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn status_and_servers_show_what_there_is_within_80_columns() {
    let backend = Backend::replying(OK);
    let (proxy, admin) = start(&simple(&[&backend]));
    assert_eq!(proxy.get("/").status, 200);
    let status = say(&admin, &["status"]);
    fits(&status);
    for part in ["serving", "version", "web", &proxy.addresses[0].to_string(), "app"] {
        assert!(status.contains(part), "{part} is missing from:\n{status}");
    }
    let servers = say(&admin, &["servers"]);
    fits(&servers);
    for part in ["app\n", &backend.address.to_string(), "up", "STANDING"] {
        assert!(servers.contains(part), "{part} is missing from:\n{servers}");
    }
    assert_eq!(servers, say(&admin, &["servers", "app"]));
    let json: Value = serde_json::from_str(&say(&admin, &["servers", "--json"])).unwrap();
    assert_eq!(json[0]["address"], backend.address.to_string());
    let json: Value = serde_json::from_str(&say(&admin, &["status", "--json"])).unwrap();
    assert_eq!(json["state"], "serving");
    let none = run(&admin, &["servers", "ap"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("did you mean `app`?"));
}

#[test]
fn weight_enable_and_disable_say_what_they_changed() {
    let backend = Backend::replying(OK);
    let server = backend.address.to_string();
    let (_proxy, admin) = start(&simple(&[&backend]));
    let tried = say(&admin, &["weight", "app", &server, "5", "--dry-run"]);
    assert!(tried.contains("would change") && tried.contains(&server), "{tried}");
    let done = say(&admin, &["weight", "app", &server, "5"]);
    assert!(done.starts_with("version ") && done.contains(&server), "{done}");
    let again = say(&admin, &["weight", "app", &server, "5"]);
    assert!(again.contains("nothing to change"), "{again}");
    let target = format!("app/{server}");
    say(&admin, &["disable", &target]);
    assert!(say(&admin, &["servers"]).contains("disabled"));
    say(&admin, &["enable", &target]);
    assert!(!say(&admin, &["servers"]).contains("disabled"));
    let wrong = run(&admin, &["weight", "app", &server, "1001"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn drain_waits_until_nothing_runs_there_any_more() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let slow = Backend::start(move |_, stream| {
        let _ = released.lock().unwrap().recv();
        reply(stream, OK);
        Then::Keep
    });
    let other = Backend::replying(OK);
    let (proxy, admin) = start(&simple(&[&slow, &other]));
    let mut clients = Vec::new();
    wait_for("a request at the slow one", || {
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        clients.push(client);
        slow.count() == 1
    });
    let target = format!("app/{}", slow.address);
    let mut waiting = command(&admin, &["drain", &target, "--wait", "--deadline", "1m"]);
    let mut waiting = waiting.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(waiting.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut shown = String::new();
    let begun = lines.by_ref().find(|line| {
        shown.push_str(&format!("{line}\n"));
        line.contains(" left")
    });
    assert!(begun.is_some(), "{shown}");
    // More than one may have gone there before the first was noticed.
    clients.iter().for_each(|_| release.send(()).unwrap());
    lines.for_each(|line| shown.push_str(&format!("{line}\n")));
    assert_eq!(waiting.wait().unwrap().code(), Some(0), "{shown}");
    assert!(shown.ends_with("done: nothing runs there any more\n"), "{shown}");
    fits(&shown);
}

#[test]
fn a_refused_reload_ends_as_check_does_and_shows_the_place() {
    let backend = Backend::replying(OK);
    let good = simple(&[&backend]);
    let (proxy, admin) = start(&good);
    assert!(say(&admin, &["reload"]).contains("nothing to change"));
    proxy.write(&good.replace("servers:", "blance: random\n    servers:"));
    let refused = run(&admin, &["reload"]);
    let told = String::from_utf8(refused.stderr).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .arg("check")
        .arg(proxy.file())
        .output()
        .unwrap();
    assert_eq!((refused.status.code(), checked.status.code()), (Some(78), Some(78)), "{told}");
    for part in ["evenkeel.yaml:8:", "^^^^^^", "`balance`?"] {
        assert!(told.contains(part), "{part} is missing from:\n{told}");
    }
    assert_eq!(told, String::from_utf8(checked.stderr).unwrap(), "in the same words");
    proxy.write(&good.replace("to: app", "{ match: { path: /new }, to: app }"));
    assert!(say(&admin, &["reload"]).contains("version 2"));
    assert!(say(&admin, &["rollback"]).contains("version 3"));
    assert_eq!(proxy.get("/").status, 200, "as before");
}

#[test]
fn nobody_there_is_69_with_a_hint() {
    let directory = support::Directory::new();
    let socket = directory.0.join("none.sock");
    let nobody = Admin { place: support::admin::Place::Unix(socket.clone()), token: None };
    for arguments in [&["status"][..], &["reload"], &["drain", "app"], &["upgrade"]] {
        let output = run(&nobody, arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{arguments:?}: {told}");
        assert!(told.contains("none.sock") && told.contains("evenkeel run"), "{told}");
    }
    let wrong = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["status", "--admin", "https://x:1"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_token_is_taken_from_the_environment_and_a_missing_one_is_77() {
    const TOKEN: &str = "ops-token-0123456789";
    let config = format!(
        "{}admin: {{ bind: 127.0.0.1:0, tokens: [{{ name: ops, secret: {TOKEN} }}] }}\n",
        simple(&[&Backend::replying(OK)])
    );
    let proxy = Proxy::start(&config);
    let mut place = None;
    wait_for("the admin API", || {
        let log = proxy.log();
        let line =
            log.iter().find_map(|line| line.split("admin API on ").nth(1).map(str::to_owned));
        place = line.and_then(|rest| rest.split_whitespace().next().map(str::to_owned));
        place.is_some()
    });
    let place = place.unwrap();
    let ask = |token: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["status", "--admin", &place]).env_remove("EVENKEEL_ADMIN_TOKEN");
        command.envs(token.map(|token| ("EVENKEEL_ADMIN_TOKEN", token)));
        command.output().unwrap().status.code()
    };
    assert_eq!([ask(Some(TOKEN)), ask(None), ask(Some("nonsense"))], [Some(0), Some(77), Some(77)]);
}
