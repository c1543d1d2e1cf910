//! Rooms over real sockets: what a browser, a browser of the original and somebody of ill will get to see.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use roomtone::signal::rooms::Limits;
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use crate::harness::http_client::code;
use crate::harness::server::Server as House;
use crate::harness::wait::wait_until;

/// No answer takes that long on a machine that is not on fire.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for what must not come to have come.
const A_MOMENT: Duration = Duration::from_millis(200);

/// A browser, as far as the server can tell.
pub struct Peer {
    pub socket: WebSocket<TcpStream>,
    pub id: String,
    /// `peerIds` of `init-peers`.
    others: Vec<String>,
    pub config: Value,
}

impl Peer {
    pub fn enter(house: &House, query: &str) -> Peer {
        Peer::enter_at(house.address(), query)
    }

    pub fn enter_at(address: SocketAddr, query: &str) -> Peer {
        let mut socket = connect(address, query);
        let init = next(&mut socket);
        assert_eq!(init["type"], "init-peers", "{init}");
        let config = next(&mut socket);
        assert_eq!(config["type"], "config", "{config}");
        let id = init["payload"]["id"].as_str().unwrap().to_owned();
        let others = init["payload"]["peerIds"].as_array().unwrap();
        let others = others.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        Peer { socket, id, others, config: config["payload"].clone() }
    }

    /// One that can come back.
    fn enter_and_say_hello(house: &House, query: &str, name: &str) -> Peer {
        let mut peer = Peer::enter(house, query);
        peer.say(&json!({"type": "hello", "payload": {"name": name}}));
        peer
    }

    pub fn resume(&self) -> String {
        format!("resume={}", self.config["resume"].as_str().unwrap())
    }

    pub fn say(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).unwrap();
    }

    pub fn hear(&mut self) -> Value {
        next(&mut self.socket)
    }

    pub fn hear_error(&mut self) -> String {
        let error = self.hear();
        assert_eq!(error["type"], "error", "{error}");
        assert!(error["payload"]["message"].as_str().unwrap().ends_with('.'), "{error}");
        error["payload"]["code"].as_str().unwrap().to_owned()
    }

    pub fn hears_nothing(&mut self) {
        self.socket.get_ref().set_read_timeout(Some(A_MOMENT)).unwrap();
        let heard = self.socket.read();
        assert!(matches!(heard, Err(Error::Io(_))), "{heard:?}");
        self.socket.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Reads on until the server closes, with the proper handshake.
    pub fn close_code(&mut self) -> CloseCode {
        loop {
            match self.socket.read() {
                Ok(Message::Close(frame)) => return frame.expect("a close frame has a code").code,
                Ok(_) => {}
                Err(error) => panic!("no goodbye: {error}"),
            }
        }
    }

    /// As when a network vanishes.
    pub fn drop_connection(self) -> String {
        let resume = self.resume();
        self.socket.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
        resume
    }
}

pub fn connect(address: SocketAddr, query: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    tungstenite::client(format!("ws://{address}/ws?{query}"), stream).expect("the server upgrades").0
}

