//! How a listener's session begins and ends over HTTP: WHEP (draft-ietf-wish-whep-03, the mirror of WHIP, RFC 9725) and
//! the simpler `POST /offer`. Called on `http-<n>` threads; takes an offer out of its request, asks the rtc thread, and
//! makes its reply a response. It does not read SDP.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::ids::names::StationName;
use crate::ids::session::SessionId;
use crate::net::authority::Authority;
use crate::net::ice_server::IceServer;
use crate::rtc::requests::{Admitted, IfMatch, Offer, Patch, PatchRefusal, Patched, ReachedAt, Refusal};
use crate::station::station::Station;
use crate::web::handlers::context::Context;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::message::{Request, Response};
use crate::web::http::routes;

/// The type of offers and answers.
pub(crate) const SDP: &str = "application/sdp";
/// The type of what `PATCH` carries (RFC 8840 §9).
pub(crate) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Nothing between may keep or change SDP (RFC 9111 §5.2.2.6).
const UNCHANGED: &str = "no-store, no-transform";
/// A server with as many listeners as it takes does not empty in a second.
const FULL_RETRY_S: u32 = 10;

/// `POST /whep[/{station}]`: WHEP §4.2.
pub(crate) fn admit(context: &Context, request: &Request, name: Option<&str>) -> Response {
    let Some(station) = station(context, name) else { return unknown_station() };
    if request.media_type() != SDP {
        let response = Response::error(ErrorCode::WrongType, format!("An offer has the Content-Type {SDP}."));
        return response.header("Accept-Post", SDP);
    }
    match text(&request.body, "offer") {
        Err(response) => response,
        Ok(sdp) => {
            let reply = context.rtc.admit(offer(request, sdp, &station));
            let response = admitted(reply, &station.name, request.path());
            if response.status == 201 { with_ice_servers(context, response) } else { response }
        }
    }
}

/// `GET`, `HEAD` on the same: says only that it exists.
pub(crate) fn endpoint(context: &Context, name: Option<&str>) -> Response {
    if station(context, name).is_none() {
        return unknown_station();
    }
    Response::new(200).header("Content-Type", SDP).header("Accept-Post", SDP).header("Cache-Control", "no-store")
}

/// `POST /offer` with `{"sdp": …, "type": "offer"}`, as aiortc's examples and their clients do it: first station, no
/// session address, so it ends when ICE says so.
pub(crate) fn offer_as_json(context: &Context, request: &Request) -> Response {
    if request.media_type() != "application/json" {
        let response = Response::error(ErrorCode::WrongType, "An offer has the Content-Type application/json here.");
        return response.header("Accept-Post", "application/json");
    }
    let sdp = match offer_in_json(&request.body) {
        Ok(sdp) => sdp,
        Err(response) => return response,
    };
    let Some(station) = station(context, None) else { return unknown_station() };
    answered(context.rtc.admit(offer(request, sdp, &station)))
}

/// The SDP in a body of `POST /offer`.
///
/// # Errors
/// The response that refuses it.
pub fn offer_in_json(body: &[u8]) -> Result<String, Response> {
    /// RTCSessionDescriptionInit of the WebRTC API; other members are ignored.
    #[derive(Deserialize)]
    struct Description {
        sdp: String,
        r#type: String,
    }

    if body.is_empty() {
        return Err(Response::error(ErrorCode::EmptyBody, "An offer was expected."));
    }
    // The library's own message may quote all that was sent.
    let description: Description = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = format!("{{\"sdp\", \"type\"}} was expected, unlike line {line}, column {column}.");
        Response::error(ErrorCode::BadJson, message)
    })?;
    if description.r#type != "offer" {
        return Err(Response::error(ErrorCode::BadOffer, "The type of an offer is \"offer\"."));
    }
    Ok(description.sdp)
}

