//! Servers that see the client's own address: three network namespaces, for which root is needed.

use std::process::{Child, Command, Stdio};

use crate::support::{Directory, wait_for};

/// Client, balancer and server, each in a namespace of its own, in a row.
struct Row {
    id: String,
    children: Vec<Child>,
}

impl Row {
    /// `None` where this cannot be had.
    fn new() -> Option<Self> {
        let id = format!("ek{}", std::process::id() % 100_000);
        let row = Self { id, children: Vec::new() };
        let (client, middle, server) = (row.name("c"), row.name("m"), row.name("s"));
        let (to_client, to_server) = (row.name("x"), row.name("y"));
        let steps = [
            format!("netns add {client}"),
            format!("netns add {middle}"),
            format!("netns add {server}"),
            format!("-n {middle} link add {to_client} type veth peer name eth0 netns {client}"),
            format!("-n {middle} link add {to_server} type veth peer name eth0 netns {server}"),
            format!("-n {client} addr add 10.77.1.2/24 dev eth0"),
            format!("-n {server} addr add 10.77.2.2/24 dev eth0"),
            format!("-n {middle} addr add 10.77.1.1/24 dev {to_client}"),
            format!("-n {middle} addr add 10.77.2.1/24 dev {to_server}"),
            format!("-n {client} link set eth0 up"),
            format!("-n {server} link set eth0 up"),
            format!("-n {middle} link set lo up"),
            format!("-n {middle} link set {to_client} up"),
            format!("-n {middle} link set {to_server} up"),
            format!("-n {server} route add default via 10.77.2.1"),
            // Whatever the server answers is for sockets here, though the address is the client's.
            format!("-n {middle} rule add iif {to_server} table 77"),
            format!("-n {middle} route add local default dev lo table 77"),
        ];
        let done = steps.iter().all(|step| {
            let done = Command::new("ip").args(step.split(' ')).stderr(Stdio::null()).status();
            done.is_ok_and(|status| status.success())
        });
        done.then_some(row)
    }

    fn name(&self, part: &str) -> String {
        format!("{}{part}", self.id)
    }

    fn run(&mut self, part: &str, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(part), program]).args(arguments);
        command
    }

    fn spawn(&mut self, part: &str, program: &str, arguments: &[&str]) {
        let mut command = self.run(part, program, arguments);
        self.children.push(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for part in ["c", "m", "s"] {
            let _ = Command::new("ip").args(["netns", "del", &self.name(part)]).status();
        }
    }
}

#[test]
fn a_server_sees_the_address_of_the_client_itself() {
    let Some(mut row) = Row::new() else {
        println!("skipped: network namespaces cannot be made here (root and iproute2 are needed)");
        return;
    };
    let directory = Directory::new();
    let file = directory.0.join("evenkeel.yaml");
    let text = format!(
        "listeners:\n  l: {{ bind: \"10.77.1.1:80\", tcp: {{ to: a, source: client }} }}\n\
         pools:\n  a: {{ servers: [\"10.77.2.2:80\"] }}\nadmin: {{ bind: \"unix:{}/admin.sock\" }}\n",
        directory.0.display()
    );
    std::fs::write(&file, text).unwrap();
    let says_peer = "import socket\ns=socket.create_server(('10.77.2.2',80))\n\
                     while True:\n c,p=s.accept(); c.sendall(p[0].encode()); c.close()\n";
    row.spawn("s", "python3", &["-c", says_peer]);
    let config = file.to_string_lossy().into_owned();
    row.spawn("m", env!("CARGO_BIN_EXE_evenkeel"), &["run", "-c", &config]);
    let ask = "import socket\ns=socket.create_connection(('10.77.1.1',80),5)\n\
               print(s.recv(99).decode())\n";
    wait_for("the server to see 10.77.1.2", || {
        let said = row.run("c", "python3", &["-c", ask]).stderr(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&said.stdout).trim() == "10.77.1.2"
    });
}
