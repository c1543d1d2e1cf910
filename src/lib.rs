//! roomtone turns a host into a place where people meet and listen. In rooms, browsers are introduced to one another over
//! a WebSocket, and media flows from browser to browser. In a station, the host's own sound is captured once, encoded to
//! Opus once, and streamed over WebRTC to as many browsers as ask for it. This page is the map of the code; the program
//! itself is described in the README.
//!
//! # Layers
//!
//! A file imports only from files to its right and from lines below it, so no cycle can exist. `*` marks a pure core: it
//! takes time as an argument and touches no socket, thread, channel or clock. `tests/it/architecture/layers.rs` reads this
//! very picture and keeps it true.
//!
//! ```text
//! main
//!                       parses the command line, starts the log, chooses the source, runs the application, exit code
//! cli                   greeting · source · menu · qr* · invite · command · subcommands · flags
//!                       what a person at a terminal sees
//! app
//!                       what starts in which order and stops in reverse
//! config                config · start_error
//!                       everything the program can be told, as plain structs
//! web/server            acceptor · workers · connection · loopback · private_socket · streaming
//!                       accepts TCP, reads requests within limits, has them answered
//! web/handlers          dispatch · status · pages · access · whep · websocket · context · assets · authorize
//!                       what requests are answered with, and which are permitted
//! web/http              routes* · redirect* · upgrade* · response_head* · head* · chunked* · message* · body*
//! web/http              error_code* · origin* · query* · client_address*
//!                       HTTP as values; the only list of paths
//! web/transport         socket · first_bytes* · readiness · tls · certificate · limits* · metrics
//!                       sockets, TLS, certificates
//! rtc                   engine · engine/thread
//!                       the rtc threads, and how others reach them
//! rtc                   sessions* · session* · requests* · metrics
//!                       who gets which datagram; one WebRTC session
//! rtc/tracks            send*
//!                       one receiver's RTP stream
//! rtc/srtp              provider · gcm · keys* · prefetch
//!                       keys, and the sealing of packets beside the engine
//! rtc/udp               socket · sendmmsg · batch* · stun*
//! rtc                   sdp* · mailbox
//! station               runner · metrics · source_status · timeline
//!                       one programme of host sound: its source, its encoder, its latest packets
//! signal                hub · rooms* · rooms/moderation* · rooms/peer* · rooms/events* · messages* · heartbeat* · metrics
//!                       rooms: who is where, who is told what
//! access                links · token_store · tokens*
//!                       signed tokens, what became of them, links that carry them
//! audio/sources         capture · device · tone
//! audio/sources/pulse   host · stream · connection · clock*
//! audio/sources/alsa    cards · configuration · messages
//! audio/processing      blocks* · convert* · resample
//! audio                 encoder · pcm
//!                       from a device, a sound server or an oscillator to Opus packets
//! net                   addresses · interfaces · quota*
//! os                    state_dir · priority · sd_notify · nss · memory · file_limits
//! observe               log · service · reports · metrics
//! ids                   session · peer · names
//! media                 track* · packet*
//! ```
//!
//! `audio` and `rtc` know nothing of each other but the shape of a packet; `signal` knows neither, and none of them `web`.
//!
//! # Threads
//!
//! | thread | owns | blocks on |
//! |---|---|---|
//! | `main` | every handle | reports of other threads, of which a signal is one |
//! | `accept` | the TCP listener | accept, or its waker |
//! | `conn-<n>` | one client's socket; a WebSocket or a streamed response stays on it | that socket, within limits, or a wake-up |
//! | `ready` | nothing | readiness of any WebSocket or streamed response; it wakes the `conn-<n>` whose it is |
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
//! PeerEvent decides anything is pure: it takes time as an argument and touches no socket, thread or clock, so that its tests
//! run in virtual time. All follow one contract, str0m's: change one thing, then drain `poll_output` until it says `Wait`.
//!
//! Timing, in [`audio::blocks`] — sound that does not come is replaced by silence when it is due:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use roomtone::audio::processing::blocks::{Blocks, Output};
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
//! use roomtone::ids::names::RoomName;
//! use roomtone::ids::peer::ResumeToken;
//! use roomtone::signal::rooms::{JoinRequest, ServerInfo, Limits, Link, Output, Rooms};
//!
//! let now = Instant::now();
//! let mut rooms = Rooms::new(Limits::default(), ServerInfo::default());
//! let drain = |rooms: &mut Rooms| {
//!     std::iter::from_fn(|| Some(rooms.poll_output(now)).filter(|o| !matches!(o, Output::Wait(_)))).collect::<Vec<_>>()
//! };
//! for (n, secret) in [[1; 32], [2; 32]].into_iter().enumerate() {
//!     let token = ResumeToken::from_bytes(secret);
//!     rooms.open(JoinRequest { link: Link(n as u64), room: RoomName::default(), token, stations: vec![], host: false }, now);
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
//! use roomtone::config::Config;
//! use roomtone::station::runner::Source;
//!
//! # fn main() -> Result<(), roomtone::config::start_error::StartError> {
//! let app = App::start(Config::default(), Source::Sine { tone_hz: 440.0 })?;
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
pub mod ids;
pub mod media;
pub mod net;
pub mod observe;
pub mod os;
pub mod rtc;
pub mod signal;
pub mod station;
pub mod web;
