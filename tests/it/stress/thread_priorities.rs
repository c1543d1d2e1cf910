//! The scheduling of the program's threads: what sound passes through goes first, HTTP goes last.

use crate::harness::loopback_client::connect;
use crate::harness::program::Program;
use crate::harness::sound_server::SoundServer;
use crate::harness::wait::wait_until;
use crate::stress::hostile_clients::address;

/// sched(7)
const SCHED_RR: i32 = 2;

/// A process that may raise its threads may also set a negative nice value. The test does not know whether this one may,
/// and checks that the threads are as the log says.
#[test]
fn threads_of_sound_have_precedence_and_threads_of_http_yield() {
    let sound = SoundServer::start();
    let program = Program::start(&["--loopback"], Some(&sound));
    let mut threads = vec![];
    wait_until("the source is open", || {
        threads = program.threads();
        threads.iter().any(|(name, ..)| name.starts_with("pulse-"))
    });
    let rank = |prefix: &str| {
        let found = threads.iter().find(|(name, ..)| name.starts_with(prefix));
        found.map(|(_, policy, nice)| (*policy, *nice)).unwrap_or_else(|| panic!("no {prefix} in {threads:?}"))
    };
    let ordinary = rank("hub");
    let raised = if rank("rtc").0 == SCHED_RR { (SCHED_RR, ordinary.1) } else { (ordinary.0, -10) };
    let warnings = program.log().matches("Real-time priority for sound is not permitted").count();
    for name in ["rtc", "enc-main", "pulse-"] {
        assert_eq!(rank(name), if warnings == 0 { raised } else { ordinary }, "{name} in {threads:?}");
    }
    assert!(warnings < 2, "{}", program.log());
    for name in ["roomtone", "accept", "cap-main"] {
        assert_eq!(rank(name), ordinary, "{name} in {threads:?}");
    }
    let lowered = (ordinary.0, (ordinary.1 + 5).min(19));
    assert_eq!(rank("http-"), lowered, "{threads:?}");
    let _idle = connect(program.port, address(0)).unwrap();
    wait_until("a connection's thread with a lower priority", || {
        program.threads().iter().any(|(name, policy, nice)| name.starts_with("conn-") && (*policy, *nice) == lowered)
    });
}
