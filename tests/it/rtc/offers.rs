//! Offers as other programs make them: what they are answered, why they are refused, and that their clients hear something.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use roomtone::ids::session::SessionId;
use roomtone::rtc::ice::candidates;
use roomtone::rtc::ice::credentials::LocalCredentials;
use roomtone::rtc::session::{Reason, Session};
use str0m::Rtc;

use crate::fuzz::bodies::rtc::answer_rules;
use crate::harness::virtual_network::{VirtualNetwork, client_engine};

const FINGERPRINT: &str = "a=fingerprint:sha-256 9E:6D:52:A5:1B:5E:20:0D:F3:EE:9B:AE:73:FE:9C:6A:48:F4:29:9D:2D:09:65:BD:8B:63:\
0B:15:3B:67:90:66\r\n";

/// An offer of one section, with this as its m= line and these lines behind.
fn one_section(head: &str, lines: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{FINGERPRINT}a=ice-ufrag:Kd2f\r\na=ice-pwd:4Wq2N0hVYp7JrQ3sZcTg8LxB\r\n\
         {head}\r\na=mid:0\r\n{lines}a=rtpmap:111 opus/48000/2\r\n"
    )
}

fn audio(lines: &str) -> String {
    one_section("m=audio 9 UDP/TLS/RTP/SAVPF 111", lines)
}

fn answer(offer: &str) -> Result<String, String> {
    let candidates = candidates::lines(&["192.0.2.1:8088".parse().unwrap()], &[]);
    let profile = VirtualNetwork::new(0, 0, 0).profile;
    let local = LocalCredentials::random();
    Session::accept(SessionId::random(0), offer, &profile, local, &candidates, Instant::now()).map(|(_, answer)| answer)
}

fn seeds() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/offer");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_sdp = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "sdp");
    let read = |path: std::path::PathBuf| {
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
    };
    entries.filter(is_sdp).map(read).collect()
}

/// The m= lines of an answer without their formats, each with its direction.
fn sections(answer: &str) -> Vec<String> {
    let sections = answer.split("\r\nm=").skip(1);
    let short = |section: &str| {
        let words: Vec<_> = section.split(' ').take(2).collect();
        let direction = ["sendonly", "inactive"].into_iter().find(|d| section.contains(&format!("\r\na={d}\r\n")));
        format!("{} {}", words.join(" "), direction.unwrap_or("-"))
    };
    sections.map(short).collect()
}

#[test]
fn every_offer_of_another_program_is_answered_by_the_rules() {
    let seeds = seeds();
    assert!(seeds.len() >= 40, "{} offers", seeds.len());
    for (name, offer) in seeds {
        for offer in [offer.clone(), offer.replace("\r\n", "\n"), offer.replace("\r\n", " \r\n\r\n")] {
            let answer = answer(&offer).unwrap_or_else(|error| panic!("{name}: {error}"));
            answer_rules::check(&offer, &answer);
        }
    }
}

