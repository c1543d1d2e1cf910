//! Rooms in virtual time: what must hold whatever the order of events, and each rule by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use roomtone::ids::names::RoomName;
use roomtone::ids::peer::{PeerId, ResumeToken};
use roomtone::signal::messages;
use roomtone::signal::rooms::{Closure, JoinRequest, Limits, Link, Output, Reason, Rooms, ServerInfo};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const LOUNGES: usize = 3;

/// Rooms with a clock, and what was sent on each connection.
struct House {
    rooms: Rooms,
    now: Instant,
    links: u64,
    sent: HashMap<Link, Vec<Value>>,
    closed: HashMap<Link, Reason>,
}

impl House {
    fn new(limits: Limits) -> House {
        let rooms = Rooms::new(limits, ServerInfo::default());
        House { rooms, now: Instant::now(), links: 0, sent: HashMap::new(), closed: HashMap::new() }
    }

    fn open(&mut self, who: u8, room: &str) -> Link {
        self.arrive(who, room, false)
    }

    fn arrive(&mut self, who: u8, room: &str, host: bool) -> Link {
        self.links += 1;
        let link = Link(self.links);
        let room = RoomName::parse(room).unwrap();
        let arrival = JoinRequest { link, room, token: token(who), stations: vec![], host };
        self.rooms.open(arrival, self.now);
        self.drain();
        link
    }

    fn say(&mut self, link: Link, message: &Value) {
        self.rooms.say(link, messages::parse(&message.to_string()), self.now);
        self.drain();
    }

    fn hello(&mut self, link: Link, name: &str) {
        self.say(link, &json!({"type": "hello", "payload": {"name": name}}));
    }

    fn close(&mut self, link: Link, ending: Closure) {
        self.rooms.close(link, ending, self.now);
        self.drain();
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.rooms.handle_timeout(self.now);
        self.drain();
    }

