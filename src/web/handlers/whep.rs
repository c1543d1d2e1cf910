//! How a listener comes and goes over HTTP: WHEP (draft-ietf-wish-whep-03, the mirror of WHIP, RFC 9725) and the
//! simpler `POST /offer`. Called on `http-<n>` threads; reads what HTTP says about an offer, asks the rtc thread, and puts
//! its reply into HTTP's words. It does not read SDP.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use serde_json::json;

use crate::ids::names::StationName;
use crate::ids::session::SessionId;
use crate::net::authority::Authority;
use crate::net::ice_server::IceServer;
use crate::rtc::requests::{Admitted, IfMatch, Offer, PatchRefusal, Patched, Refusal};
use crate::station::station::Station;
use crate::web::handlers::context::Site;
use crate::web::http::message::{Answer, ErrorCode, Request};

/// The type of offers and answers.
pub(crate) const SDP: &str = "application/sdp";
/// The type of what `PATCH` carries (RFC 8840 §9).
pub(crate) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// A full house does not empty in a second.
const FULL_RETRY_S: u32 = 10;

/// `POST /whep[/{station}]`: WHEP §4.2.
pub(crate) fn admit(site: &Site, request: &Request, name: Option<&str>) -> Answer {
    let Some(station) = station(site, name) else { return unknown_station() };
    if request.media_type() != SDP {
        let answer = Answer::error(ErrorCode::WrongType, format!("An offer has the Content-Type {SDP}."));
        return answer.header("Accept-Post", SDP);
    }
    match text(&request.body, "offer") {
        Err(answer) => answer,
        Ok(sdp) => {
            let answer = admitted(site.rtc.admit(offer(request, sdp, &station)), &station.name);
            if answer.status == 201 { with_ice_servers(site, answer) } else { answer }
        }
    }
}

/// `GET`, `HEAD` on the same: nothing to see, but it is there.
pub(crate) fn endpoint(site: &Site, name: Option<&str>) -> Answer {
    if station(site, name).is_none() {
        return unknown_station();
    }
    Answer::new(200).header("Content-Type", SDP).header("Accept-Post", SDP).header("Cache-Control", "no-store")
}

/// `POST /offer` with `{"sdp": …, "type": "offer"}`, as aiortc's examples and their clients do it: first station, no
/// session address, so it ends when ICE says so.
pub(crate) fn offer_as_json(site: &Site, request: &Request) -> Answer {
    if request.media_type() != "application/json" {
        let answer = Answer::error(ErrorCode::WrongType, "An offer has the Content-Type application/json here.");
        return answer.header("Accept-Post", "application/json");
    }
    let sdp = match described_offer(&request.body) {
        Ok(sdp) => sdp,
        Err(answer) => return answer,
    };
    let Some(station) = station(site, None) else { return unknown_station() };
    answered(site.rtc.admit(offer(request, sdp, &station)))
}

/// The SDP in a body of `POST /offer`.
///
/// # Errors
/// The answer to give.
pub fn described_offer(body: &[u8]) -> Result<String, Answer> {
    /// RTCSessionDescriptionInit of the WebRTC API; other members are none of our business.
    #[derive(Deserialize)]
    struct Description {
        sdp: String,
        r#type: String,
    }

    if body.is_empty() {
        return Err(Answer::error(ErrorCode::EmptyBody, "An offer was expected."));
    }
    let description: Description = serde_json::from_slice(body)
        .map_err(|error| Answer::error(ErrorCode::BadJson, format!("{{\"sdp\", \"type\"}} was expected: {error}.")))?;
    if description.r#type != "offer" {
        return Err(Answer::error(ErrorCode::BadOffer, "The type of an offer is \"offer\"."));
    }
    Ok(description.sdp)
}

/// `PATCH` on a session: candidates, or an ICE restart (WHEP §4.3, RFC 9725 §4.3).
pub(crate) fn patch(site: &Site, request: &Request, name: &str, id: &str) -> Answer {
    let Some(listener) = listener(site, name, id) else { return unknown_listener() };
    if request.media_type() != FRAGMENT {
        let answer = Answer::error(ErrorCode::WrongType, format!("A PATCH has the Content-Type {FRAGMENT}."));
        return answer.header("Accept-Patch", FRAGMENT);
    }
    match text(&request.body, "fragment") {
        Err(answer) => answer,
        Ok(fragment) => patched(site.rtc.patch(listener, fragment, if_match(request))),
    }
}

