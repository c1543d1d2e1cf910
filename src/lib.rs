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
//! cli                   greeting · source · menu · qr* · invite · command_line · subcommands · serve · flags · flag · flag_values* · command
//!                       what a person at a terminal sees
//! app
//!                       what starts in which order and stops in reverse
//! app                   supervise · open · logging
//!                       waits for reports and signals; opens ports, folders, certificate; starts the log
//! config                config · start_error
//!                       everything the program can be told, as plain structs
//! web/server            acceptor · workers · connection · callers · loopback · private_socket · streaming
//!                       accepts TCP, reads requests within limits, has them answered
//! web/handlers          dispatch · status · pages · access · whep · websocket · context · assets · origin_check · authorize
//!                       what requests are answered with, and which are permitted
//! web/http              base_url* · routes* · redirect* · upgrade* · response_head* · head* · chunked* · message* · body*
//! web/http              error_code* · origin_policy* · origin* · query* · client_address* · forwarded*
//!                       HTTP as values; the only list of paths
//! web/transport         metered_socket · frame_counter* · socket · first_bytes* · readiness · tls · own_certificate · certificate
//! web/transport         limits* · metrics
//!                       sockets, TLS, certificates
//! broadcast
//!                       stations on the air: the only place that knows stations and the engine
//! rtc                   engine · engine/thread · engine/handle · engine/shared
//!                       the rtc threads, and how others reach them
//! rtc                   sessions* · session* · profile · metrics
//!                       who gets which datagram; one WebRTC session
//! rtc/tracks            forward* · send*
//!                       one receiver's RTP stream
//! rtc/sdp               answer* · offer* · fragment* · transport* · section* · lines*
//!                       offers read into a model of our own, answers written from it
//! rtc/srtp              provider · gcm · rsa_crypto · rsa_handshake* · keys* · records* · fingerprint* · prefetch
//!                       keys, and the sealing of packets beside the engine
//! rtc/ice               agent* · path* · candidates* · patch* · credentials
//!                       which paths lead to the client
//! rtc/udp               socket · sendmmsg · classify* · batch* · stun* · stun_shares* · stun_writer*
//! rtc                   requests* · mailbox
//! station               runner · feed · pipeline · meter · directory · station · source · metrics · timeline*
//!                       one programme of host sound: its source, its encoder, its latest packets
//! signal                hub · peer_channel · rooms* · moderation* · registry* · peer* · room* · events* · heartbeat* · metrics
//! signal                limits* · server_message* · client_message* · peer_state* · protocol_error*
//!                       rooms: who is in which room, who is told what; the messages of the protocol
//! access                links · tickets* · token_store · use_reservations* · token_uses* · token_files · token_clock* · tokens*
//!                       signed tokens, which were revoked or used, links that carry them
//! audio/sources         capture · capture_callbacks · capture_event · openings · stream_config · device
//! audio/sources/platform  linux · cpal_hosts
//! audio/sources         device_choice* · device_entry · tone*
//! audio/sources/pulse   host · stream · stream_reader · default_device · connection · server_paths · errors* · clock*
//! audio/sources/alsa    cards · channel_maps · configuration · messages
//! audio/processing      blocks* · convert* · resample*
//! audio                 encoder* · pcm* · layout*
//!                       from a device, a sound server or an oscillator to Opus packets
//! net                   page_addresses · nearness · interfaces · host_names · authority* · concurrency_limit · shared_rate_limiter
//! net                   rate_limiter* · subnet* · token_bucket* · ice_server*
//! os                    state_dir · secret_file · priority · sd_notify · nss · memory · file_limits · threads
//!                       what the standard library has no safe call for, and the folder for state
//! observe               sentence* · log · log_output · log_file · line_queue · service · reports · prometheus · json · registry · metrics
//!                       the log, metrics and their two renderings, how threads report to `main`
//! ids                   session · peer · names
//! media                 track* · packet*
//! ```
//!
//! `signal` knows neither sound nor sessions, `audio` and `rtc` share no more than [`media`], and nothing below `web` knows
//! HTTP.
//!
//! # Threads
//!
//! | thread | owns | blocks on |
//! |---|---|---|
//! | `main` | every running service | reports of other threads, a signal being one |
//! | `accept` | the TCP listener | accept, or its waker |
//! | `conn-<n>` | one client's socket and TLS state | that socket, within limits; a WebSocket or a long response: its socket or a wake-up |
//! | `ready` | nothing | the readiness of any long-lived connection; it wakes the `conn-<n>` that owns it |
//! | `http-<n>` | nothing | the next request |
//! | `hub` | all rooms, every peer's outbox | its event queue, until the next deadline |
//! | audio callback (cpal's own) | preallocated blocks | the device |
//! | `pulse-<n>` (the callback's thread for a sound server) | the connection to the server | its socket; never waited for |
//! | `cap-<station>` | the open stream | opening the device, then the end of the capture; never waited for |
//! | `enc-<station>` | timing, resampler, encoder, the timeline's writing end | captured blocks, until the next deadline |
//! | `rtc` or `rtc-<n>` | a UDP socket, its sessions | socket, waker, next deadline |
//! | `log`, `log-file` | standard error; the log's file | log lines, then what they write to |
//!
//! State has one owning thread; others hold a sender. Sound crosses two queues from the device to the wire: callback to
//! encoder, encoder to `rtc`. Both are bounded, and a full one drops sound rather than delay it. On a busy machine the threads
//! that sound passes through run before all others, if the system permits it, and `conn-<n>` and `http-<n>` run last:
//! [`os::priority`].
//!
//! # Services
//!
//! A service is started by a function `start(setup, reports) -> io::Result<Running<Handle>>` ([`observe::service`]). Its threads
//! are started by [`observe::reports::spawn`], so that an unexpected end stops the program instead of leaving it half alive.
//! Threads that end by themselves are not reported: those of a connection (`conn-<n>`) and those of one opening of a device
//! (`cap-<station>`, `pulse-<n>`).
//!
//! # Pure cores
//!
//! All code that decides something is pure, so that its tests run in virtual time. All cores follow the contract of str0m: change
//! one thing, then drain `poll_output` until it says `Wait`, only then change the next.
//!
//! Timing, in [`audio::processing::blocks`]: missing sound is replaced by silence when it is due:
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
//! // The source delivers nothing more, and a second later a second of packets has been made nevertheless.
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
//! Sessions, in [`rtc::sessions`]: datagrams and packets in, datagrams out.
//!
//! ```
//! use std::time::Instant;
//! use roomtone::rtc::sessions::{Output, Sessions};
//! use roomtone::rtc::udp::batch::Batch;
//! use roomtone::rtc::udp::classify::Datagram;
//! use str0m::net::Protocol;
//!
//! let now = Instant::now();
//! let (mut sessions, mut batch) = (Sessions::default(), Batch::default());
//! let source = "192.0.2.7:5000".parse().unwrap();
//! let destination = "192.0.2.1:8088".parse().unwrap();
//! let stray = Datagram { protocol: Protocol::Udp, source, destination, bytes: b"\x80 RTP of no session" };
//! assert!(!sessions.handle_datagram(&stray, now));
//! assert!(matches!(sessions.poll_output(now, &mut batch), Output::Wait(_)));
//! ```
//!
//! Rooms, in [`signal::rooms`]: a newcomer learns who is in the room, and they learn of the newcomer:
//!
//! ```
//! use std::time::Instant;
//! use roomtone::ids::names::RoomName;
//! use roomtone::ids::peer::ResumeToken;
//! use roomtone::signal::events::{ConnectionId, JoinRequest, Output, ServerInfo};
//! use roomtone::signal::limits::RoomLimits;
//! use roomtone::signal::rooms::Rooms;
//!
//! let now = Instant::now();
//! let mut rooms = Rooms::new(RoomLimits::default(), ServerInfo::default());
//! let drain = |rooms: &mut Rooms| {
//!     std::iter::from_fn(|| Some(rooms.poll_output(now)).filter(|o| !matches!(o, Output::Wait(_)))).collect::<Vec<_>>()
//! };
//! for (n, secret) in [[1; 32], [2; 32]].into_iter().enumerate() {
//!     let token = ResumeToken::from_bytes(secret);
//!     let (connection, room) = (ConnectionId(n as u64), RoomName::default());
//!     let client = std::net::Ipv4Addr::LOCALHOST.into();
//!     rooms.join(JoinRequest { connection, client, room, token, stations: vec![], moderator: false }, now);
//!     let outputs = drain(&mut rooms);
//!     let is_told = |output: &Output| match output {
//!         Output::Send { connection: ConnectionId(0), text } => text.contains("new-peer"),
//!         _ => false,
//!     };
//!     assert_eq!(outputs.iter().any(is_told), n == 1);
//! }
//! ```
//!
//! # As a library
//!
//! ```no_run
//! use roomtone::app::App;
//! use roomtone::config::Config;
//! use roomtone::station::source::Source;
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
pub mod broadcast;
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
