//! WHEP as in draft-ietf-wish-whep-03, and the plain `/offer` beside it: every status, header and refusal.

use roomtone::web::transport::limits::Limits;
use str0m::media::{Direction, MediaKind};
use str0m::{Candidate, Rtc};

use crate::harness::http_client::{HttpResponse, code};
use crate::harness::server::{MAX_LISTENERS, Server, Setup};
use crate::harness::wait::wait_until;

pub const SDP: &str = "Content-Type: application/sdp\r\n";
const FRAGMENT: &str = "Content-Type: application/trickle-ice-sdpfrag\r\n";

/// What a browser offers that was asked for sound and pictures, shortened to what matters.
const AUDIO_VIDEO: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
a=ice-ufrag:3Dli\r\na=ice-pwd:e8rGVmqCjU0gzNIBKZF5jSoP\r\na=ice-options:trickle\r\n\
a=fingerprint:sha-256 9E:6D:52:A5:1B:5E:20:0D:F3:EE:9B:AE:73:FE:9C:6A:48:F4:29:9D:2D:09:65:BD:8B:63:0B:15:3B:67:90:66\r\n\
a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=recvonly\r\na=rtcp-mux\r\n\
a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\n\
a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n\
a=rtpmap:126 telephone-event/8000\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
a=ice-ufrag:3Dli\r\na=ice-pwd:e8rGVmqCjU0gzNIBKZF5jSoP\r\na=ice-options:trickle\r\n\
a=fingerprint:sha-256 9E:6D:52:A5:1B:5E:20:0D:F3:EE:9B:AE:73:FE:9C:6A:48:F4:29:9D:2D:09:65:BD:8B:63:0B:15:3B:67:90:66\r\n\
a=setup:actpass\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n\
a=fmtp:97 apt=96\r\n";

pub fn offer() -> String {
    let mut rtc = Rtc::builder().clear_codecs().enable_opus(true, false).build(std::time::Instant::now());
    rtc.add_local_candidate(Candidate::host("127.0.0.1:9".parse().unwrap(), "udp").unwrap());
    let mut change = rtc.sdp_api();
    change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    change.apply().unwrap().0.to_sdp_string()
}

fn post(server: &Server, path: &str, offer: &str) -> HttpResponse {
    server.ask("POST", path, SDP, offer.as_bytes())
}

fn text(response: &HttpResponse) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

fn restart_fragment() -> &'static [u8] {
    b"a=ice-ufrag:WxYz\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
}

fn listeners(server: &Server) -> u64 {
    server.ask("GET", "/api/status", "", b"").json()["rtc"]["sessions"].as_u64().unwrap()
}

