//! The address that a client types to reach the host, where a router translates it: the client's only way to the sound. The
//! router and both hosts are network namespaces, so this needs root; without it, it says so and checks nothing.

use std::process::{Command, Stdio};

use crate::harness::program::{BINARY, Program, example};

/// The namespaces of a test, removed when dropped.
struct Network {
    id: u32,
}

impl Network {
    /// A client, a router, and a server behind it whose port 8088 the router forwards, by that number and by 9000. The client
    /// knows no way to the server's own addresses. None if the system does not permit it.
    fn new() -> Option<Network> {
        let network = Network { id: std::process::id() };
        if !run("ip", &format!("netns add {}", network.name("server"))) {
            return None;
        }
        for name in ["router", "client"] {
            assert!(run("ip", &format!("netns add {}", network.name(name))));
        }
        network.connect("server", "10.77.0.2/24 fd77::2/64", "10.77.0.1/24 fd77::1/64");
        network.connect("client", "203.0.113.2/24 2001:db8:77::2/64", "203.0.113.1/24 2001:db8:77::1/64");
        for gateway in ["default via 10.77.0.1", "-6 default via fd77::1"] {
            let (family, route) = gateway.split_once("-6 ").map_or(("-4", gateway), |(_, route)| ("-6", route));
            assert!(network.run("server", &format!("ip {family} route add {route}")));
        }
        for forwarding in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
            assert!(network.run("router", &format!("sysctl -qw {forwarding}")));
        }
        for (family, server) in [("ip", "10.77.0.2:8088"), ("ip6", "[fd77::2]:8088")] {
            let rules = format!(
                "table {family} nat {{\nchain pre {{\ntype nat hook prerouting priority -100\n\
                 iifname client meta l4proto {{ tcp, udp }} th dport {{ 8088, 9000 }} dnat to {server}\n}}\n}}"
            );
            let nft = ["netns", "exec", &network.name("router"), "nft", &rules];
            assert!(Command::new("ip").args(nft).status().unwrap().success());
        }
        Some(network)
    }

    fn name(&self, host: &str) -> String {
        format!("roomtone-{}-{host}", self.id)
    }

    /// Connects a host to the router, whose end has the host's name.
    fn connect(&self, host: &str, own: &str, routers: &str) {
        let (inner, router) = (self.name(host), self.name("router"));
        assert!(run("ip", &format!("link add up{} netns {inner} type veth peer name {host} netns {router}", self.id)));
        for (namespace, device, addresses) in
            [(host, format!("up{}", self.id), own), ("router", host.to_owned(), routers)]
        {
            for address in addresses.split(' ') {
                let nodad = if address.contains(':') { "nodad" } else { "" };
                assert!(self.run(namespace, &format!("ip address add {address} dev {device} {nodad}")));
            }
            assert!(self.run(namespace, &format!("ip link set {device} up")));
            assert!(self.run(namespace, "ip link set lo up"));
        }
    }

    fn command(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), program]);
        command
    }

    fn run(&self, host: &str, line: &str) -> bool {
        run("ip", &format!("netns exec {} {line}", self.name(host)))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in ["server", "router", "client"] {
            run("ip", &format!("netns delete {}", self.name(host)));
        }
    }
}

fn run(program: &str, line: &str) -> bool {
    let status = Command::new(program).args(line.split_ascii_whitespace()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn sound_arrives_by_the_address_and_port_that_were_typed() {
    let Some(network) = Network::new() else {
        eprintln!("not checked: sound through address translation, which needs root and `ip netns`");
        return;
    };
    let mut server = network.command("server", BINARY);
    server.args(["--sine-wave", "--no-tls", "--state-dir", "state", "--log-file", "none"]);
    let _program = Program::spawn(tempfile::tempdir().unwrap(), server);
    for typed in ["203.0.113.1:8088", "203.0.113.1:9000", "[2001:db8:77::1]:8088", "[2001:db8:77::1]:9000"] {
        let listen = example("listen");
        let url = format!("http://{typed}/whep");
        let output =
            network.command("client", listen.to_str().unwrap()).args([&url, "--seconds", "2", "--json"]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{typed}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