/// `DELETE` on a session.
pub(crate) fn dismiss(site: &Site, name: &str, id: &str) -> Answer {
    match listener(site, name, id) {
        Some(listener) if site.rtc.close(listener) => Answer::new(200),
        _ => unknown_listener(),
    }
}

/// `GET`, `HEAD` on a session: whether it lives is told to nobody, but the address is a good one.
pub(crate) fn session(site: &Site, name: &str, id: &str) -> Answer {
    match listener(site, name, id) {
        Some(_) => Answer::new(200).header("Cache-Control", "no-store"),
        None => unknown_listener(),
    }
}

/// One `Link` for each URL of STUN and TURN servers that a listener may use (RFC 9725 §4.6).
pub(crate) fn with_ice_servers(site: &Site, answer: Answer) -> Answer {
    let links = site.ice_servers.iter().flat_map(|server| server.urls.iter().map(move |url| ice_link(url, server)));
    links.fold(answer, |answer, link| answer.header("Link", link))
}

fn ice_link(url: &str, server: &IceServer) -> String {
    let mut link = format!("<{url}>; rel=\"ice-server\"");
    if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
        link += &format!("; username={}; credential={}", quoted(username), quoted(credential));
        link += "; credential-type=\"password\"";
    }
    link
}

/// RFC 9110 §5.6.4.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn station(site: &Site, name: Option<&str>) -> Option<Station> {
    match name {
        None => site.stations.default_station(),
        Some(name) => site.stations.find(&StationName::parse(name)?),
    }
}

fn listener(site: &Site, name: &str, id: &str) -> Option<SessionId> {
    station(site, Some(name)).and_then(|_| SessionId::parse(id))
}

fn offer(request: &Request, sdp: String, station: &Station) -> Offer {
    let reached_at = request.header("host").and_then(|host| reached_at(&host));
    Offer { sdp, track: station.track, client: request.client.ip(), reached_at }
}

fn text(body: &[u8], what: &str) -> Result<String, Answer> {
    if body.is_empty() {
        return Err(Answer::error(ErrorCode::EmptyBody, format!("The body is empty, a {what} was expected.")));
    }
    let code = if what == "offer" { ErrorCode::BadOffer } else { ErrorCode::BadFragment };
    String::from_utf8(body.to_vec()).map_err(|_| Answer::error(code, format!("The {what} is not UTF-8 text.")))
}

fn unknown_station() -> Answer {
    Answer::error(ErrorCode::UnknownStation, "No station of that name is here.")
}

fn unknown_listener() -> Answer {
    Answer::error(ErrorCode::UnknownListener, "No session of that address is here, or it has ended.")
}

/// PeerEvent an offer to `/whep` is answered.
fn admitted(reply: Result<Admitted, Refusal>, station: &StationName) -> Answer {
    match reply {
        Ok(Admitted { session, answer, etag }) => Answer::new(201)
            .header("Location", format!("/whep/{station}/{session}"))
            .header("ETag", etag)
            .header("Accept-Patch", FRAGMENT)
            .header("Cache-Control", "no-store")
            .body(SDP, answer.into_bytes()),
        Err(refusal) => refused(refusal),
    }
}

/// PeerEvent an offer to `/offer` is answered.
fn answered(reply: Result<Admitted, Refusal>) -> Answer {
    match reply {
        Ok(admitted) => Answer::json(200, &json!({"sdp": admitted.answer, "type": "answer"})),
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::BadOffer(wrong) => Answer::error(ErrorCode::BadOffer, format!("{wrong}.")),
        Refusal::Full => {
            Answer::error(ErrorCode::Full, "As many listeners as are allowed are here.").retry_after(FULL_RETRY_S)
        }
        Refusal::FullFromAddress => {
            let message = "As many listeners as one address may have are here.";
            Answer::error(ErrorCode::TooManyFromAddress, message).retry_after(FULL_RETRY_S)
        }
        Refusal::NotOnAir => Answer::error(ErrorCode::NotOnAir, "The station is not on the air yet.").retry_after(1),
        Refusal::Busy => busy(),
    }
}

