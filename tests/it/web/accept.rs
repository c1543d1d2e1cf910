//! The public port itself: on which addresses, without descriptors, and when the server stops.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use roomtone::observe::reports::Report;
use roomtone::web::server::acceptor::bind;

use crate::harness::http_client::HttpClient;
use crate::harness::server::Server;
use crate::harness::wait::{PATIENCE, SHORT, wait_until};

#[test]
fn by_default_ipv4_and_ipv6_are_accepted() {
    let listener = bind(None, 0).unwrap();
    let address = listener.local_addr().unwrap();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).is_ok());
    if address.is_ipv6() {
        assert!(TcpStream::connect((std::net::Ipv6Addr::LOCALHOST, address.port())).is_ok());
    }
    assert_eq!(bind(None, address.port()).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn stopping_is_prompt_and_closes_everything() {
    let server = Server::open();
    let mut idle = server.client();
    idle.ask("GET", "/healthz", "", b"");
    idle.response("GET");
    let mut silent = server.client();
    wait_until("both are in", || server.metrics.connections.read() == 2);
    let (address, begun) = (server.address(), Instant::now());
    server.running.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "stopped after {:?}", begun.elapsed());
    idle.expect_end();
    silent.expect_end();
    assert!(TcpStream::connect(address).is_err());
}

/// Each would leave the process half alive, if `main` did not learn of its end.
#[test]
fn the_end_of_every_thread_of_the_server_is_reported() {
    let server = Server::open();
    assert_eq!(server.ask("GET", "/healthz", "", b"").status, 200);
    assert!(server.reports.is_empty());
    let Server { running, reports, .. } = server;
    running.stop().unwrap();
    let mut ended = vec![];
    while ended.len() < 10 {
        match reports.recv_timeout(PATIENCE).expect("every thread's end is reported") {
            Report::Ended { thread } => ended.push(thread),
            other => panic!("{other:?}"),
        }
    }
    ended.sort();
    let mut expected: Vec<_> = (0..8).map(|n| format!("http-{n}")).chain(["accept".into(), "ready".into()]).collect();
    expected.sort();
    assert_eq!(ended, expected);
}

/// Set in the process that [`running_out_of_descriptors_does_not_end_the_accept_loop`] starts.
#[cfg(unix)]
const STARVING: &str = "ROOMTONE_TEST_STARVING";

#[cfg(unix)]
#[test]
fn running_out_of_descriptors_does_not_end_the_accept_loop() {
    // In a process of its own: this one's other tests need theirs.
    let mut child = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 400 && exec \"$0\" --exact web::accept::a_server_without_descriptors --ignored --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(STARVING, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut await_line = |text: &str| loop {
        let line = lines.next().expect("the other process lives");
        // The harness writes the test's name in front of the first line.
        if let Some((_, rest)) = line.split_once(text) {
            return rest.trim().to_owned();
        }
    };
    let address: SocketAddr = await_line("listening at").parse().unwrap();
    for _ in 0..3 {
        writeln!(orders, "starve").unwrap();
        await_line("starving");
        let mut waiting: Vec<HttpClient> = (0..20).map(|_| HttpClient::connect(address)).collect();
        for client in &mut waiting {
            client.ask("GET", "/healthz", "", b"");
        }
        // No client can be accepted now, and the loop gets that error again and again.
        waiting[0].stream.set_read_timeout(Some(SHORT)).unwrap();
        assert!(waiting[0].stream.read(&mut [0; 1]).is_err());
        waiting[0].stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(orders, "release").unwrap();
        await_line("released");
        for client in &mut waiting {
            assert_eq!(client.response("GET").body, b"ok");
        }
    }
    drop(orders);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
#[ignore = "the other half of running_out_of_descriptors_does_not_end_the_accept_loop"]
fn a_server_without_descriptors() {
    if std::env::var_os(STARVING).is_none() {
        return;
    }
    let server = Server::open();
    println!("listening at {}", server.address());
    let mut hoard = Vec::new();
    for order in std::io::stdin().lines() {
        match order.unwrap().as_str() {
            "starve" => {
                // Those who leave later would leave descriptors behind.
                wait_until("earlier clients have left", || server.metrics.connections.read() == 0);
                while let Ok(file) = fs::File::open("/dev/null") {
                    hoard.push(file);
                }
                println!("starving");
            }
            _ => {
                hoard.clear();
                println!("released");
            }
        }
    }
}
