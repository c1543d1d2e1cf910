//! What the PulseAudio host lists, and that the server always accepts this client.

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
