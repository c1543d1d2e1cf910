//! A sequence of requests on one TCP connection: kept alive, pipelined, in chunks, with an upgrade in the middle, or
//! nothing like it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::{responses, server};

/// The server closes at once when the client has, so nothing takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first byte says how the others are cut; the others are what a client sends. However they are cut, the server sends
/// whole responses, the same for each cut, closes, and serves the next client.
pub fn connection(bytes: &[u8]) {
    let Some((&cut, sent)) = bytes.split_first() else { return };
    let at_once = exchange(sent, usize::MAX);
    let piecewise = exchange(sent, 1 + usize::from(cut));
    let statuses = [at_once, piecewise].map(|received| received.map(|bytes| responses::read(&bytes)));
    if let [Some(at_once), Some(piecewise)] = &statuses {
        // An address that sends many invalid tokens is refused before they are looked at.
        let same = |(a, b): (&u16, &u16)| a == b || [*a, *b].iter().all(|status| matches!(status, 401 | 429));
        assert!(
            at_once.len() == piecewise.len() && at_once.iter().zip(piecewise).all(same),
            "{at_once:?}, in pieces {piecewise:?}"
        );
    }
    let healthy = exchange(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", usize::MAX);
    assert_eq!(responses::read(&healthy.expect("a response")), [200]);
}

/// Sends these bytes in pieces, then closes in that direction. Returns all that the server has sent; None if that may not
/// have arrived whole, since the server did not read all of it before it closed.
fn exchange(sent: &[u8], piece: usize) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server::address()).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_nodelay(true).expect("an option");
    for piece in sent.chunks(piece) {
        if stream.write_all(piece).is_err() {
            return None;
        }
    }
    stream.shutdown(Shutdown::Write).ok()?;
    let mut received = vec![];
    match stream.read_to_end(&mut received) {
        Ok(_) => Some(received),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
        Err(error) => panic!("the server does not close: {error}"),
    }
}
