//! TCP connections to a server on this machine from an address of 127.0.0.0/8 that the test chooses, so that the server
//! sees many clients. Requests are written as bytes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// No single read or write takes that long, even on a busy machine.
pub const IO_TIMEOUT: Duration = Duration::from_secs(20);

/// Connects to the server's port.
pub fn connect(port: u16, from: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into(), IO_TIMEOUT)?;
    socket.set_read_timeout(Some(IO_TIMEOUT))?;
    socket.set_write_timeout(Some(IO_TIMEOUT))?;
    Ok(socket.into())
}

/// Sends an SDP offer to the default station's WHEP endpoint. Returns the whole response.
pub fn post_offer(port: u16, from: Ipv4Addr, offer: &str) -> std::io::Result<String> {
    let mut stream = connect(port, from)?;
    let length = offer.len();
    write!(
        stream,
        "POST /whep HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{offer}"
    )?;
    std::io::read_to_string(stream)
}

/// The path of a session that was made at `/whep`, from its `Location`.
pub fn session_path(location: &str) -> String {
    format!("/{location}")
}

/// Ends a session by its path.
pub fn delete_session(port: u16, from: Ipv4Addr, path: &str) -> std::io::Result<String> {
    let mut stream = connect(port, from)?;
    write!(stream, "DELETE {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    std::io::read_to_string(stream)
}

/// Opens a WebSocket to a room and reads the response's head; what follows are frames (RFC 6455 §5.2).
pub fn join_room(port: u16, from: Ipv4Addr, room: &str) -> TcpStream {
    let mut stream = connect(port, from).unwrap();
    write!(
        stream,
        "GET /ws?room={room} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream
}