    /// Until when there is nothing more.
    fn drain(&mut self) -> Instant {
        let parsed = |text: &str| serde_json::from_str(text).unwrap();
        loop {
            match self.rooms.poll_output(self.now) {
                Output::Send { link, text } => {
                    assert!(!self.closed.contains_key(&link), "{text} after the close");
                    self.sent.entry(link).or_default().push(parsed(&text));
                }
                Output::Welcome { link, texts } => {
                    let sent = self.sent.entry(link).or_default();
                    assert!(sent.is_empty(), "the welcome comes first");
                    sent.extend(texts.iter().map(|text| parsed(text)));
                }
                Output::Close { link, reason } => assert_eq!(self.closed.insert(link, reason), None),
                Output::PeerChanged { .. } => {}
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    /// PeerEvent came on a connection since the last look.
    fn heard(&mut self, link: Link) -> Vec<Value> {
        self.sent.remove(&link).unwrap_or_default()
    }

    fn heard_types(&mut self, link: Link) -> Vec<String> {
        self.heard(link).iter().map(|message| message["type"].as_str().unwrap().to_owned()).collect()
    }
}

fn token(who: u8) -> ResumeToken {
    ResumeToken::from_bytes([who; 32])
}

fn id(who: u8) -> String {
    token(who).id().to_string()
}

#[derive(Clone, Debug)]
enum Act {
    Open {
        who: u8,
        room: usize,
        host: bool,
    },
    /// PeerEvent only a host may do.
    Order {
        who: u8,
        to: u8,
        what: &'static str,
        locked: bool,
    },
    Hello {
        who: u8,
    },
    Offer {
        who: u8,
        to: u8,
    },
    Chat {
        who: u8,
    },
    Nonsense {
        who: u8,
    },
    /// Somebody speaks on a connection that they have no more.
    Ghost {
        who: u8,
        to: u8,
    },
    Drop {
        who: u8,
    },
    Bye {
        who: u8,
    },
    Leave {
        who: u8,
    },
    Wait {
        ms: u64,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let who = 0..7_u8;
    let act = prop_oneof![
        6 => (who.clone(), 0..LOUNGES, 0..4).prop_map(|(who, room, dice)| Act::Open { who, room, host: dice == 0 }),
        3 => (who.clone(), who.clone(), 0..16_usize).prop_map(|(who, to, dice)| {
            let what = ["lock", "lock", "lock", "mute", "mute", "mute", "remove", "end-room"][dice / 2];
            Act::Order { who, to, what, locked: dice % 2 == 0 }
        }),
        3 => who.clone().prop_map(|who| Act::Hello { who }),
        6 => (who.clone(), who.clone()).prop_map(|(who, to)| Act::Offer { who, to }),
        2 => who.clone().prop_map(|who| Act::Chat { who }),
        1 => who.clone().prop_map(|who| Act::Nonsense { who }),
        2 => (who.clone(), who.clone()).prop_map(|(who, to)| Act::Ghost { who, to }),
        3 => who.clone().prop_map(|who| Act::Drop { who }),
        1 => who.clone().prop_map(|who| Act::Bye { who }),
        1 => who.clone().prop_map(|who| Act::Leave { who }),
        3 => (0..15_000_u64).prop_map(|ms| Act::Wait { ms }),
    ];
    prop::collection::vec(act, 1..120)
}

/// PeerEvent ought to be, in the simplest words.
#[derive(Clone, Debug)]
struct Seat {
    room: usize,
    host: bool,
    link: Option<Link>,
    until: Option<Instant>,
    said_hello: bool,
    mail: Vec<Value>,
}

/// A browser's own idea of who is there.
#[derive(Default)]
struct View {
    known: BTreeSet<String>,
    host: bool,
    locked: bool,
}

struct Walk {
    house: House,
    limits: Limits,
    seats: BTreeMap<u8, Seat>,
    views: HashMap<Link, (u8, View)>,
    ghosts: HashMap<u8, Link>,
    locked: [bool; LOUNGES],
    removed: BTreeSet<u8>,
    offers: u64,
}

impl Walk {
    fn new() -> Walk {
        let limits = Limits { room_size: 4, max_peers: 6, mailbox: 3, ..Limits::default() };
        Walk {
            house: House::new(limits.clone()),
            limits,
            seats: BTreeMap::new(),
            views: HashMap::new(),
            ghosts: HashMap::new(),
            locked: [false; LOUNGES],
            removed: BTreeSet::new(),
            offers: 0,
        }
    }

    fn link(&self, who: u8) -> Option<Link> {
        self.seats.get(&who).and_then(|seat| seat.link)
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Open { who, room, host } => self.open(who, room, host),
            Act::Order { who, to, what, locked } => self.order(who, to, what, locked),
            Act::Hello { who } => {
                let Some(link) = self.link(who) else { return };
                self.house.hello(link, "somebody");
                self.seats.get_mut(&who).unwrap().said_hello = true;
            }
            Act::Offer { who, to } => self.offer(who, to),
            Act::Chat { who } => {
                let Some(link) = self.link(who) else { return };
                self.house.say(link, &json!({"type": "chat", "payload": {"text": format!("from {}", id(who))}}));
            }
            Act::Nonsense { who } => {
                let Some(link) = self.link(who) else { return };
                self.house.say(link, &json!({"type": "dance"}));
            }
            Act::Ghost { who, to } => {
                let Some(&ghost) = self.ghosts.get(&who) else { return };
                let offer = json!({"type": "offer", "targetId": id(to), "payload": {"ghost": true}});
                self.house.say(ghost, &offer);
                self.house.say(ghost, &json!({"type": "leave"}));
                self.house.close(ghost, Closure::Left);
            }
            Act::Drop { who } => self.end(who, Closure::Dropped),
            Act::Bye { who } => self.end(who, Closure::Left),
            Act::Leave { who } => {
                let Some(link) = self.link(who) else { return };
                self.house.say(link, &json!({"type": "leave"}));
                assert_eq!(self.house.closed.get(&link), Some(&Reason::Left));
                self.forget_link(who, link);
                self.seats.remove(&who);
            }
            Act::Wait { ms } => {
                self.house.advance(Duration::from_millis(ms));
                let now = self.house.now;
                self.seats.retain(|_, seat| seat.until.is_none_or(|until| until > now));
            }
        }
        self.purge_mail();
        self.check();
    }

    fn open(&mut self, who: u8, room: usize, host: bool) {
        let link = self.house.arrive(who, &format!("room{room}"), host);
        if self.removed.contains(&who) {
            return self.was_sent_away(link, Reason::Removed, "removed");
        }
        if let Some(old) = self.link(who) {
            assert_eq!(self.house.closed.get(&old), Some(&Reason::Replaced));
            self.forget_link(who, old);
        }
        let mut seat = Seat { room, host, link: Some(link), until: None, said_hello: false, mail: vec![] };
        let mut mail = vec![];
        match self.seats.remove(&who) {
            Some(old) if old.room == room => {
                seat.said_hello = old.said_hello;
                mail = old.mail.into_iter().filter(|offer| self.is_here(offer, room)).collect();
            }
            _ => {
                self.unlock_empty_rooms();
                if self.locked[room] && !host {
                    return self.was_sent_away(link, Reason::RoomLocked, "room-locked");
                }
                let inside = self.seats.values().filter(|seat| seat.room == room).count();
                if inside >= self.limits.room_size || self.seats.len() >= self.limits.max_peers {
                    return self.was_sent_away(link, Reason::RoomFull, "room-full");
                }
            }
        }
        self.seats.insert(who, seat);
        let heard = self.house.sent.get(&link).unwrap();
        let offers: Vec<&Value> = heard.iter().filter(|message| message["type"] == "offer").collect();
        assert_eq!(offers, mail.iter().collect::<Vec<_>>(), "what was kept for it");
        self.views.insert(link, (who, View::default()));
    }

    fn was_sent_away(&mut self, link: Link, reason: Reason, word: &str) {
        assert_eq!(self.house.closed.get(&link), Some(&reason));
        let heard = self.house.heard(link);
        assert_eq!((heard.len(), &heard[0]["payload"]["code"]), (1, &json!(word)));
    }

    fn unlock_empty_rooms(&mut self) {
        for (room, locked) in self.locked.iter_mut().enumerate() {
            *locked &= self.seats.values().any(|seat| seat.room == room);
        }
    }

    /// From anybody but a host it changes nothing, which `check` then finds.
    fn order(&mut self, who: u8, to: u8, what: &str, locked: bool) {
        let Some(link) = self.link(who) else { return };
        let room = self.seats[&who].room;
        let before = self.house.sent.clone();
        self.house.say(link, &json!({"type": what, "targetId": id(to), "payload": {"locked": locked}}));
        let refused = |walk: &Walk, word: &str| {
            assert_eq!(walk.house.sent[&link].last().unwrap()["payload"]["code"], word);
            let mut others = walk.house.sent.clone();
            others.remove(&link);
            assert_eq!(others, before, "somebody heard of it");
        };
        if !self.seats[&who].host {
            return refused(self, "not-allowed");
        }
        let beside = to != who && self.seats.get(&to).is_some_and(|seat| seat.room == room);
        match what {
            "lock" => self.locked[room] = locked,
            "end-room" => {
                let members: Vec<u8> =
                    self.seats.iter().filter(|(_, seat)| seat.room == room).map(|(who, _)| *who).collect();
                for member in members {
                    self.sees_the_end(member, Reason::RoomEnded);
                }
            }
            _ if !beside => refused(self, "unknown-target"),
            "remove" => {
                self.removed.insert(to);
                self.sees_the_end(to, Reason::Removed);
            }
            _ => {
                let wish = json!({"type": "mute", "payload": {"id": id(to)}});
                for seat in self.seats.values().filter(|seat| seat.room == room) {
                    assert!(seat.link.is_none_or(|link| self.house.sent[&link].contains(&wish)));
                }
            }
        }
    }

    fn sees_the_end(&mut self, who: u8, reason: Reason) {
        if let Some(link) = self.link(who) {
            assert_eq!(self.house.closed.get(&link), Some(&reason));
            self.forget_link(who, link);
        }
        self.seats.remove(&who);
    }

    fn is_here(&self, offer: &Value, room: usize) -> bool {
        let sender = &offer["payload"]["senderId"];
        self.seats.iter().any(|(who, seat)| seat.room == room && *sender == json!(id(*who)))
    }

    /// PeerEvent somebody said who has left is not delivered any more.
    fn purge_mail(&mut self) {
        let here: Vec<(String, usize)> = self.seats.iter().map(|(who, seat)| (id(*who), seat.room)).collect();
        for seat in self.seats.values_mut() {
            let room = seat.room;
            seat.mail
                .retain(|offer| here.iter().any(|(id, r)| *r == room && offer["payload"]["senderId"] == json!(id)));
        }
    }

    fn offer(&mut self, who: u8, to: u8) {
        let Some(link) = self.link(who) else { return };
        self.offers += 1;
        let nth = self.offers;
        // A liar, too.
        let payload = json!({"sdp": nth, "senderId": id(to)});
        self.house.say(link, &json!({"type": "offer", "targetId": id(to), "payload": payload}));
        let expected = json!({"type": "offer", "payload": {"senderId": id(who), "sdp": nth}});
        let room = self.seats[&who].room;
        let reached = self.seats.get_mut(&to).filter(|seat| to != who && seat.room == room);
        match reached {
            Some(Seat { link: Some(target), .. }) => {
                assert_eq!(self.house.sent[target].last(), Some(&expected));
            }
            Some(seat) => {
                seat.mail.push(expected);
                if seat.mail.len() > self.limits.mailbox {
                    self.seats.remove(&to);
                }
            }
            None => {
                let error = self.house.sent[&link].last().unwrap();
                assert_eq!(error["payload"]["code"], "unknown-target");
                let heard_it = |message: &Value| message["payload"]["sdp"] == json!(nth);
                assert!(!self.house.sent.values().flatten().any(heard_it), "somebody else heard it");
            }
        }
    }

    fn end(&mut self, who: u8, ending: Closure) {
        let Some(link) = self.link(who) else { return };
        self.house.close(link, ending);
        self.forget_link(who, link);
        let now = self.house.now;
        let seat = self.seats.get_mut(&who).unwrap();
        if ending == Closure::Dropped && seat.said_hello {
            (seat.link, seat.until) = (None, Some(now + 20 * SECOND));
        } else {
            self.seats.remove(&who);
        }
    }

    fn forget_link(&mut self, who: u8, link: Link) {
        self.ghosts.insert(who, link);
        self.views.remove(&link);
        self.house.sent.remove(&link);
        if let Some(seat) = self.seats.get_mut(&who) {
            seat.link = None;
        }
    }

    /// Everybody knows exactly the others in their room, and has heard of nobody else.
    fn check(&mut self) {
        assert_eq!(self.house.rooms.peers(), self.seats.len());
        assert_eq!(self.house.rooms.connected(), self.views.len());
        self.unlock_empty_rooms();
        for (link, (who, view)) in &mut self.views {
            let room = self.seats[who].room;
            let others = self.seats.iter().filter(|(other, seat)| *other != who && seat.room == room);
            let others: BTreeSet<String> = others.map(|(other, _)| id(*other)).collect();
            for message in self.house.sent.remove(link).unwrap_or_default() {
                view.hear(&id(*who), &message);
            }
            assert_eq!(view.known, others, "as {who} sees it");
            assert_eq!((view.host, view.locked), (self.seats[who].host, self.locked[room]), "as {who} sees it");
        }
        let stray = self.house.sent.keys().find(|link| !self.house.closed.contains_key(link));
        assert_eq!(stray, None, "something was sent on a connection that has ended");
        self.house.sent.clear();
    }
}

impl View {
    fn hear(&mut self, own: &str, message: &Value) {
        let payload = &message["payload"];
        let text = |name: &str| payload[name].as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "init-peers" => {
                assert_eq!(text("id"), own);
                let ids = payload["peerIds"].as_array().unwrap().iter();
                self.known = ids.map(|id| id.as_str().unwrap().to_owned()).collect();
            }
            "new-peer" => assert!(self.known.insert(text("id")), "told twice"),
            "peer-disconnect" => assert!(self.known.remove(&text("id")), "told of a stranger's leaving"),
            "peer-state" => assert!(self.known.contains(&text("id")), "a stranger's state"),
            "offer" => {
                assert!(self.known.contains(&text("senderId")), "a stranger's offer");
                assert_eq!(payload.get("ghost"), None, "a ghost's offer");
            }
            // Its sender may have left meanwhile.
            "chat" => assert_eq!(text("text"), format!("from {}", text("senderId"))),
            "config" => {
                self.host = payload["host"].as_bool().unwrap();
                self.locked = payload["locked"].as_bool().unwrap();
            }
            "room-state" => {
                let locked = payload["locked"].as_bool().unwrap();
                assert_ne!(std::mem::replace(&mut self.locked, locked), locked, "told without a change");
            }
            "mute" => assert!(text("id") == own || self.known.contains(&text("id")), "a stranger is muted"),
            "error" => {}
            other => panic!("{other}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_everybody_knows_exactly_the_others_in_their_room(acts in acts()) {
        let mut walk = Walk::new();
        for act in &acts {
            walk.act(act);
        }
    }

    #[test]
    fn no_text_at_all_does_harm(text in "\\PC{0,200}") {
        messages::parse(&text);
        messages::parse(&format!("{{\"type\":\"offer\",\"targetId\":\"{}\",\"payload\":{text}}}", id(1)));
    }
}

#[test]
fn a_seat_is_kept_for_20_s_and_then_given_up() {
    let mut house = House::new(Limits::default());
    let (ada, ben) = (house.open(1, "r"), house.open(2, "r"));
    house.hello(ada, "Ada");
    house.heard(ben);
    house.close(ada, Closure::Dropped);
    assert_eq!(house.drain(), house.now + 20 * SECOND);
    house.advance(20 * SECOND - Duration::from_millis(1));
    assert_eq!(house.heard_types(ben), Vec::<String>::new());
    house.advance(Duration::from_millis(1));
    assert_eq!(house.heard(ben), [json!({"type": "peer-disconnect", "payload": {"id": id(1)}})]);
    // It may still come back under its id, as a newcomer.
    let ada = house.open(1, "r");
    assert_eq!(house.heard(ben), [json!({"type": "new-peer", "payload": {"id": id(1)}})]);
    assert_eq!(house.heard(ada)[1]["payload"]["resumed"], false);
}

#[test]
fn who_comes_back_in_time_finds_all_as_it_is_now_and_what_was_sent_meanwhile() {
    let mut house = House::new(Limits::default());
    let (ada, ben) = (house.open(1, "r"), house.open(2, "r"));
    house.hello(ada, "Ada");
    house.hello(ben, "Ben");
    house.close(ada, Closure::Dropped);
    house.heard(ben);
    let eve = house.open(3, "r");
    house.say(eve, &json!({"type": "offer", "targetId": id(1), "payload": {"sdp": 1}}));
    house.say(ben, &json!({"type": "ice-candidate", "targetId": id(1), "payload": {"candidate": 1}}));
    house.say(ben, &json!({"type": "chat", "payload": {"text": "where is she?"}}));
    house.close(ben, Closure::Left);
    house.heard(eve);
    house.advance(19 * SECOND);
    let ada = house.open(1, "r");
    let heard = house.heard(ada);
    let types: Vec<&str> = heard.iter().map(|message| message["type"].as_str().unwrap()).collect();
    // Ben has left, and his candidate with him.
    assert_eq!(types, ["init-peers", "config", "chat", "offer"]);
    assert_eq!(heard[0]["payload"], json!({"id": id(1), "peerIds": [id(3)]}));
    assert_eq!(heard[1]["payload"]["resumed"], true);
    assert_eq!((&heard[2]["payload"]["name"], &heard[2]["payload"]["ageMs"]), (&json!("Ben"), &json!(19_000)));
    assert_eq!(house.heard(eve), Vec::<Value>::new(), "the others notice nothing");
    house.advance(60 * SECOND);
    assert_eq!(house.rooms.peers(), 2);
}

#[test]
fn a_mailbox_that_overflows_gives_the_seat_up() {
    let mut house = House::new(Limits { mailbox_bytes: 1_000, ..Limits::default() });
    let (ada, ben) = (house.open(1, "r"), house.open(2, "r"));
    house.hello(ada, "Ada");
    house.close(ada, Closure::Dropped);
    house.heard(ben);
    house.say(ben, &json!({"type": "offer", "targetId": id(1), "payload": {"sdp": "x".repeat(2_000)}}));
    assert_eq!(house.heard_types(ben), ["peer-disconnect"]);
}

#[test]
fn fifty_messages_a_second_may_be_said_for_ever_and_more_only_for_a_while() {
    let mut house = House::new(Limits::default());
    let (ada, ben) = (house.open(1, "r"), house.open(2, "r"));
    let state = json!({"type": "peer-state", "payload": {}});
    for _ in 0..500 + 60 * 50 {
        house.say(ada, &state);
        house.advance(Duration::from_millis(20));
    }
    assert_eq!(house.closed.get(&ada), None);
    for _ in 0..500 {
        house.say(ada, &state);
    }
    assert_eq!(house.closed.get(&ada), None);
    house.heard(ada);
    house.heard(ben);
    house.say(ada, &state);
    assert_eq!(house.closed.get(&ada), Some(&Reason::TooManyMessages));
    assert_eq!(house.heard(ada)[0]["payload"]["code"], "too-many-messages");
    // Its seat is kept, so the others notice nothing, and coming back does not refill its allowance.
    assert_eq!(house.heard(ben), Vec::<Value>::new());
    let ada = house.open(1, "r");
    house.say(ada, &state);
    assert_eq!(house.closed.get(&ada), Some(&Reason::TooManyMessages));
}

#[test]
fn a_latecomer_hears_the_last_hundred_and_not_more_than_64_kib() {
    let mut house = House::new(Limits::default());
    let ada = house.open(1, "r");
    for n in 0..150 {
        house.say(ada, &json!({"type": "chat", "payload": {"text": format!("{n}")}}));
        house.advance(SECOND);
    }
    let ben = house.open(2, "r");
    let seqs = |heard: Vec<Value>| -> Vec<u64> {
        heard[2..].iter().map(|chat| chat["payload"]["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(house.heard(ben)), (51..=150).collect::<Vec<u64>>());
    for _ in 0..50 {
        house.say(ada, &json!({"type": "chat", "payload": {"text": "ä".repeat(2_000)}}));
    }
    let eve = house.open(3, "r");
    assert_eq!(seqs(house.heard(eve)).len(), 64 * 1024 / 4_000);
    // A room that everybody has left is forgotten.
    for link in [ada, ben, eve] {
        house.close(link, Closure::Left);
    }
    assert_eq!((house.rooms.rooms(), house.rooms.peers()), (0, 0));
    let ada = house.open(1, "r");
    assert_eq!(house.heard_types(ada), ["init-peers", "config"]);
}

#[test]
fn a_new_server_gives_everybody_their_id_back_and_nobody_elses() {
    let mut house = House::new(Limits::default());
    let ada = house.open(1, "r");
    assert_eq!(house.heard(ada)[0]["payload"]["id"], id(1));
    // All that others have seen of her is her id, and that is no token.
    assert_eq!(ResumeToken::parse(&id(1)), None);
    assert!(PeerId::parse(&id(1)).is_some());
    let mut after = House::new(Limits::default());
    let ben = after.open(2, "r");
    let ada = after.open(1, "r");
    assert_eq!(after.heard(ada)[0]["payload"], json!({"id": id(1), "peerIds": [id(2)]}));
    assert_eq!(after.heard_types(ben), ["init-peers", "config", "new-peer"]);
}

#[test]
fn when_the_server_stops_everybody_is_told_once() {
    let mut house = House::new(Limits::default());
    let links: Vec<Link> = (0..5).map(|who| house.open(who, "r")).collect();
    for link in &links {
        house.heard(*link);
    }
    house.rooms.close_all();
    house.drain();
    for link in links {
        let heard = house.heard(link);
        assert_eq!((heard.len(), &heard[0]["payload"]["code"]), (1, &json!("going-away")));
        assert_eq!(house.closed.get(&link), Some(&Reason::GoingAway));
    }
}

fn order(what: &str, target: u8) -> Value {
    json!({"type": what, "targetId": id(target), "payload": {"locked": true}})
}

#[test]
fn a_locked_room_admits_hosts_and_those_whose_seat_is_kept_and_opens_when_empty() {
    let mut house = House::new(Limits::default());
    let host = house.arrive(1, "r", true);
    let ben = house.open(2, "r");
    house.hello(ben, "Ben");
    house.say(host, &order("lock", 0));
    let stranger = house.open(3, "r");
    assert_eq!((house.closed.get(&stranger), house.rooms.peers()), (Some(&Reason::RoomLocked), 2));
    assert_eq!(house.heard(stranger)[0]["payload"]["code"], "room-locked");
    house.close(ben, Closure::Dropped);
    let ben = house.open(2, "r");
    let config = &house.heard(ben)[1]["payload"];
    assert_eq!((&config["resumed"], &config["locked"], &config["host"]), (&json!(true), &json!(true), &json!(false)));
    let other_host = house.arrive(4, "r", true);
    assert_eq!(house.heard(other_host)[0]["type"], "init-peers");
    for link in [host, other_host, ben] {
        house.close(link, Closure::Left);
    }
    let stranger = house.open(3, "r");
    assert_eq!(house.heard(stranger)[1]["payload"]["locked"], false);
}

#[test]
fn who_comes_back_without_an_admins_token_is_a_host_no_more() {
    let mut house = House::new(Limits::default());
    let host = house.arrive(1, "r", true);
    house.hello(host, "Ada");
    house.close(host, Closure::Dropped);
    let back = house.open(1, "r");
    assert_eq!(house.heard(back)[1]["payload"]["host"], false);
    house.say(back, &order("lock", 0));
    assert_eq!(house.heard(back)[0]["payload"]["code"], "not-allowed");
}

#[test]
fn a_wish_to_be_silent_is_told_until_it_is_fulfilled() {
    let mut house = House::new(Limits::default());
    let host = house.arrive(1, "r", true);
    let ben = house.open(2, "r");
    house.hello(ben, "Ben");
    house.close(ben, Closure::Dropped);
    house.heard(host);
    house.say(host, &order("mute", 2));
    let wish = json!({"type": "mute", "payload": {"id": id(2)}});
    assert_eq!(house.heard(host), std::slice::from_ref(&wish));
    let ben = house.open(2, "r");
    assert!(house.heard(ben).contains(&wish), "who was away hears of it");
    house.hello(ben, "Ben");
    let eve = house.open(3, "r");
    assert!(house.heard(eve).contains(&wish), "so does who comes later");
    house.say(ben, &json!({"type": "peer-state", "payload": {"name": "Ben", "muted": true}}));
    let late = house.open(4, "r");
    assert!(!house.heard(late).contains(&wish));
}

#[test]
fn a_removed_peers_token_opens_no_room_any_more() {
    let mut house = House::new(Limits::default());
    let host = house.arrive(1, "r", true);
    let ben = house.open(2, "r");
    house.hello(ben, "Ben");
    house.close(ben, Closure::Dropped);
    house.heard(host);
    house.say(host, &order("remove", 2));
    assert_eq!(house.heard_types(host), ["peer-disconnect"]);
    for room in ["r", "another"] {
        let back = house.open(2, room);
        assert_eq!(house.closed.get(&back), Some(&Reason::Removed));
    }
    // With an id that nobody has seen, they are somebody else.
    let other = house.open(3, "r");
    assert_eq!(house.heard(other)[0]["type"], "init-peers");
}