pub fn next(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        match socket.read().expect("the server speaks") {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn named(kind: &str, id: &str) -> Value {
    json!({"type": kind, "payload": {"id": id}})
}

#[test]
fn two_browsers_of_the_original_meet_and_part() {
    let house = House::open();
    let mut first = Peer::enter(&house, "");
    assert!(first.others.is_empty());
    let mut second = Peer::enter(&house, "");
    assert_eq!(second.others, [first.id.clone()]);
    assert_eq!(first.hear(), named("new-peer", &second.id));

    second.say(&json!({"type": "offer", "targetId": first.id, "payload": {"sdp": {"type": "offer", "sdp": "v=0"}}}));
    let offer = first.hear();
    assert_eq!(
        offer,
        json!({"type": "offer", "payload": {"senderId": second.id, "sdp": {"type": "offer", "sdp": "v=0"}}})
    );
    first.say(&json!({"type": "answer", "targetId": second.id, "payload": {"sdp": "v=1", "more": [1.50]}}));
    assert_eq!(
        second.hear(),
        json!({"type": "answer", "payload": {"senderId": first.id, "sdp": "v=1", "more": [1.5]}})
    );
    first.say(&json!({"type": "ice-candidate", "targetId": second.id, "payload": {"candidate": null}}));
    assert_eq!(second.hear(), json!({"type": "ice-candidate", "payload": {"senderId": first.id, "candidate": null}}));

    // It never said hello, so it cannot come back and nobody waits for it.
    let id = second.id.clone();
    drop(second.drop_connection());
    assert_eq!(first.hear(), named("peer-disconnect", &id));
    first.hears_nothing();
}

#[test]
fn a_browser_of_the_original_works_beside_one_that_knows_all() {
    let house = House::open();
    let mut modern = Peer::enter_and_say_hello(&house, "room=main", "Ada");
    modern.say(&json!({"type": "chat", "payload": {"text": "anybody here?"}}));
    assert_eq!(modern.hear()["type"], "chat");
    // It reads types and payloads, acts on what it knows, and says nothing but that.
    let mut original = connect(house.address(), "");
    let first = next(&mut original);
    assert_eq!((&first["type"], &first["payload"]["peerIds"]), (&json!("init-peers"), &json!([modern.id])));
    let id = first["payload"]["id"].as_str().unwrap().to_owned();
    assert_eq!(modern.hear(), named("new-peer", &id));
    let offer = json!({"type": "offer", "targetId": modern.id, "payload": {"sdp": "v=0"}});
    original.send(Message::text(offer.to_string())).unwrap();
    assert_eq!(modern.hear()["payload"], json!({"senderId": id, "sdp": "v=0"}));
    modern.say(&json!({"type": "answer", "targetId": id, "payload": {"sdp": "v=1"}}));
    let known = ["init-peers", "new-peer", "peer-disconnect", "offer", "answer", "ice-candidate"];
    let answer = loop {
        let message = next(&mut original);
        assert!(message["payload"].is_object(), "{message}");
        if known.contains(&message["type"].as_str().unwrap()) {
            break message;
        }
    };
    assert_eq!(answer, json!({"type": "answer", "payload": {"senderId": modern.id, "sdp": "v=1"}}));
}

#[test]
fn nobody_hears_of_another_room_and_a_stranger_cannot_be_addressed() {
    let house = House::open();
    let mut here = Peer::enter(&house, "room=here");
    let mut there = Peer::enter(&house, "room=there");
    assert!(there.others.is_empty());
    there.say(&json!({"type": "offer", "targetId": here.id, "payload": {"sdp": "v=0"}}));
    assert_eq!(there.hear_error(), "unknown-target");
    there.say(&json!({"type": "chat", "payload": {"text": "hello?"}}));
    assert_eq!(there.hear()["type"], "chat");
    here.hears_nothing();
}

#[test]
fn what_cannot_be_understood_is_answered_and_the_connection_stays() {
    let house = House::open();
    let mut peer = Peer::enter(&house, "");
    for (text, word) in [
        ("{", "bad-json"),
        ("[]", "bad-message"),
        ("{\"type\":\"dance\",\"payload\":{}}", "unknown-type"),
        ("{\"type\":\"offer\",\"targetId\":\"nobody\",\"payload\":{}}", "unknown-target"),
    ] {
        peer.socket.send(Message::text(text)).unwrap();
        assert_eq!(peer.hear_error(), word);
    }
    peer.say(&json!({"type": "chat", "payload": {"text": "still here"}}));
    assert_eq!(peer.hear()["payload"]["text"], "still here");
}

#[test]
fn a_message_too_large_or_not_text_ends_that_connection_with_its_code_and_no_other() {
    let house = House::open();
    let mut witness = Peer::enter(&house, "");
    let large = Message::text("x".repeat(64 * 1024 + 1));
    let cases = [
        (large, "too-large", CloseCode::Size),
        (Message::binary(vec![1, 2, 3]), "not-text", CloseCode::Unsupported),
        (Message::binary(vec![0; 100_000]), "too-large", CloseCode::Size),
    ];
    for (message, word, code) in cases {
        let mut peer = Peer::enter_and_say_hello(&house, "", "Ada");
        assert_eq!((&witness.hear()["type"], &witness.hear()["type"]), (&json!("new-peer"), &json!("peer-state")));
        peer.socket.send(message).unwrap();
        assert_eq!(peer.hear_error(), word);
        assert_eq!(peer.close_code(), code);
        // The seat is kept: it may come back, and the others notice nothing.
        witness.hears_nothing();
        let back = Peer::enter(&house, &peer.resume());
        assert_eq!((&back.id, &back.config["resumed"]), (&peer.id, &json!(true)));
        let mut back = back;
        back.say(&json!({"type": "leave"}));
        assert_eq!(back.close_code(), CloseCode::Normal);
        assert_eq!(witness.hear(), named("peer-disconnect", &back.id));
    }
    // As large as may be is not too large.
    let mut peer = Peer::enter(&house, "");
    witness.hear();
    let rest = json!({"type": "offer", "targetId": witness.id, "payload": {"sdp": ""}}).to_string().len();
    let sdp = "x".repeat(64 * 1024 - rest);
    peer.say(&json!({"type": "offer", "targetId": witness.id, "payload": {"sdp": sdp}}));
    assert_eq!(witness.hear()["payload"]["sdp"], json!(sdp));
}

#[test]
fn who_says_too_much_is_closed_with_1008() {
    let house = House::open();
    let mut witness = Peer::enter(&house, "");
    let mut peer = Peer::enter_and_say_hello(&house, "", "Ada");
    witness.hear();
    witness.hear();
    let nonsense = json!({"type": "offer", "targetId": "x", "payload": {}}).to_string();
    // Reading goes on meanwhile, else it would be too slow as well.
    let stream = peer.socket.get_ref().try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let mut socket = WebSocket::from_raw_socket(stream, tungstenite::protocol::Role::Client, None);
        while socket.send(Message::text(nonsense.clone())).is_ok() {}
    });
    let last = loop {
        match peer.hear_error().as_str() {
            "unknown-target" => {}
            word => break word.to_owned(),
        }
    };
    assert_eq!((last.as_str(), peer.close_code()), ("too-many-messages", CloseCode::Policy));
    drop(peer);
    writer.join().unwrap();
    witness.hears_nothing();
}