/// `PATCH` on a session: candidates, or an ICE restart (WHEP §4.3, RFC 9725 §4.3).
pub(crate) fn patch(context: &Context, request: &Request, name: &str, id: &str) -> Response {
    let Some(id) = session_id(context, name, id) else { return unknown_listener() };
    if request.media_type() != FRAGMENT {
        let response = Response::error(ErrorCode::WrongType, format!("A PATCH has the Content-Type {FRAGMENT}."));
        return response.header("Accept-Patch", FRAGMENT);
    }
    match text(&request.body, "fragment") {
        Err(response) => response,
        Ok(fragment) => patched(context.rtc.patch(id, patch_of(request, fragment))),
    }
}

/// `DELETE` on a session.
pub(crate) fn close(context: &Context, name: &str, id: &str) -> Response {
    match session_id(context, name, id) {
        Some(session) if context.rtc.close(session) => Response::new(200),
        _ => unknown_listener(),
    }
}

/// `GET`, `HEAD` on a session: says only whether the address is well-formed, not whether the session still exists.
pub(crate) fn session(context: &Context, name: &str, id: &str) -> Response {
    match session_id(context, name, id) {
        Some(_) => Response::new(200).header("Cache-Control", "no-store"),
        None => unknown_listener(),
    }
}

/// One `Link` for each URL of STUN and TURN servers that a listener may use (RFC 9725 §4.6).
pub(crate) fn with_ice_servers(context: &Context, response: Response) -> Response {
    let links = context.ice_servers.iter().flat_map(|server| server.urls.iter().map(move |url| ice_link(url, server)));
    links.fold(response, |response, link| response.header("Link", link))
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

fn station(context: &Context, name: Option<&str>) -> Option<Station> {
    match name {
        None => context.stations.default_station(),
        Some(name) => context.stations.find(&StationName::parse(name)?),
    }
}

fn session_id(context: &Context, name: &str, id: &str) -> Option<SessionId> {
    station(context, Some(name)).and_then(|_| SessionId::parse(id))
}

fn offer(request: &Request, sdp: String, station: &Station) -> Offer {
    let reached_at = reached_at(&request.host);
    Offer { sdp, track: station.track, client: request.client.address.ip(), reached_at }
}

fn patch_of(request: &Request, fragment: String) -> Patch {
    let (client, reached_at) = (request.client.address.ip(), reached_at(&request.host));
    Patch { fragment, if_match: if_match(request), client, reached_at }
}

fn text(body: &[u8], what: &str) -> Result<String, Response> {
    if body.is_empty() {
        return Err(Response::error(ErrorCode::EmptyBody, format!("The body is empty, a {what} was expected.")));
    }
    let code = if what == "offer" { ErrorCode::BadOffer } else { ErrorCode::BadFragment };
    String::from_utf8(body.to_vec()).map_err(|_| Response::error(code, format!("The {what} is not UTF-8 text.")))
}

fn unknown_station() -> Response {
    Response::error(ErrorCode::UnknownStation, "No station of that name is here.")
}

fn unknown_listener() -> Response {
    Response::error(ErrorCode::UnknownListener, "No session of that address is here, or it has ended.")
}

/// The response to an offer to `/whep` or one of its kind.
fn admitted(reply: Result<Admitted, Refusal>, station: &StationName, endpoint: &str) -> Response {
    match reply {
        Ok(Admitted { session, answer, etag }) => Response::new(201)
            .header("Location", routes::session_reference(endpoint, station.as_str(), session))
            .header("ETag", etag)
            .header("Accept-Patch", FRAGMENT)
            .header("Cache-Control", UNCHANGED)
            .body(SDP, answer.into_bytes()),
        Err(refusal) => refused(refusal),
    }
}

/// The response to an offer to `/offer`.
fn answered(reply: Result<Admitted, Refusal>) -> Response {
    match reply {
        Ok(admitted) => Response::json(200, &json!({"sdp": admitted.answer, "type": "answer"})),
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::BadOffer(wrong) => Response::error(ErrorCode::BadOffer, format!("{wrong}.")),
        Refusal::Full => {
            Response::error(ErrorCode::Full, "As many listeners as are allowed are here.").retry_after(FULL_RETRY_S)
        }
        Refusal::FullFromAddress => {
            let message = "As many listeners as one address may have are here.";
            Response::error(ErrorCode::TooManyFromAddress, message).retry_after(FULL_RETRY_S)
        }
        Refusal::TooFast(wait) => too_fast(wait),
        Refusal::NotOnAir => Response::error(ErrorCode::NotOnAir, "The station is not on the air yet.").retry_after(1),
        Refusal::Busy => busy(),
    }
}

fn patched(reply: Result<Patched, PatchRefusal>) -> Response {
    match reply {
        Ok(Patched::Trickled) => Response::new(204),
        Ok(Patched::Restarted { fragment, etag }) => {
            let response = Response::new(200).header("ETag", etag).header("Cache-Control", UNCHANGED);
            response.body(FRAGMENT, fragment.into_bytes())
        }
        Err(PatchRefusal::Unknown) => unknown_listener(),
        Err(PatchRefusal::BadFragment(wrong)) => Response::error(ErrorCode::BadFragment, format!("{wrong}.")),
        Err(PatchRefusal::StaleTag) => {
            Response::error(ErrorCode::StaleTag, "If-Match names an ICE session that is over.")
        }
        Err(PatchRefusal::TagRequired) => Response::error(ErrorCode::TagRequired, "An ICE restart needs If-Match: *."),
        Err(PatchRefusal::Unprocessable(wrong)) => Response::error(ErrorCode::Unprocessable, format!("{wrong}.")),
        Err(PatchRefusal::TooFast(wait)) => too_fast(wait),
        Err(PatchRefusal::Busy) => busy(),
    }
}

fn too_fast(wait: Duration) -> Response {
    let response = Response::error(ErrorCode::TooManyFromAddress, "Requests from this address come too fast.");
    response.retry_after(1 + wait.as_secs().min(60) as u32)
}

fn busy() -> Response {
    Response::error(ErrorCode::Busy, "The server is behind; please try again.").retry_after(1)
}

/// RFC 9110 §13.1.1. It compares strongly, so weak tags never match and are left out, as is everything that is no tag:
/// an empty list matches nothing.
fn if_match(request: &Request) -> IfMatch {
    let Some(value) = request.header("if-match") else { return IfMatch::Absent };
    // RFC 9725's own example has quotes around the star; no tag of ours is a star (RFC 8839 §5.4).
    if matches!(value.trim(), "*" | "\"*\"") {
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

/// Where the client found this host, if it named an address that a host can have. Loopback counts: it says that the client is
/// on this very host, or on one that forwards to it.
fn reached_at(host: &str) -> Option<ReachedAt> {
    let Authority { host, port } = Authority::parse(host)?;
    // RFC 6761 §6.3: this name is loopback everywhere.
    let ip = if host.as_str() == "localhost" { Ipv4Addr::LOCALHOST.into() } else { host.ip()?.to_canonical() };
    let is_no_host = ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST;
    (!is_no_host).then_some(ReachedAt { ip, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::http::client_address::Client;

    fn code(response: &Response) -> String {
        let body: serde_json::Value = serde_json::from_slice(response.body.bytes()).unwrap();
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
            target: "/".into(),
            host: String::new(),
            headers: values.iter().map(|value| ("If-Match".to_owned(), (*value).to_owned())).collect(),
            body: vec![],
            client: Client { address: "127.0.0.1:1".parse().unwrap(), is_secure: false },
            prefix: String::new(),
        })
    }

    #[test]
    fn an_admitted_listener_learns_its_address_and_tag() {
        let response = admitted(Ok(admission()), &StationName::default(), "/whep");
        assert_eq!(response.status, 201);
        assert_eq!(response.find("location"), Some("whep/main/00112233445566778899aabbccddeeff"));
        assert_eq!(response.find("etag"), Some("\"e1\""));
        assert_eq!(response.find("content-type"), Some(SDP));
        assert_eq!(response.find("accept-patch"), Some(FRAGMENT));
        assert_eq!(response.body.bytes(), b"v=0\r\n");
    }

    #[test]
    fn an_offer_as_json_is_answered_as_json() {
        let response = answered(Ok(admission()));
        let body: serde_json::Value = serde_json::from_slice(response.body.bytes()).unwrap();
        assert_eq!((response.status, body), (200, json!({"sdp": "v=0\r\n", "type": "answer"})));
    }

    #[test]
    fn each_refusal_has_its_status_and_says_when_to_try_again() {
        let cases = [
            (Refusal::BadOffer("No audio".into()), 400, "bad-offer", None),
            (Refusal::Full, 503, "full", Some("10")),
            (Refusal::NotOnAir, 409, "not-on-air", Some("1")),
            (Refusal::Busy, 503, "busy", Some("1")),
        ];
        for (refusal, status, expected_code, retry) in cases {
            for response in [admitted(Err(refusal.clone()), &StationName::default(), "/whep"), answered(Err(refusal))] {
                assert_eq!(
                    (response.status, code(&response).as_str(), response.find("retry-after")),
                    (status, expected_code, retry)
                );
            }
        }
        assert!(
            String::from_utf8_lossy(refused(Refusal::BadOffer("No audio".into())).body.bytes()).contains("No audio")
        );
    }

    #[test]
    fn each_outcome_of_a_patch_has_its_status() {
        assert_eq!(patched(Ok(Patched::Trickled)), Response::new(204));
        let restarted = patched(Ok(Patched::Restarted { fragment: "a=x\r\n".into(), etag: "\"e2\"".into() }));
        assert_eq!((restarted.status, restarted.find("etag")), (200, Some("\"e2\"")));
        assert_eq!((restarted.find("content-type"), restarted.body.bytes()), (Some(FRAGMENT), b"a=x\r\n".as_slice()));
        let cases = [
            (PatchRefusal::Unknown, 404, "unknown-listener"),
            (PatchRefusal::BadFragment("?".into()), 400, "bad-fragment"),
            (PatchRefusal::StaleTag, 412, "stale-tag"),
            (PatchRefusal::TagRequired, 428, "tag-required"),
            (PatchRefusal::Unprocessable("?".into()), 422, "unprocessable"),
            (PatchRefusal::Busy, 503, "busy"),
        ];
        for (refusal, status, expected_code) in cases {
            let response = patched(Err(refusal));
            assert_eq!((response.status, code(&response).as_str()), (status, expected_code));
        }
    }

    #[test]
    fn if_match_is_absent_any_or_a_list_of_strong_tags() {
        assert_eq!(with_if_match(&[]), IfMatch::Absent);
        assert_eq!((with_if_match(&[" * "]), with_if_match(&["\"*\""])), (IfMatch::Any, IfMatch::Any));
        assert_eq!(with_if_match(&["\"a\" , \"b,c\""]), IfMatch::Tags(vec!["\"a\"".into(), "\"b,c\"".into()]));
        assert_eq!(with_if_match(&["\"a\"", "\"b\""]), IfMatch::Tags(vec!["\"a\"".into(), "\"b\"".into()]));
        assert_eq!(with_if_match(&["W/\"a\", \"b\""]), IfMatch::Tags(vec!["\"b\"".into()]));
        for nothing in ["W/\"a\"", "a", "\"a", ""] {
            assert_eq!(with_if_match(&[nothing]), IfMatch::Tags(vec![]), "{nothing}");
        }
    }

    #[test]
    fn the_host_says_where_the_server_was_reached_if_it_is_an_address() {
        let at = |ip: &str, port| Some(ReachedAt { ip: ip.parse().unwrap(), port });
        assert_eq!(reached_at("192.0.2.7:8088"), at("192.0.2.7", Some(8088)));
        assert_eq!(reached_at("192.0.2.7"), at("192.0.2.7", None));
        assert_eq!(reached_at("[2001:db8::1]:8088"), at("2001:db8::1", Some(8088)));
        assert_eq!(reached_at("[2001:db8::1]"), at("2001:db8::1", None));
        assert_eq!(reached_at("[::ffff:192.0.2.7]"), at("192.0.2.7", None));
        assert_eq!(reached_at("localhost:8088"), at("127.0.0.1", Some(8088)));
        assert_eq!(reached_at("[::1]:8088"), at("::1", Some(8088)));
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
