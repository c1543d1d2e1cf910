//! roomtone turns a host into a place where people meet and listen. In rooms, browsers are introduced to one another over
//! a WebSocket, and their pictures and sound go directly. In a station, the host's own sound is captured once, encoded to
//! Opus once, and streamed over WebRTC to as many browsers as ask for it. This page is the map of the house; the program
//! itself is described in the README.
//!
//! # Floors
//!
//! A file imports only from floors below its own, so no cycle can exist; `tests/it/layers.rs` keeps it so.
//!
//! ```text
//! main                parse, log, run App, exit code
//! greeting            what the person at the terminal is shown
//! app                 creates every channel, starts every thread, stops them in reverse order
//! source · menu       which source the station gets;  invite  the errands `invite` and `revoke`
//! addresses · qr      where the page is, to be read by people and phones
//! config              command line and environment, as plain structs
//! web::door           accepts; web::conn reads requests within limits; web::loopback passes them on; web::ws is a peer's
//! web::wire           a socket, plain or TLS; web::tls and web::certificate: with which certificate
//! web::http           tiny_http on a private socket, and the routes: web::{whep, api, assets}
//! web::gate           who may come in, by access::{links, books, capability pure}: signed tokens and what became of them
//! signal::hub         the hub thread         rtc::engine         the rtc thread    audio::station      the encoder thread
//! signal::rooms pure  who is where           rtc::fanout   pure  all sessions      audio::capture      opens devices
//! signal::{wire, ids, heartbeat}             rtc::listener pure  one session       audio::blocks pure  timing, silence
//!                      rtc::voice    pure  its RTP stream, sealed beside the engine
//!                      rtc::{batch, history, crypto, keys, sdp, stun, session, datagrams, candidates}
//!                      audio::{device, pulse, alsa, convert, resample, sine, encoder, pcm}
//! notify · lookups     what the supervisor is told; how a static program looks up names
//! observe · state · quota   counters, the log, what threads report; files that outlive a process; how much for whom
//! priority                  which threads go first when the processor is short
//! ```
//!
//! `audio` and `rtc` know nothing of each other but the shape of a packet; `signal` knows neither, and none of them `web`.
//!
//! # Threads
//!
//! | thread | owns | blocks on |
//! |---|---|---|
//! | `main` | every handle | reports of other threads, of which a signal is one |
//! | `door` | the TCP listener | accept, or its doorbell |
//! | `conn-<n>` | one client's socket | that socket, within limits |
//! | `ready` | nothing | any WebSocket's readiness; it wakes the `conn-<n>` whose it is |
//! | `http-<n>` | nothing | the next request |
//! | `hub` | all rooms, the outbox of every peer | what browsers say, until the next deadline |
//! | audio callback (cpal's own) | a few empty blocks | the device |
//! | `cap-<station>` | the open stream | opening, then the order to close; never waited for |
//! | `enc-<station>` | timing, resampler, Opus | captured blocks, until the next deadline |
//! | `rtc` | the UDP socket and every session | socket, doorbell, next deadline |
//!
//! State has one owning thread; others hold a sender. Sound crosses two queues from the device to the wire: callback to
//! encoder, encoder to `rtc`. Both are bounded and drop rather than delay. The threads it passes through go before all
//! others on a busy machine, if that is permitted, and `conn-<n>` and `http-<n>` go last: [`priority`].
//!
//! # The cores
//!
//! What decides anything is pure: it takes time as an argument and touches no socket, thread or clock, so that its tests
//! run in virtual time. All follow one contract, str0m's: change one thing, then drain `poll_output` until it says `Wait`.
//!
//! Timing, in [`audio::blocks`] — sound that does not come is replaced by silence when it is due:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use roomtone::audio::blocks::{Blocks, Output};
//!
//! let start = Instant::now();
//! let mut blocks = Blocks::new(1, 960, 0, start);
//! blocks.handle_pcm(&[0.5; 960], start, start + Duration::from_millis(20));
//! assert!(matches!(blocks.poll_output(), Output::Packet { position_samples: 0, .. }));
//!
//! // Nothing more comes from the source, and a second later a second of packets has been made all the same.
//! let Output::Wait(deadline) = blocks.poll_output() else { panic!() };
//! assert!(deadline < start + Duration::from_millis(100));
//! blocks.handle_timeout(start + Duration::from_millis(1020));
//! let made = std::iter::from_fn(|| match blocks.poll_output() {
//!     Output::Packet { pcm, .. } => Some(pcm),
//!     Output::Wait(_) => None,
//! });
//! assert_eq!(made.count(), 50);
//! ```
//!
//! Sessions, in [`rtc::fanout`] — datagrams and packets in, datagrams out:
//!
//! ```
//! use std::time::Instant;
//! use roomtone::rtc::batch::Batch;
//! use roomtone::rtc::fanout::{Fanout, Output};
//!
//! let now = Instant::now();
//! let (mut fanout, mut batch) = (Fanout::new([]), Batch::default());
//! let stranger = "192.0.2.7:5000".parse().unwrap();
//! let here = "192.0.2.1:8088".parse().unwrap();
//! assert!(!fanout.handle_datagram(stranger, here, b"\x80 who are you?", now));
//! assert!(matches!(fanout.poll_output(now, &mut batch), Output::Wait(_)));
//! ```
//!
//! Who is where, in [`signal::rooms`] — a newcomer learns who was there, and they of the newcomer:
//!
//! ```
//! use std::time::Instant;
//! use roomtone::signal::ids::{RoomName, Token};
//! use roomtone::signal::rooms::{Arrival, Facts, Limits, Link, Output, Rooms};
//!
//! let now = Instant::now();
//! let mut rooms = Rooms::new(Limits::default(), Facts::default());
//! let drain = |rooms: &mut Rooms| {
//!     std::iter::from_fn(|| Some(rooms.poll_output(now)).filter(|o| !matches!(o, Output::Wait(_)))).collect::<Vec<_>>()
//! };
//! for (n, secret) in [[1; 32], [2; 32]].into_iter().enumerate() {
//!     let token = Token::from_bytes(secret);
//!     rooms.open(Arrival { link: Link(n as u64), room: RoomName::default(), token, stations: vec![], host: false }, now);
//!     let told = drain(&mut rooms);
//!     let first_hears = told.iter().any(|o| matches!(o, Output::Send { link: Link(0), text } if text.contains("new-peer")));
//!     assert_eq!(first_hears, n == 1);
//! }
//! ```
//!
//! # As a library
//!
//! ```no_run
//! use roomtone::app::App;
//! use roomtone::config::{Config, SourceChoice};
//!
//! # fn main() -> Result<(), roomtone::config::start_error::StartError> {
//! let app = App::start(Config { source: SourceChoice::Sine { tone_hz: 440.0 }, ..Config::default() })?;
//! println!("open {}", app.addresses()[0]);
//! app.wait();
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(clippy::module_inception, reason = "a folder's main file has the folder's name")]

pub mod access;
pub mod app;
pub mod audio;
pub mod cli;
pub mod config;
pub mod net;
pub mod observe;
pub mod os;
pub mod rtc;
pub mod signal;
pub mod station;
pub mod web;