#[test]
fn who_does_not_read_is_dropped_and_nobody_waits_for_them() {
    let house = House::open();
    let slow = Peer::enter_and_say_hello(&house, "", "Slow");
    let mut fast = Peer::enter(&house, "");
    assert_eq!(fast.hear()["type"], "peer-state");
    let big = json!({"type": "offer", "targetId": slow.id, "payload": {"sdp": "x".repeat(60_000)}});
    wait_until("the slow one is closed", || {
        fast.say(&big);
        // Within what is allowed, so that only one of the two is at fault.
        std::thread::sleep(Duration::from_millis(1));
        fast.say(&json!({"type": "peer-state", "payload": {}}));
        house.room_metrics.too_slow.read() == 1 || house.room_metrics.connected.read() < 2
    });
    assert_eq!(house.room_metrics.too_slow.read(), 1);
    drop(slow);
}

#[test]
fn a_full_room_and_a_full_house_say_so_and_close_with_1013() {
    let limits = Limits { room_size: 2, max_peers: 3, ..Limits::default() };
    let house = House::with_rooms(Default::default(), limits);
    let _inside = [Peer::enter(&house, "room=a"), Peer::enter(&house, "room=a"), Peer::enter(&house, "room=b")];
    for room in ["a", "b"] {
        let mut socket = connect(house.address(), &format!("room={room}"));
        let error = next(&mut socket);
        assert_eq!((&error["type"], &error["payload"]["code"]), (&json!("error"), &json!("room-full")));
        let Message::Close(Some(frame)) = socket.read().unwrap() else { panic!("no goodbye") };
        assert_eq!(frame.code, CloseCode::Again);
    }
    assert_eq!(house.room_metrics.refused.read(), 2);
    let status = house.ask("GET", "/api/status", "", b"").json();
    assert_eq!((&status["rooms"]["rooms"], &status["rooms"]["peers"]), (&json!(2), &json!(3)));
}

