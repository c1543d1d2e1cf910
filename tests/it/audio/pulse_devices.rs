//! What the PulseAudio host lists, and that the server always accepts this client.

use crate::harness::program::BINARY;
use crate::harness::sound_server::SoundServer;

#[test]
fn the_list_marks_the_default_and_the_monitors() {
    let server = SoundServer::start();
    let _fifo = server.microphone();
    server.pactl(&["set-default-source", "mic"]);
    let devices = server.host().list().expect("the server answers");
    let mic = devices.iter().find(|device| device.name() == "mic").expect("mic");
    let monitor = devices.iter().find(|device| device.name() == "vout.monitor").expect("the monitor");
    assert!(mic.is_default() && !mic.is_monitor());
    assert!(!monitor.is_default() && monitor.is_monitor());
    assert_eq!(server.host().loopback_device().expect("a loopback").name(), "vout.monitor");
    assert_eq!(server.host().input_device().expect("an input").name(), "mic");
}

#[test]
fn every_authentication_is_accepted() {
    let server = SoundServer::start();
    // The server asks the kernel for its client's credentials only after accepting. A quick client can send its first
    // message before that, when both run on processors of their own.
    let count_refusals = || (0..500).filter(|_| server.host().list().is_err()).count();
    let refused: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(count_refusals)).collect();
        clients.into_iter().map(|client| client.join().expect("it ran")).sum()
    });
    assert_eq!(refused, 0, "refused, of 2000 connections");
}

/// The devices that the program lists with these variables, and what it says on standard error.
fn listed(server: &SoundServer, variables: &[(&str, &str)]) -> String {
    let mut command = server.command(BINARY);
    command.args(["--list-devices", "--json"]).envs(variables.iter().copied());
    let output = command.output().expect("the program runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_server_on_another_host_is_reached_with_its_cookie_only() {
    let server = SoundServer::start();
    let cookie = server.folder().join("its-cookie");
    std::fs::write(&cookie, [7; 256]).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    server.pactl(&[
        "load-module",
        "module-native-protocol-tcp",
        &format!("port={port}"),
        "listen=127.0.0.1",
        &format!("auth-cookie={}", cookie.display()),
    ]);
    let wrong = server.folder().join("another-cookie");
    std::fs::write(&wrong, [8; 256]).unwrap();
    let (cookie, wrong) = (cookie.to_str().unwrap(), wrong.to_str().unwrap());
    // The first of the servers does not answer.
    let servers = format!("tcp:127.0.0.1:9 tcp4:127.0.0.1:{port}");
    assert!(listed(&server, &[("PULSE_SERVER", &servers), ("PULSE_COOKIE", cookie)]).contains("vout.monitor"));
    assert!(!listed(&server, &[("PULSE_SERVER", &servers), ("PULSE_COOKIE", wrong)]).contains("vout.monitor"));
    let mut command = server.command(BINARY);
    command.args(["--loopback", "--port", "0"]).env("PULSE_SERVER", &servers).env("PULSE_COOKIE", wrong);
    let output = command.current_dir(server.folder()).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("PULSE_COOKIE") && said.contains(&port.to_string()), "{said}");
}
