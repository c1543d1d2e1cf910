//! A client that speaks HTTP/1 over plain TCP, byte by byte if a test wants that.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::harness::wait::PATIENCE;

/// One connection.
pub struct HttpClient {
    pub stream: TcpStream,
    /// Arrived, but not yet used.
    pub input: Vec<u8>,
}

/// A response that arrived whole.
pub struct HttpResponse {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

/// What [`HttpResponse::error`] returns for an error of this status and code.
pub fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

impl HttpClient {
    pub fn connect(address: SocketAddr) -> HttpClient {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        HttpClient { stream, input: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn ask(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}{fields}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes);
    }

    /// How many bytes arrived; zero at the end of the connection.
    pub fn read(&mut self) -> usize {
        let mut buffer = [0; 65536];
        let count = self.stream.read(&mut buffer).expect("the server answers in time");
        self.input.extend_from_slice(&buffer[..count]);
        count
    }

    /// A response's head; what follows stays in `input`.
    pub fn response_head(&mut self) -> HttpResponse {
        let end = loop {
            if let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert_ne!(self.read(), 0, "no response: {:?}", String::from_utf8_lossy(&self.input));
        };
        let head = String::from_utf8(self.input.drain(..end).collect()).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        HttpResponse { status, head, body: Vec::new() }
    }

    pub fn response(&mut self, method: &str) -> HttpResponse {
        let mut response = self.response_head();
        let length: usize = response.field("content-length").map_or(0, |length| length.parse().unwrap());
        let length = if method == "HEAD" { 0 } else { length };
        while self.input.len() < length {
            assert_ne!(self.read(), 0, "the body ends early");
        }
        response.body = self.input.drain(..length).collect();
        response
    }

    /// Of the response to a harmless request, or of the refusal that came before it could be sent.
    pub fn first_status(mut self) -> u16 {
        let _ = self.stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.response("GET").status
    }

    /// The server has closed, and has sent nothing that was not read.
    pub fn expect_end(&mut self) {
        assert!(self.input.is_empty(), "{:?}", String::from_utf8_lossy(&self.input));
        assert_eq!(self.read(), 0, "{:?}", String::from_utf8_lossy(&self.input));
    }
}

impl HttpResponse {
    /// Where `Location` leads from the path that was asked.
    pub fn location(&self, asked: &str) -> Option<String> {
        let folder = &asked[..=asked.rfind('/')?];
        self.field("location").map(|reference| format!("{folder}{reference}"))
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.field("content-type"), Some("application/json"), "{}", self.head);
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and code of an error, which has what every error has.
    pub fn error(&self) -> (u16, String) {
        assert_eq!(self.field("x-content-type-options"), Some("nosniff"), "{}", self.head);
        let error = &self.json()["error"];
        assert!(error["message"].as_str().unwrap().ends_with('.'), "{error}");
        (self.status, error["code"].as_str().unwrap().to_owned())
    }
}