#[test]
fn who_comes_back_has_the_same_id_and_the_others_saw_no_leave() {
    let house = House::open();
    let mut witness = Peer::enter(&house, "room=r");
    let peer = Peer::enter_and_say_hello(&house, "room=r", "Ada");
    assert_eq!((&witness.hear()["type"], &witness.hear()["type"]), (&json!("new-peer"), &json!("peer-state")));
    let id = peer.id.clone();
    let resume = peer.drop_connection();
    wait_until("the server has noticed", || house.room_metrics.connected.read() == 1);
    witness.say(&json!({"type": "offer", "targetId": id, "payload": {"sdp": "kept"}}));
    witness.hears_nothing();
    let mut back = Peer::enter(&house, &format!("room=r&{resume}"));
    assert_eq!((&back.id, &back.others, &back.config["resumed"]), (&id, &vec![witness.id.clone()], &json!(true)));
    assert_eq!(back.hear()["payload"], json!({"senderId": witness.id, "sdp": "kept"}));
    witness.hears_nothing();

    // Once more, before the server has noticed: the connection before is told.
    let again = Peer::enter(&house, &format!("room=r&{}", back.resume()));
    assert_eq!((&again.id, &again.config["resumed"]), (&id, &json!(true)));
    assert_eq!(back.hear_error(), "replaced");
    assert_eq!(back.close_code(), CloseCode::Library(4001));
    witness.hears_nothing();
}

#[test]
fn a_seat_whose_peer_stays_away_is_given_up_in_time() {
    let kept = Duration::from_millis(500);
    let house = House::with_rooms(Default::default(), Limits { seat_kept: kept, ..Limits::default() });
    let mut witness = Peer::enter(&house, "");
    let peer = Peer::enter_and_say_hello(&house, "", "Ada");
    witness.hear();
    witness.hear();
    let (id, dropped) = (peer.id.clone(), Instant::now());
    peer.drop_connection();
    assert_eq!(witness.hear(), named("peer-disconnect", &id));
    let after = dropped.elapsed();
    assert!(after >= kept && after < kept * 3, "after {after:?}");
}

#[test]
fn a_goodbye_of_the_browser_gives_the_seat_up_at_once_and_another_code_keeps_it() {
    use tungstenite::protocol::CloseFrame;
    let house = House::open();
    let mut witness = Peer::enter(&house, "");
    for (code, leaves) in [(Some(1000), true), (Some(1001), true), (None, true), (Some(4000), false)] {
        let mut peer = Peer::enter_and_say_hello(&house, "", "Ada");
        witness.hear();
        witness.hear();
        peer.socket.close(code.map(|code: u16| CloseFrame { code: code.into(), reason: "".into() })).unwrap();
        while peer.socket.read().is_ok() {}
        match leaves {
            true => assert_eq!(witness.hear(), named("peer-disconnect", &peer.id), "{code:?}"),
            false => witness.hears_nothing(),
        }
    }
}

#[test]
fn after_a_restart_a_room_forms_again_under_the_old_ids() {
    let house = House::open();
    let mut old: Vec<Peer> = (0..3).map(|n| Peer::enter_and_say_hello(&house, "room=r", &format!("{n}"))).collect();
    house.hub.stop().unwrap();
    for peer in &mut old {
        while peer.hear()["type"] != "error" {}
        assert_eq!(peer.close_code(), CloseCode::Away);
    }
    house.running.stop().unwrap();
    let house = House::open();
    let mut back: Vec<Peer> = vec![];
    for peer in &old {
        let peer = Peer::enter(&house, &format!("room=r&{}", peer.resume()));
        assert_eq!(peer.config["resumed"], false);
        assert_eq!(peer.others, back.iter().map(|other| other.id.clone()).collect::<Vec<_>>());
        for other in &mut back {
            assert_eq!(other.hear(), named("new-peer", &peer.id));
        }
        back.push(peer);
    }
    let ids = |peers: &[Peer]| peers.iter().map(|peer| peer.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&back), ids(&old));
}

#[test]
fn who_does_not_answer_a_ping_is_gone() {
    let (ping_every, gone_after) = (Duration::from_millis(100), Duration::from_millis(400));
    let limits = Limits { ping_every, gone_after, seat_kept: Duration::ZERO, ..Limits::default() };
    let house = House::with_rooms(Default::default(), limits);
    let mut witness = Peer::enter(&house, "");
    let silent = Peer::enter(&house, "");
    assert_eq!(witness.hear()["type"], "new-peer");
    // The witness answers pings by reading.
    assert_eq!(witness.hear(), named("peer-disconnect", &silent.id));
    witness.socket.get_ref().set_read_timeout(Some(gone_after * 2)).unwrap();
    let heard = witness.socket.read();
    assert!(matches!(heard, Ok(Message::Ping(_))), "{heard:?}");
}