fn patched(reply: Result<Patched, PatchRefusal>) -> Answer {
    match reply {
        Ok(Patched::Trickled) => Answer::new(204),
        Ok(Patched::Restarted { fragment, etag }) => {
            let answer = Answer::new(200).header("ETag", etag).header("Cache-Control", "no-store");
            answer.body(FRAGMENT, fragment.into_bytes())
        }
        Err(PatchRefusal::Unknown) => unknown_listener(),
        Err(PatchRefusal::BadFragment(wrong)) => Answer::error(ErrorCode::BadFragment, format!("{wrong}.")),
        Err(PatchRefusal::StaleTag) => {
            Answer::error(ErrorCode::StaleTag, "If-Match names an ICE session that is over.")
        }
        Err(PatchRefusal::TagRequired) => Answer::error(ErrorCode::TagRequired, "An ICE restart needs If-Match: *."),
        Err(PatchRefusal::Unprocessable(wrong)) => Answer::error(ErrorCode::Unprocessable, format!("{wrong}.")),
        Err(PatchRefusal::Busy) => busy(),
    }
}

fn busy() -> Answer {
    Answer::error(ErrorCode::Busy, "The server is behind; please try again.").retry_after(1)
}

/// RFC 9110 §13.1.1. It compares strongly, so weak tags never match and are left out, as is what is no tag at all: a list
/// of nothing matches nothing.
fn if_match(request: &Request) -> IfMatch {
    let Some(value) = request.header("if-match") else { return IfMatch::Absent };
    if value.trim() == "*" {
        return IfMatch::Any;
    }
    let mut tags = Vec::new();
    // Tags may contain commas, so the quotes decide where one ends.
    let mut rest = value.trim();
    while !rest.is_empty() {
        let end = match rest.strip_prefix('"').and_then(|inner| inner.find('"')) {
            Some(closing) => {
                tags.push(rest[..closing + 2].to_owned());
                closing + 2
            }
            None => match rest.strip_prefix("W/\"").and_then(|inner| inner.find('"')) {
                Some(closing) => closing + 4,
                None => rest.find(',').unwrap_or(rest.len()),
            },
        };
        rest = rest[end..].trim_start_matches([',', ' ', '\t']);
    }
    IfMatch::Tags(tags)
}