#[test]
fn sections_that_carry_nothing_stay_in_the_tracks_group_and_leave_it_alone_elsewhere() {
    let expected = [
        ("chromium-max-bundle-video-audio", "video 9 inactive, audio 9 sendonly"),
        ("chromium-balanced-data-audio-video", "audio 9 sendonly, video 9 inactive, application 0 -"),
        ("mediamtx-video-first", "video 9 inactive, audio 9 sendonly"),
        ("bundle-only-audio", "video 9 inactive, audio 9 sendonly"),
        ("gstreamer-none-video-audio", "video 0 inactive, audio 9 sendonly"),
        ("gstreamer-max-bundle-video-audio", "video 9 inactive, audio 9 sendonly"),
        ("esp32-esp-peer", "audio 9 sendonly, application 0 -"),
        ("talkback-two-audio", "audio 0 inactive, audio 9 sendonly"),
        ("chromium-max-bundle-audio-sendonly-audio", "audio 9 inactive, audio 9 sendonly"),
    ];
    let seeds = seeds();
    for (name, expected) in expected {
        let (_, offer) = seeds.iter().find(|(its, _)| its == name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(sections(&answer(offer).unwrap()).join(", "), expected, "{name}");
    }
    // A data channel that has the group's transport: to refuse it would refuse the group.
    let (_, offer) = seeds.iter().find(|(name, _)| name == "chromium-max-bundle-data-audio-video").unwrap();
    let application_first = offer.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 2 0 1");
    let answer = answer(&application_first).unwrap();
    assert!(answer.contains("a=group:BUNDLE 2 0 1\r\n") && answer.contains("m=application 9 "), "{answer}");
    assert!(answer.contains("a=sctp-port:5000\r\n"), "{answer}");
}

#[test]
fn an_answer_has_nothing_that_was_not_offered() {
    let plain = answer(&audio("")).unwrap();
    for absent in ["group", "extmap", "rtcp-fb", "ice-options", "allow-mixed", "msid-semantic", "rtcp-rsize"] {
        assert!(!plain.contains(absent), "{absent} in {plain}");
    }
    let offered = audio(
        "a=rtcp-fb:* nack\r\na=ice-options:ice2 trickle\r\na=extmap:3/recvonly urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
    );
    let full = answer(&offered.replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0\r\n")).unwrap();
    for present in [
        "a=group:BUNDLE 0",
        "a=extmap:3/sendonly urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=rtcp-fb:111 nack",
        "a=ice-options:trickle",
    ] {
        assert!(full.contains(&format!("\r\n{present}\r\n")), "{present} is missing in {full}");
    }
    for unusable in ["15", "0", "x", "3/sendonly"] {
        let extension = format!("a=extmap:{unusable} urn:ietf:params:rtp-hdrext:sdes:mid\r\n");
        assert!(!answer(&audio(&extension)).unwrap().contains("extmap"), "{unusable}");
    }
}

#[test]
fn what_cannot_be_served_is_refused_with_line_and_reason() {
    let without_fingerprint = audio("").replace(FINGERPRINT, "");
    let hash = |hash: &str| audio("").replace("sha-256", hash);
    let two = audio("") + "m=audio 9 RTP/AVP 111\r\na=mid:0\r\n";
    let cases = [
        (String::new(), "v=0"),
        ("hello".into(), "line 1, `hello`, is not a line of SDP"),
        ("v=0\r\n".into(), "no media section"),
        (audio("").replace("m=audio", "m=video"), "no audio section"),
        (
            audio("").replace("opus/48000/2", "opus/16000/2"),
            "line 8, `m=audio 9 UDP/TLS/RTP/SAVPF 111`, does not offer Opus",
        ),
        (audio("a=sendonly\r\n"), "does not want to receive"),
        (audio("a=inactive\r\n"), "does not want to receive"),
        (one_section("m=audio 0 UDP/TLS/RTP/SAVPF 111", ""), "is switched off (port 0)"),
        (one_section("m=audio 9 UDP/MBMS-FEC 111", ""), "is not RTP"),
        (one_section("m=audio 9", ""), "is not complete"),
        (audio("").replace("a=mid:0", &format!("a=mid:{}", "x".repeat(65))), "has an a=mid"),
        (audio("").replace("a=mid:0", "a=mid:ä"), "has an a=mid"),
        (two, "has the a=mid of another section"),
        (
            audio("").replace("a=ice-ufrag:Kd2f\r\n", ""),
            "line 6, `a=ice-pwd:4Wq2N0hVYp7JrQ3sZcTg8LxB`, has no a=ice-ufrag",
        ),
        (audio("").replace("a=ice-", "a=x-"), "no a=ice-ufrag and a=ice-pwd"),
        (audio("").replace("Kd2f", "K d"), "letters, digits"),
        (without_fingerprint, "no a=fingerprint"),
        (hash("sha-1"), "names no hash function that is checked here"),
        (hash("sha-512"), "is not a digest"),
        (audio("a=setup:holdconn\r\n"), "`a=setup:holdconn`, is not actpass"),
        (audio("").replace("t=0 0", "a=ice-lite"), "ICE-lite"),
        (audio("").replace("t=0 0", "q=0 0"), "line 4, `q=0 0`, is not a line of SDP"),
    ];
    for (offer, expected) in cases {
        let error = answer(&offer).expect_err(expected);
        assert!(error.contains(expected), "expected {expected:?}, got {error:?}");
        assert!(error.chars().count() < 200, "{error}");
    }
}

/// What is done to an offer on its way.
type Change<'a> = &'a dyn Fn(&str) -> String;

/// The station's packets that a client hears in two seconds whose offer is changed on its way, and how its session ended.
fn heard(client: Rtc, change: Change<'_>) -> (usize, Option<Reason>) {
    let mut network = VirtualNetwork::new(7, 0, 0);
    let n = network.add(None, client, change);
    network.run(Duration::from_secs(2));
    (network.clients[n].packets.len(), network.ended.first().map(|(_, reason)| *reason))
}

#[test]
fn clients_hear_the_station_in_either_role_of_dtls_and_with_odd_lines() {
    let changes: [(&str, Change<'_>); 4] = [
        ("waits for DTLS", &|offer| offer.replace("a=setup:actpass", "a=setup:passive")),
        ("begins DTLS", &|offer| offer.replace("a=setup:actpass", "a=setup:active")),
        ("without setup", &|offer| offer.replace("a=setup:actpass\r\n", "")),
        ("odd lines", &|offer| offer.replace("a=mid:", "b=AS:1\r\nb=TIAS:2\r\nc=IN IP6 ::\r\nk=prompt\r\na=mid:")),
    ];
    for (what, change) in changes {
        let (packets, ended) = heard(client_engine(Instant::now()), change);
        assert!(packets > 50 && ended.is_none(), "{what}: {packets} packets, ended {ended:?}");
    }
}

#[test]
fn a_certificate_is_checked_by_whatever_hash_function_was_offered() {
    let certificate = str0m::crypto::from_feature_flags().dtls_provider.generate_certificate().unwrap();
    let client = || {
        let engine = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false);
        engine.set_dtls_cert(certificate.clone()).build(Instant::now())
    };
    let line = |name: &str, algorithm: &'static digest::Algorithm, certificate: &[u8]| {
        let digest = digest::digest(algorithm, certificate);
        let digits: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        format!("a=fingerprint:{name} {}\r\n", digits.join(":"))
    };
    let lines = |sha_256: &[u8], sha_512: &[u8]| {
        line("sha-256", &digest::SHA256, sha_256) + &line("SHA-512", &digest::SHA512, sha_512)
    };
    let genuine = certificate.certificate.as_slice();
    let with = |fingerprints: String| {
        heard(client(), &move |offer| {
            let kept = offer.lines().filter(|line| !line.starts_with("a=fingerprint"));
            kept.map(|line| format!("{line}\r\n")).collect::<String>() + &fingerprints
        })
    };
    let several = || line("sha-256", &digest::SHA256, b"another") + &line("sha-256", &digest::SHA256, genuine);
    for good in
        [line("sha-384", &digest::SHA384, genuine), lines(genuine, genuine), lines(b"another", genuine), several()]
    {
        let (packets, ended) = with(good.clone());
        assert!(packets > 50 && ended.is_none(), "{good}: {packets} packets, ended {ended:?}");
    }
    for bad in [line("sha-384", &digest::SHA384, b"another"), lines(genuine, b"another")] {
        assert_eq!(with(bad.clone()).0, 0, "{bad}");
    }
}