#[test]
fn what_no_room_can_be_made_of_is_refused_before_the_upgrade() {
    let house = House::open();
    let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let asked = |path: &str, fields: &str| house.ask("GET", path, fields, b"");
    assert_eq!(asked("/ws?room=a%20b", &format!("{fields}{key}")).error(), code(400, "bad-room"));
    assert_eq!(asked("/ws?resume=x", &format!("{fields}{key}")).error(), code(400, "bad-resume"));
    assert_eq!(asked("/ws", fields).error(), code(400, "bad-upgrade"));
    let old = asked("/ws", &format!("{}{key}", fields.replace("13", "8")));
    assert_eq!((old.error(), old.field("sec-websocket-version")), (code(426, "upgrade-required"), Some("13")));
    assert_eq!(house.ask("POST", "/ws", "", b"").error(), code(405, "method-not-allowed"));
}

#[test]
fn listeners_learn_of_ice_servers_by_link_fields() {
    let house = House::open();
    let link = "<turn:turn.example.net>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"; \
                credential-type=\"password\"";
    assert_eq!(house.ask("OPTIONS", "/whep", "", b"").field("link"), Some(link));
    assert_eq!(house.ask("GET", "/whep", "", b"").field("link"), None);
    let config = Peer::enter(&house, "").config;
    let expected = json!([{"urls": ["turn:turn.example.net"], "username": "u", "credential": "c"}]);
    assert_eq!((&config["iceServers"], &config["stunPort"]), (&expected, &json!(9)));
}

#[test]
fn the_media_port_tells_whoever_asks_from_which_address_they_come() {
    let house = House::open();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = b"\x00\x01\x00\x00\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
    socket.send_to(request, house.media).unwrap();
    let mut bytes = [0; 100];
    let (length, from) = socket.recv_from(&mut bytes).unwrap();
    assert_eq!((length, from), (32, house.media));
    assert_eq!(bytes[..2], [1, 1]);
    let port = u16::from_be_bytes([bytes[26], bytes[27]]) ^ 0x2112;
    assert_eq!(port, socket.local_addr().unwrap().port());
}

#[test]
fn a_thousand_browsers_that_come_at_once_all_find_their_rooms() {
    const PEERS: usize = 1_000;
    const ROOM: usize = 10;
    let house = House::open();
    let address = house.address();
    let workers: Vec<_> = (0..ROOM)
        .map(|worker| {
            std::thread::spawn(move || {
                let rooms = (0..PEERS / ROOM).map(|room| (room * 7 + worker * 13) % (PEERS / ROOM));
                rooms.map(|room| (room, Peer::enter_at(address, &format!("room=r{room}")))).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut rooms = std::collections::BTreeMap::<usize, Vec<Peer>>::new();
    for (room, peer) in workers.into_iter().flat_map(|worker| worker.join().unwrap()) {
        rooms.entry(room).or_default().push(peer);
    }
    let mut ids = std::collections::HashSet::new();
    for peers in rooms.values_mut() {
        assert_eq!(peers.len(), ROOM);
        let everybody: std::collections::BTreeSet<String> = peers.iter().map(|peer| peer.id.clone()).collect();
        for peer in peers.iter_mut() {
            assert!(ids.insert(peer.id.clone()));
            let mut known: std::collections::BTreeSet<String> = peer.others.iter().cloned().collect();
            while known.len() < ROOM - 1 {
                let message = peer.hear();
                assert_eq!(message["type"], "new-peer");
                known.insert(message["payload"]["id"].as_str().unwrap().to_owned());
            }
            known.insert(peer.id.clone());
            assert_eq!(known, everybody);
        }
    }
    assert_eq!(house.room_metrics.peers.read(), PEERS as u64);
}

#[test]
fn a_burst_larger_than_an_outbox_reaches_a_browser_that_reads() {
    let house = House::open();
    let mut target = Peer::enter(&house, "");
    let mut speaker = Peer::enter(&house, "");
    assert_eq!(target.hear()["type"], "new-peer");
    // All in one write, so that the hub has them before anybody else has had a turn.
    let candidate = |n: usize| json!({"type": "ice-candidate", "targetId": target.id, "payload": {"candidate": n}});
    for n in 0..400 {
        speaker.socket.write(Message::text(candidate(n).to_string())).unwrap();
    }
    speaker.socket.flush().unwrap();
    for n in 0..400 {
        assert_eq!(target.hear()["payload"]["candidate"], n);
    }
}