#[test]
fn an_offer_is_answered_201_with_all_the_draft_asks_for() {
    let server = Server::open();
    let created = post(&server, "/whep", &offer());
    assert_eq!(created.status, 201, "{}", text(&created));
    assert_eq!(created.field("content-type"), Some("application/sdp"));
    let location = created.field("location").unwrap();
    assert!(location.starts_with("whep/main/") && location.len() == "whep/main/".len() + 32, "{location}");
    for endpoint in ["/whep", "/whep/", "/whep/main", "/whep/main/"] {
        let session = post(&server, endpoint, &offer()).location(endpoint).unwrap();
        assert!(session.starts_with("/whep/main/"), "{endpoint}: {session}");
        assert_eq!(server.ask("DELETE", &session, "", b"").status, 200, "{endpoint}");
    }
    let etag = created.field("etag").unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 4, "{etag}");
    assert_eq!(created.field("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    let exposed = created.field("access-control-expose-headers").unwrap();
    for name in ["Location", "Link", "ETag", "Accept-Patch", "Retry-After"] {
        assert!(exposed.contains(name), "{name} is not exposed: {exposed}");
    }
    let answer = text(&created);
    for needed in ["a=sendonly", "a=ice-lite", " 127.0.0.1 ", "typ host", "a=end-of-candidates", "a=setup:passive"] {
        assert!(answer.contains(needed), "{needed} is missing in {answer}");
    }
    let fmtp = answer.lines().find(|l| l.starts_with("a=fmtp:")).unwrap();
    assert!(fmtp.contains("stereo=1") && fmtp.contains("sprop-stereo=1"), "{fmtp}");
}

#[test]
fn video_is_inactive_inside_a_201_and_sendrecv_becomes_sendonly() {
    let server = Server::open();
    let answer = text(&post(&server, "/whep", AUDIO_VIDEO));
    let media: Vec<&str> = answer.lines().filter(|l| l.starts_with("m=")).collect();
    assert_eq!(media, ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=video 9 UDP/TLS/RTP/SAVPF 96 97"], "{answer}");
    assert!(answer.contains("a=group:BUNDLE 0 1\r\n") && answer.contains("a=inactive\r\n"), "{answer}");
    let both_ways = AUDIO_VIDEO.replace("a=recvonly", "a=sendrecv");
    let answer = text(&post(&server, "/whep/main", &both_ways));
    assert!(answer.contains("a=sendonly") && !answer.contains("a=sendrecv"), "{answer}");
}

#[test]
fn offers_without_candidates_or_with_hidden_ones_only_are_taken() {
    let server = Server::open();
    let bare: String = offer().lines().filter(|l| !l.starts_with("a=candidate")).map(|l| format!("{l}\r\n")).collect();
    assert_eq!(post(&server, "/whep", &bare).status, 201);
    let hidden = bare + "a=candidate:1 1 udp 2113937151 4f6c1e0e-7f0b-4a4e-8f2c-7a0d3b0a9c11.local 53705 typ host\r\n";
    assert_eq!(post(&server, "/whep", &hidden).status, 201);
}

#[test]
fn the_address_that_was_typed_is_a_candidate_for_every_kind_of_offer() {
    let json = serde_json::json!({ "sdp": offer(), "type": "offer" }).to_string();
    for (host, ip, port) in [
        ("203.0.113.9", "203.0.113.9", None),
        ("203.0.113.9:4711", "203.0.113.9", Some(4711)),
        ("[2001:db8::9]:4711", "2001:db8::9", Some(4711)),
    ] {
        let server = Server::open();
        let candidate = format!("{ip} {} typ srflx", port.unwrap_or(server.media.port()));
        for (path, kind, body) in [("/whep", "application/sdp", offer()), ("/offer", "application/json", json.clone())]
        {
            let mut client = server.client();
            let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: ");
            client.send(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes());
            let answer = text(&client.response("POST"));
            assert!(answer.contains(&candidate), "{path} by {host}: {answer}");
        }
    }
}

#[test]
fn candidates_trickle_and_ice_restarts_under_the_right_tag_only() {
    let server = Server::open();
    let created = post(&server, "/whep", AUDIO_VIDEO);
    let (session, etag) = (&*created.location("/whep").unwrap(), created.field("etag").unwrap());
    let patch = |if_match: &str, body: &[u8]| server.ask("PATCH", session, &format!("{FRAGMENT}{if_match}"), body);
    let candidate = b"a=ice-ufrag:3Dli\r\na=ice-pwd:e8rGVmqCjU0gzNIBKZF5jSoP\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n\
        a=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n";
    assert_eq!(patch("", candidate).status, 204);
    assert_eq!(patch(&format!("If-Match: {etag}\r\n"), candidate).status, 204);
    assert_eq!(patch("If-Match: \"another\"\r\n", candidate).error(), code(412, "stale-tag"));
    assert_eq!(patch("", restart_fragment()).error().0, 428);
    assert_eq!(patch("If-Match: \"another\"\r\n", restart_fragment()).error().0, 412);
    assert_eq!(patch("", b"nonsense").error().0, 400);
    assert_eq!(patch("", b"m=audio 9 X 0\r\na=mid:7\r\n").error().0, 422);

    let restarted = patch("If-Match: *\r\n", restart_fragment());
    assert_eq!(restarted.status, 200, "{}", text(&restarted));
    assert_eq!(restarted.field("content-type"), Some("application/trickle-ice-sdpfrag"));
    let fresh = restarted.field("etag").unwrap();
    assert_ne!(fresh, etag);
    assert!(text(&restarted).contains("a=ice-ufrag:") && text(&restarted).contains("a=candidate:"));
    assert_eq!(patch(&format!("If-Match: {etag}\r\n"), restart_fragment()).error().0, 412, "the old tag is stale");
    assert_eq!(patch(&format!("If-Match: {fresh}\r\n"), restart_fragment()).status, 204);
}

#[test]
fn delete_ends_the_session_at_once() {
    let server = Server::open();
    let created = post(&server, "/whep", &offer());
    let session = &*created.location("/whep").unwrap();
    assert_eq!(listeners(&server), 1);
    assert_eq!(server.ask("DELETE", session, "", b"").status, 200);
    wait_until("the session's end", || listeners(&server) == 0);
    assert_eq!(server.ask("DELETE", session, "", b"").error(), code(404, "unknown-listener"));
    assert_eq!(server.ask("PATCH", session, FRAGMENT, restart_fragment()).error(), code(404, "unknown-listener"));
}

#[test]
fn what_cannot_be_served_now_says_when_to_come_again() {
    let server = Server::open();
    let silent = post(&server, "/whep/other", &offer());
    assert_eq!((silent.error(), silent.field("retry-after")), (code(409, "not-on-air"), Some("1")));
    for _ in 0..MAX_LISTENERS {
        assert_eq!(post(&server, "/whep", &offer()).status, 201);
    }
    let full = post(&server, "/whep", &offer());
    assert_eq!(full.error(), code(503, "full"));
    assert!(full.field("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(post(&server, "/whep/nowhere", &offer()).error().0, 404);
}

#[test]
fn an_unusable_offer_is_400_and_the_body_names_what_is_wrong() {
    let server = Server::open();
    let video_only = AUDIO_VIDEO.replace("m=audio", "m=video");
    let sending = AUDIO_VIDEO.replace("a=recvonly", "a=sendonly");
    let no_fingerprint: String =
        AUDIO_VIDEO.lines().filter(|l| !l.starts_with("a=fingerprint")).map(|l| format!("{l}\r\n")).collect();
    let garbled = AUDIO_VIDEO.replace("o=- ", "q=- ");
    let cases = [
        (garbled.as_str(), "SDP"),
        ("hello", "hello"),
        (video_only.as_str(), "audio"),
        (sending.as_str(), "receive"),
        (no_fingerprint.as_str(), "fingerprint"),
    ];
    for (offer, named) in cases {
        let refused = post(&server, "/whep", offer);
        assert_eq!(refused.error(), code(400, "bad-offer"));
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(named), "{message}");
        assert!(
            !message.contains("0x") && message.lines().count() == 1,
            "the message shows memory or spans lines: {message}"
        );
    }
    assert_eq!(listeners(&server), 0);
}

#[test]
fn a_json_offer_is_answered_in_json() {
    let server = Server::open();
    let body = serde_json::json!({ "sdp": offer(), "type": "offer", "anything": "else" }).to_string();
    let response = server.ask("POST", "/offer", "Content-Type: application/json\r\n", body.as_bytes());
    assert_eq!(response.status, 200, "{}", text(&response));
    let json = response.json();
    assert_eq!(json["type"], "answer");
    assert!(json["sdp"].as_str().unwrap().contains("a=sendonly"));
}

#[test]
fn whep_is_there_and_takes_sdp_only() {
    let server = Server::open();
    let got = server.ask("GET", "/whep", "", b"");
    assert_eq!((got.status, got.body.len()), (200, 0));
    let head = server.ask("HEAD", "/whep/other", "", b"");
    assert_eq!((head.status, head.field("content-type")), (200, Some("application/sdp")));

    let wrong = server.ask("POST", "/whep", "Content-Type: text/plain\r\n", b"v=0");
    assert_eq!((wrong.error(), wrong.field("accept-post")), (code(415, "wrong-type"), Some("application/sdp")));
    assert_eq!(server.ask("POST", "/whep", "", b"v=0").error(), code(415, "wrong-type"));
    let sdp = "Content-Type: Application/SDP; charset=utf-8\r\n";
    assert_eq!(server.ask("POST", "/whep", sdp, b"").error(), code(400, "empty-body"));
    assert_eq!(server.ask("POST", "/whep", sdp, b"\xff").error(), code(400, "bad-offer"));
}

#[test]
fn a_session_takes_fragments_only_and_a_malformed_id_is_404() {
    let server = Server::open();
    let session = "/whep/main/00112233445566778899aabbccddeeff";
    let wrong = server.ask("PATCH", session, "Content-Type: application/sdp\r\n", b"x");
    assert_eq!(wrong.error(), code(415, "wrong-type"));
    assert_eq!(wrong.field("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    assert_eq!(server.ask("GET", session, "", b"").status, 200);
    assert_eq!(server.ask("DELETE", session, "", b"").error(), code(404, "unknown-listener"));
    for nowhere in
        ["/whep/main/xyz", "/whep/main/00112233445566778899AABBCCDDEEFF", "/whep/no/00112233445566778899aabbccddeeff"]
    {
        assert_eq!(server.ask("GET", nowhere, "", b"").error(), code(404, "unknown-listener"), "{nowhere}");
    }
}

#[test]
fn an_offer_as_json_must_be_json_of_an_offer() {
    let server = Server::open();
    let json = "Content-Type: application/json\r\n";
    let offer = br#"{"sdp": "v=0", "type": "offer"}"#;
    assert_eq!(
        server.ask("POST", "/offer", "Content-Type: application/sdp\r\n", offer).error(),
        code(415, "wrong-type")
    );
    assert_eq!(server.ask("POST", "/offer", json, b"").error(), code(400, "empty-body"));
    assert_eq!(server.ask("POST", "/offer", json, b"{\"sdp\": 1}").error(), code(400, "bad-json"));
    assert_eq!(server.ask("POST", "/offer", json, b"\xff\xfe").error(), code(400, "bad-json"));
    let text = format!("\"{}\"", "secret".repeat(10_000));
    let refused = server.ask("POST", "/offer", json, text.as_bytes());
    assert!(refused.status == 400 && refused.body.len() < 200, "what was sent is not sent back");
    let answer = br#"{"sdp": "v=0", "type": "answer"}"#;
    assert_eq!(server.ask("POST", "/offer", json, answer).error(), code(400, "bad-offer"));
}

#[test]
fn offers_and_patches_that_come_too_fast_are_told_when_to_come_again() {
    let server = Server::start(Setup { limits: Limits { offers_per_s: 1, ..Limits::default() }, ..Setup::default() });
    let location = post(&server, "/whep", &offer()).location("/whep").unwrap();
    let responses: Vec<_> = (0..7)
        .map(|_| {
            let response = post(&server, "/whep", &offer());
            if let Some(session) = response.location("/whep") {
                server.ask("DELETE", &session, "", b"");
            }
            response
        })
        .collect();
    let admitted = responses.iter().take_while(|response| response.status == 201).count();
    assert!((4..7).contains(&admitted), "{admitted} offers at once");
    let refused = &responses[admitted];
    assert_eq!(refused.error(), code(429, "too-many-from-address"));
    assert!(refused.field("retry-after").is_some());
    let json = serde_json::json!({"sdp": offer(), "type": "offer"}).to_string();
    let refused = server.ask("POST", "/offer", "Content-Type: application/json\r\n", json.as_bytes());
    assert_eq!(refused.error(), code(429, "too-many-from-address"));
    let restart = |nth: u32| {
        let fragment = format!("a=ice-ufrag:ufrag{nth}\r\na=ice-pwd:0123456789012345678901\r\n");
        server.ask("PATCH", &location, &format!("{FRAGMENT}If-Match: *\r\n"), fragment.as_bytes())
    };
    let responses: Vec<_> = (0..20).map(restart).collect();
    assert_eq!(responses[0].status, 200);
    let refused = responses.iter().find(|response| response.status != 200).expect("one that is refused");
    assert_eq!(refused.error(), code(429, "too-many-from-address"));
    assert!(refused.field("retry-after").is_some());
}
