//! Listeners whose network loses packets, over real sockets: what is resent to them, and how much at most.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::listener::{Listener, ListenerOptions};
use crate::harness::program::Program;
use crate::harness::wait::wait_until;
use crate::rtc::lossy_proxy::LossyProxy;

/// Of so many, 0.3 % are 12 packets; 5 % are 200.
const PACKETS: u64 = 4_000;

/// A listener behind a proxy that loses nothing at first, and then this share.
struct LossyListener {
    listener: Listener,
    proxy: LossyProxy,
    lost_before: u64,
    sent_before: u64,
}

impl LossyListener {
    fn start(port: u16, n: u8, nack: bool, loss_percent: u64) -> LossyListener {
        let proxy = LossyProxy::start((Ipv4Addr::LOCALHOST, port).into(), u64::from(n));
        let options = ListenerOptions { nack, proxy: Some(proxy.address) };
        let listener = Listener::start_with(options, port, Ipv4Addr::new(127, 0, 0, 10 + n)).unwrap();
        assert_eq!(listener.answer.contains(" nack\r\n"), nack, "{}", listener.answer);
        wait_until("a hundred packets", || listener.received().packets > 100);
        let before = listener.received();
        proxy.set_loss_percent(loss_percent);
        LossyListener { listener, proxy, lost_before: before.lost, sent_before: before.sent() }
    }

    /// The share of packets that never arrived.
    fn missing(&self) -> f64 {
        let received = self.listener.received();
        assert!(received.last_arrival.elapsed() < Duration::from_secs(5), "nothing is received any more");
        (received.lost - self.lost_before) as f64 / (received.sent() - self.sent_before) as f64
    }
}

#[test]
fn nack_repairs_a_loss_of_five_percent_and_resends_are_limited_to_a_quarter() {
    let program = Program::start(&["--sine-wave", "--packet-ms", "5", "--log-file", "none"], None);
    let with_nack = LossyListener::start(program.port, 1, true, 5);
    let without_nack = LossyListener::start(program.port, 2, false, 5);
    // Asks for each packet up to five times, which is far more than its retransmit budget.
    let greedy = LossyListener::start(program.port, 3, true, 60);
    let begun = Instant::now();
    while greedy.proxy.sent().1 < PACKETS {
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?} after {:?}", greedy.proxy.sent(), begun.elapsed());
        thread::sleep(Duration::from_millis(100));
    }
    let (repaired, unrepaired) = (with_nack.missing(), without_nack.missing());
    for (name, listener) in [
        ("with NACK, 5 % lost", &with_nack),
        ("without NACK, 5 % lost", &without_nack),
        ("with NACK, 60 % lost", &greedy),
    ] {
        let (sent, new) = listener.proxy.sent();
        println!("{name:<22}: {sent} packets sent, {new} of them new, {:.4} missing", listener.missing());
    }
    assert!(repaired < 0.003, "{repaired} is missing with resends");
    assert!((0.03..0.07).contains(&unrepaired), "{unrepaired} is missing without");
    let (sent, new) = without_nack.proxy.sent();
    assert_eq!(sent, new, "packets were resent without a NACK");
    let (sent, new) = greedy.proxy.sent();
    assert!(sent - new > new / 8, "{sent} sent, {new} new: the greedy client did not ask for much");
    // A quarter, 16 packets that a full budget holds, and 16 that were sent but did not reach the proxy.
    assert!(sent - new <= new / 4 + 16 + 16, "{sent} sent, {new} new");
}