/// The address by which the client found this host, if it is a literal that a host can have. Loopback counts: it says
/// that the client is on this very host.
fn reached_at(host: &str) -> Option<IpAddr> {
    let host = Authority::parse(host)?.host;
    // RFC 6761 §6.3: this name is loopback everywhere.
    if host.as_str() == "localhost" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let ip = host.ip()?.to_canonical();
    let pointless = ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST;
    (!pointless).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(answer: &Answer) -> String {
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        body["error"]["code"].as_str().unwrap().to_owned()
    }

    fn admission() -> Admitted {
        let session = SessionId::parse("00112233445566778899aabbccddeeff").unwrap();
        Admitted { session, answer: "v=0\r\n".into(), etag: "\"e1\"".into() }
    }

    #[test]
    fn an_ice_server_is_a_link_with_quoted_secrets() {
        let server = |urls: &str, secrets: Option<(&str, &str)>| IceServer {
            urls: vec![urls.into()],
            username: secrets.map(|(username, _)| username.into()),
            credential: secrets.map(|(_, credential)| credential.into()),
        };
        let stun = server("stun:stun.example.net", None);
        assert_eq!(ice_link(&stun.urls[0], &stun), "<stun:stun.example.net>; rel=\"ice-server\"");
        let turn = server("turn:turn.example.net?transport=udp", Some(("user", "a\"b\\c")));
        assert_eq!(
            ice_link(&turn.urls[0], &turn),
            "<turn:turn.example.net?transport=udp>; rel=\"ice-server\"; username=\"user\"; \
             credential=\"a\\\"b\\\\c\"; credential-type=\"password\""
        );
    }

    fn with_if_match(values: &[&str]) -> IfMatch {
        if_match(&Request {
            method: "PATCH".into(),
            path: "/".into(),
            query: String::new(),
            headers: values.iter().map(|v| ("If-Match".to_owned(), (*v).to_owned())).collect(),
            body: Vec::new(),
            client: "127.0.0.1:1".parse().unwrap(),
            secure: false,
        })
    }

    #[test]
    fn an_admitted_listener_learns_its_address_and_tag() {
        let answer = admitted(Ok(admission()), &StationName::default());
        assert_eq!(answer.status, 201);
        assert_eq!(answer.find("location"), Some("/whep/main/00112233445566778899aabbccddeeff"));
        assert_eq!(answer.find("etag"), Some("\"e1\""));
        assert_eq!(answer.find("content-type"), Some(SDP));
        assert_eq!(answer.find("accept-patch"), Some(FRAGMENT));
        assert_eq!(&*answer.body, b"v=0\r\n");
    }

    #[test]
    fn an_offer_as_json_is_answered_as_json() {
        let answer = answered(Ok(admission()));
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, body), (200, json!({"sdp": "v=0\r\n", "type": "answer"})));
    }

    #[test]
    fn each_refusal_has_its_status_and_says_when_to_try_again() {
        let cases = [
            (Refusal::BadOffer("No audio".into()), 400, "bad-offer", None),
            (Refusal::Full, 503, "full", Some("10")),
            (Refusal::NotOnAir, 409, "not-on-air", Some("1")),
            (Refusal::Busy, 503, "busy", Some("1")),
        ];
        for (refusal, status, word, retry) in cases {
            for answer in [admitted(Err(refusal.clone()), &StationName::default()), answered(Err(refusal))] {
                assert_eq!((answer.status, code(&answer).as_str(), answer.find("retry-after")), (status, word, retry));
            }
        }
        assert!(String::from_utf8_lossy(&refused(Refusal::BadOffer("No audio".into())).body).contains("No audio"));
    }

    #[test]
    fn each_outcome_of_a_patch_has_its_status() {
        assert_eq!(patched(Ok(Patched::Trickled)), Answer::new(204));
        let restarted = patched(Ok(Patched::Restarted { fragment: "a=x\r\n".into(), etag: "\"e2\"".into() }));
        assert_eq!((restarted.status, restarted.find("etag")), (200, Some("\"e2\"")));
        assert_eq!((restarted.find("content-type"), &*restarted.body), (Some(FRAGMENT), b"a=x\r\n".as_slice()));
        let cases = [
            (PatchRefusal::Unknown, 404, "unknown-listener"),
            (PatchRefusal::BadFragment("?".into()), 400, "bad-fragment"),
            (PatchRefusal::StaleTag, 412, "stale-tag"),
            (PatchRefusal::TagRequired, 428, "tag-required"),
            (PatchRefusal::Unprocessable("?".into()), 422, "unprocessable"),
            (PatchRefusal::Busy, 503, "busy"),
        ];
        for (refusal, status, word) in cases {
            let answer = patched(Err(refusal));
            assert_eq!((answer.status, code(&answer).as_str()), (status, word));
        }
    }

    #[test]
    fn if_match_is_absent_any_or_a_list_of_strong_tags() {
        assert_eq!(with_if_match(&[]), IfMatch::Absent);
        assert_eq!(with_if_match(&[" * "]), IfMatch::Any);
        assert_eq!(with_if_match(&["\"a\" , \"b,c\""]), IfMatch::Tags(vec!["\"a\"".into(), "\"b,c\"".into()]));
        assert_eq!(with_if_match(&["\"a\"", "\"b\""]), IfMatch::Tags(vec!["\"a\"".into(), "\"b\"".into()]));
        assert_eq!(with_if_match(&["W/\"a\", \"b\""]), IfMatch::Tags(vec!["\"b\"".into()]));
        for nothing in ["W/\"a\"", "a", "\"a", ""] {
            assert_eq!(with_if_match(&[nothing]), IfMatch::Tags(vec![]), "{nothing}");
        }
    }

    #[test]
    fn the_host_says_where_the_server_was_reached_if_it_is_an_address() {
        let some = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(reached_at("192.0.2.7:8088"), some("192.0.2.7"));
        assert_eq!(reached_at("192.0.2.7"), some("192.0.2.7"));
        assert_eq!(reached_at("[2001:db8::1]:8088"), some("2001:db8::1"));
        assert_eq!(reached_at("[2001:db8::1]"), some("2001:db8::1"));
        assert_eq!(reached_at("[::ffff:192.0.2.7]"), some("192.0.2.7"));
        assert_eq!(reached_at("localhost:8088"), some("127.0.0.1"));
        assert_eq!(reached_at("[::1]:8088"), some("::1"));
        for pointless in ["0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]", "255.255.255.255"] {
            assert_eq!(reached_at(pointless), None, "{pointless}");
        }
        for no_address in
            ["", "example.org", "1.2.3", "1.2.3.4.5", "[::1", "2001:db8::1", "[fe80::1%eth0]", "1.2.3.4:x"]
        {
            assert_eq!(reached_at(no_address), None, "{no_address}");
        }
    }
}
