//! SDP as text: reduces an offer to the one section that a listener needs, and completes the answer.
//!
//! Pure. The engine (str0m) negotiates the audio section; everything around it is decided here: video is rejected, the answer
//! is `sendonly`, ICE is our own agent's, ICE fragments are read and written. Remote candidates are read and dropped: this is
//! an ICE-lite agent (RFC 8445 §2.5), which waits for checks. Nothing here is kept once the answer is written.

use std::fmt::Write;

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::observe::sentence::Quoted;
use crate::rtc::ice::credentials::{LocalCredentials, RemoteCredentials};

/// Longest accepted a=mid. Browsers use one or two digits.
const MID_BYTES: usize = 16;

/// A section that the answer rejects (RFC 3264 §6: same media, port zero).
#[derive(Debug)]
struct RejectedSection {
    media: String,
    protocol: String,
    formats: String,
    mid: Option<String>,
}

/// The digest of a certificate by SHA-256, as `a=fingerprint` has it (RFC 8122 §5).
pub type Fingerprint = [u8; 32];

/// An offer, reduced to the audio section that will carry the track.
#[derive(Debug)]
pub struct AudioOffer {
    /// Session part and one audio section, `recvonly`, without candidates: what the engine reads.
    text: String,
    /// The client's ICE credentials.
    pub credentials: RemoteCredentials,
    /// The client's certificate, if it says so by SHA-256.
    pub fingerprint: Option<Fingerprint>,
    /// The payload type of Opus, if the client would report lost packets (RFC 4585 §4.2).
    nack: Option<String>,
    /// Which of the offer's sections it was.
    index: usize,
    rejected: Vec<RejectedSection>,
}

/// The content of an `application/trickle-ice-sdpfrag` (RFC 8840 §9).
#[derive(Debug, PartialEq, Eq)]
pub struct IceFragment {
    /// The client's ICE credentials, if given.
    pub credentials: Option<RemoteCredentials>,
    /// The section it is about, if it says so.
    pub mid: Option<String>,
}

impl AudioOffer {
    /// Reads an offer.
    ///
    /// # Errors
    /// A sentence for the client that says why nothing can be sent in answer to it.
    pub fn parse(offer: &str) -> Result<AudioOffer, String> {
        let mut sections = split_sections(offer)?;
        let session = sections.remove(0);
        if sections.is_empty() {
            return Err("the offer has no media section".into());
        }
        let index = audio_section(&sections, &session)?;
        let audio = sections.remove(index);
        let mid = attribute(&audio, "mid").ok_or("the audio section has no a=mid")?.to_owned();
        // The engine keeps 16 bytes of it; a truncated mid would answer another section (RFC 9143 §9.1).
        if !(1..=MID_BYTES).contains(&mid.len()) || !mid.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("the audio section's a=mid is not 1 to {MID_BYTES} plain characters"));
        }
        let credentials = credentials(&audio, LENIENT)?.or(credentials(&session, LENIENT)?);
        let rejected = sections.iter().map(|lines| RejectedSection::of(lines)).collect::<Result<_, _>>()?;
        Ok(AudioOffer {
            text: engine_offer(&session, &audio, &mid),
            credentials: credentials.ok_or("the offer has no a=ice-ufrag and a=ice-pwd")?,
            fingerprint: fingerprint(&audio).or_else(|| fingerprint(&session)),
            nack: nack(&audio),
            index,
            rejected,
        })
    }

    /// The offer as the engine reads it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The full answer: the engine's audio section at its place with our own ICE agent's credentials and candidates, every
    /// other section rejected.
    pub fn answer(&self, engine_answer: &str, local: &LocalCredentials, candidates: &[String]) -> String {
        let (session, audio) = match engine_answer.find("m=") {
            Some(at) => engine_answer.split_at(at),
            None => (engine_answer, ""),
        };
        let mut answer = String::with_capacity(engine_answer.len() + 256);
        answer.push_str(session);
        for section in &self.rejected[..self.index.min(self.rejected.len())] {
            section.write_to(&mut answer);
        }
        for line in audio.lines() {
            match line {
                l if l.starts_with("a=ice-ufrag:") => push_line(&mut answer, &format!("a=ice-ufrag:{}", local.ufrag)),
                l if l.starts_with("a=ice-pwd:") => push_line(&mut answer, &format!("a=ice-pwd:{}", local.password)),
                l if l.starts_with("a=candidate:") || l == "a=end-of-candidates" => {}
                l => push_line(&mut answer, l),
            }
            if let Some(number) = opus(line).filter(|number| self.nack.as_deref() == Some(number)) {
                push_line(&mut answer, &format!("a=rtcp-fb:{number} nack"));
            }
        }
        candidates.iter().for_each(|line| push_line(&mut answer, line));
        push_line(&mut answer, "a=end-of-candidates");
        for section in &self.rejected[self.index.min(self.rejected.len())..] {
            section.write_to(&mut answer);
        }
        answer
    }
}

impl RejectedSection {
    fn of(lines: &[&str]) -> Result<RejectedSection, String> {
        let [media, _port, protocol, formats] = media_line(lines)?;
        Ok(RejectedSection {
            media: media.to_owned(),
            protocol: protocol.to_owned(),
            formats: formats.to_owned(),
            mid: attribute(lines, "mid").map(str::to_owned),
        })
    }

    fn write_to(&self, answer: &mut String) {
        push_line(answer, &format!("m={} 0 {} {}", self.media, self.protocol, self.formats));
        push_line(answer, "c=IN IP4 0.0.0.0");
        if let Some(mid) = &self.mid {
            push_line(answer, &format!("a=mid:{mid}"));
        }
        push_line(answer, "a=inactive");
    }
}

impl IceFragment {
    /// Reads a fragment. Candidates must look like candidates, although none of them is used.
    ///
    /// # Errors
    /// A sentence for the client.
    pub fn parse(text: &str) -> Result<IceFragment, String> {
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
        if lines.is_empty() {
            return Err("the fragment is empty".into());
        }
        if let Some(odd) = lines.iter().find(|l| !is_sdp_line(l)) {
            return Err(format!("`{}` is not a line of an SDP fragment", Quoted(odd)));
        }
        if let Some(odd) =
            lines.iter().filter_map(|l| l.strip_prefix("a=candidate:")).find(|c| c.split(' ').count() < 8)
        {
            return Err(format!("`{}` is not a candidate", Quoted(odd)));
        }
        Ok(IceFragment { credentials: credentials(&lines, STRICT)?, mid: attribute(&lines, "mid").map(str::to_owned) })
    }
}

/// The fragment that answers an ICE restart (RFC 9725 §4.3.3) of the section with this mid. The formats of its m= line mean
/// nothing (RFC 8840 §9).
pub fn answer_fragment(mid: &str, local: &LocalCredentials, candidates: &[String]) -> String {
    let mut fragment = String::new();
    push_line(&mut fragment, "a=ice-lite");
    push_line(&mut fragment, "m=audio 9 UDP/TLS/RTP/SAVPF 0");
    push_line(&mut fragment, &format!("a=mid:{mid}"));
    push_line(&mut fragment, &format!("a=ice-ufrag:{}", local.ufrag));
    push_line(&mut fragment, &format!("a=ice-pwd:{}", local.password));
    candidates.iter().for_each(|line| push_line(&mut fragment, line));
    push_line(&mut fragment, "a=end-of-candidates");
    fragment
}

/// Least characters of user fragment and password: as RFC 8839 §5.4 has it, and as offers have it that play elsewhere.
const STRICT: [usize; 2] = [4, 22];
const LENIENT: [usize; 2] = [1, 1];

/// The ICE credentials among these lines, if there are any.
fn credentials(lines: &[&str], [least_ufrag, least_password]: [usize; 2]) -> Result<Option<RemoteCredentials>, String> {
    let (ufrag, password) = match (attribute(lines, "ice-ufrag"), attribute(lines, "ice-pwd")) {
        (Some(ufrag), Some(password)) => (ufrag, password),
        (None, None) => return Ok(None),
        _ => return Err("a=ice-ufrag and a=ice-pwd belong together".into()),
    };
    if !is_ice_chars(ufrag, least_ufrag) || !is_ice_chars(password, least_password) {
        return Err("a=ice-ufrag or a=ice-pwd is too short, too long or has odd characters".into());
    }
    Ok(Some(RemoteCredentials { ufrag: ufrag.to_owned(), password: password.to_owned() }))
}

/// The digest by SHA-256 among these lines.
fn fingerprint(lines: &[&str]) -> Option<Fingerprint> {
    let digests = lines.iter().filter_map(|l| l.strip_prefix("a=fingerprint:")?.split_once(' '));
    let (_, digest) = digests.into_iter().find(|(hash, _)| hash.eq_ignore_ascii_case("sha-256"))?;
    HEXLOWER_PERMISSIVE.decode(digest.trim().replace(':', "").as_bytes()).ok()?.try_into().ok()
}

fn split_sections(offer: &str) -> Result<Vec<Vec<&str>>, String> {
    let mut sections: Vec<Vec<&str>> = vec![vec![]];
    for line in offer.lines().map(str::trim_end).filter(|l| !l.is_empty()) {
        if !is_sdp_line(line) {
            return Err(format!("`{}` is not a line of SDP", Quoted(line)));
        }
        if line.starts_with("m=") {
            sections.push(vec![]);
        }
        if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    if sections[0].first() != Some(&"v=0") {
        return Err("the body is not SDP: it does not begin with v=0".into());
    }
    Ok(sections)
}

/// The section that will carry the track: the first that wants to receive Opus.
fn audio_section(sections: &[Vec<&str>], session: &[&str]) -> Result<usize, String> {
    let mut problem = "the offer has no audio section";
    for (index, lines) in sections.iter().enumerate() {
        let [media, port, ..] = media_line(lines)?;
        if media != "audio" {
            continue;
        }
        if port == "0" && !lines.contains(&"a=bundle-only") {
            problem = "the audio section is switched off (port 0)";
        } else if !lines.iter().any(|l| opus(l).is_some()) {
            problem = "the audio section does not offer Opus at 48 kHz, the only codec there is here";
        } else if !wants_to_receive(lines, session) {
            problem = "the audio section does not want to receive (it must be recvonly or sendrecv)";
        } else {
            return Ok(index);
        }
    }
    Err(problem.into())
}

/// RFC 8866 §6.7: a section's own direction, else the session's, else `sendrecv`.
fn wants_to_receive(lines: &[&str], session: &[&str]) -> bool {
    let direction = |lines: &[&str]| lines.iter().copied().find(|l| is_direction(l)).map(str::to_owned);
    let direction = direction(lines).or_else(|| direction(session));
    matches!(direction.as_deref(), None | Some("a=recvonly" | "a=sendrecv"))
}

/// RFC 9143 §15.1.
const MID_EXTENSION: &str = " urn:ietf:params:rtp-hdrext:sdes:mid";

/// The payload type of Opus, if the section asks for NACK with it.
fn nack(audio: &[&str]) -> Option<String> {
    let opus = audio.iter().find_map(|l| opus(l))?;
    let asked = audio.iter().filter_map(|l| l.strip_prefix("a=rtcp-fb:")?.strip_suffix(" nack"));
    asked.into_iter().any(|to| to == opus || to == "*").then(|| opus.to_owned())
}

/// The payload type, if a line says that it is Opus (RFC 7587 §7).
fn opus(line: &str) -> Option<&str> {
    let (number, codec) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
    codec.to_ascii_lowercase().starts_with("opus/48000").then_some(number)
}

fn engine_offer(session: &[&str], audio: &[&str], mid: &str) -> String {
    let mut text = String::with_capacity(2048);
    for line in session.iter().filter(|l| !l.starts_with("a=group:") && !is_direction(l)) {
        push_line(&mut text, line);
    }
    push_line(&mut text, &format!("a=group:BUNDLE {mid}"));
    for line in audio {
        match *line {
            // The port means nothing with ICE, but zero would mean "refused" once the section stands alone.
            l if l.starts_with("m=audio 0 ") => push_line(&mut text, &l.replacen("m=audio 0 ", "m=audio 9 ", 1)),
            l if is_direction(l) || l == "a=bundle-only" || l == "a=end-of-candidates" => {}
            l if l.starts_with("a=candidate:") || l.starts_with("a=ssrc") || l.starts_with("a=msid:") => {}
            // Reports and extensions that would tell nothing that is acted upon; the engine would spend time on them.
            l if l.starts_with("a=rtcp-fb:") || (l.starts_with("a=extmap:") && !l.ends_with(MID_EXTENSION)) => {}
            l => push_line(&mut text, l),
        }
    }
    push_line(&mut text, "a=recvonly");
    // It is kept for as long as the session lives.
    text.shrink_to_fit();
    text
}

/// `m=<media> <port> <proto> <fmt> …` (RFC 8866 §5.14).
fn media_line<'a>(lines: &[&'a str]) -> Result<[&'a str; 4], String> {
    let parts = lines.first().and_then(|l| l.strip_prefix("m=")).map(|l| l.splitn(4, ' ').collect::<Vec<_>>());
    match parts.as_deref() {
        Some(&[media, port, protocol, formats]) => Ok([media, port, protocol, formats]),
        _ => Err("an m= line is not complete".into()),
    }
}

fn attribute<'a>(lines: &[&'a str], name: &str) -> Option<&'a str> {
    lines.iter().find_map(|l| l.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}

fn is_direction(line: &str) -> bool {
    matches!(line, "a=sendrecv" | "a=recvonly" | "a=sendonly" | "a=inactive")
}

fn is_sdp_line(line: &str) -> bool {
    matches!(line.as_bytes(), [b'a'..=b'z', b'=', ..])
}

/// `ice-char` is ALPHA, DIGIT, `+` or `/`; 256 at the most (RFC 8839 §5.4).
fn is_ice_chars(text: &str, least: usize) -> bool {
    (least..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

fn push_line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{line}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIO_VIDEO: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:0\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        a=candidate:1 1 udp 1 10.0.0.1 5 typ host\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n";

    fn answered(offer: &str, engine_answer: &str) -> String {
        AudioOffer::parse(offer).unwrap().answer(engine_answer, &LocalCredentials::random(), &[])
    }

    #[test]
    fn video_is_rejected_in_place_and_audio_is_kept() {
        let offer = AudioOffer::parse(AUDIO_VIDEO).unwrap();
        assert!(offer.text().contains("a=group:BUNDLE 1\r\n") && offer.text().contains("a=recvonly\r\n"));
        assert!(!offer.text().contains("video") && !offer.text().contains("candidate"));
        let engine_answer = "v=0\r\na=group:BUNDLE 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n";
        let answer = offer.answer(engine_answer, &LocalCredentials::random(), &[]);
        let lines: Vec<&str> = answer.lines().filter(|l| l.starts_with("m=")).collect();
        assert_eq!(lines, ["m=video 0 UDP/TLS/RTP/SAVPF 96 97", "m=audio 9 UDP/TLS/RTP/SAVPF 111"]);
    }

    #[test]
    fn nack_is_answered_if_it_was_offered_and_unused_attributes_are_left_out() {
        let asking = AUDIO_VIDEO.to_owned()
            + "a=rtcp-fb:111 transport-cc\r\na=rtcp-fb:111 nack\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
               a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";
        let engine_answer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n";
        let promised = |offer: &str| answered(offer, engine_answer).contains("a=rtcp-fb:111 nack\r\n");
        assert!(promised(&asking) && promised(&asking.replace("fb:111 nack", "fb:* nack")));
        assert!(!promised(AUDIO_VIDEO) && !promised(&asking.replace("111 nack", "111 nack pli")));
        let offer = AudioOffer::parse(&asking).unwrap();
        assert!(offer.text().contains("sdes:mid") && !offer.text().contains("level"));
        assert!(!offer.text().contains("rtcp-fb"));
    }

    #[test]
    fn an_unusable_offer_is_refused_with_the_reason() {
        let cases = [
            ("", "v=0"),
            ("hello", "`hello` is not a line of SDP"),
            ("v=0\r\n", "no media section"),
            ("v=0\r\nm=video 9 X 1\r\na=mid:0\r\n", "no audio section"),
            ("v=0\r\nm=audio 9 X 0\r\na=mid:0\r\na=rtpmap:0 PCMU/8000\r\n", "Opus"),
            (
                "v=0\r\nm=audio 9 X 1\r\na=mid:0\r\na=rtpmap:1 opus/48000/2\r\na=sendonly\r\n",
                "does not want to receive",
            ),
            ("v=0\r\nm=audio 0 X 1\r\na=mid:0\r\na=rtpmap:1 opus/48000/2\r\n", "switched off"),
            ("v=0\r\nm=audio 9 X 1\r\na=rtpmap:1 opus/48000/2\r\n", "a=mid"),
            ("v=0\r\nm=audio\r\n", "m= line"),
            ("v=0\r\nm=audio 9 X 1\r\na=mid:12345678901234567\r\na=rtpmap:1 opus/48000/2\r\n", "a=mid"),
            ("v=0\r\nm=audio 9 X 1\r\na=mid:\r\na=rtpmap:1 opus/48000/2\r\n", "a=mid"),
        ];
        for (offer, expected) in cases {
            let error = AudioOffer::parse(offer).unwrap_err();
            assert!(error.contains(expected), "{offer:?} gave {error:?}");
        }
    }

    #[test]
    fn fragments_are_read_or_refused() {
        let restart = "a=ice-ufrag:wxyz\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 X 0\r\na=mid:0\r\n";
        let credentials =
            Some(RemoteCredentials { ufrag: "wxyz".to_owned(), password: "0123456789012345678901".to_owned() });
        let mid = Some("0".to_owned());
        assert_eq!(IceFragment::parse(restart), Ok(IceFragment { credentials, mid: mid.clone() }));
        let trickle = "m=audio 9 X 0\r\na=mid:0\r\na=candidate:1 1 udp 1 x.local 5 typ host\r\na=end-of-candidates\r\n";
        assert_eq!(IceFragment::parse(trickle), Ok(IceFragment { credentials: None, mid }));
        for bad in ["", "nonsense", "a=ice-ufrag:abcd", "a=candidate:1", "a=ice-ufrag:a\r\na=ice-pwd:b"] {
            assert!(IceFragment::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_answer_has_our_own_agents_credentials_and_candidates() {
        let engine_answer = "v=0\r\na=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=ice-ufrag:engine\r\n\
            a=ice-pwd:engines\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\na=setup:passive\r\n";
        let local = LocalCredentials::random();
        let candidates = ["a=candidate:1 1 udp 2 192.168.1.5 8088 typ host".to_owned()];
        let answer = AudioOffer::parse(AUDIO_VIDEO).unwrap().answer(engine_answer, &local, &candidates);
        assert!(!answer.contains("engine") && !answer.contains("192.0.2.1"), "{answer}");
        let fragment = answer_fragment("1", &local, &candidates);
        for text in [&answer, &fragment] {
            let has = |line: &str| text.lines().filter(|l| *l == line).count() == 1;
            assert!(has(&format!("a=ice-ufrag:{}", local.ufrag)) && has(&format!("a=ice-pwd:{}", local.password)));
            assert!(has("a=ice-lite") && has("a=mid:1") && has(&candidates[0]) && has("a=end-of-candidates"), "{text}");
        }
    }

    #[test]
    fn credentials_and_fingerprint_are_the_sections_own_or_else_the_sessions() {
        let digest = |byte: &str| format!("a=fingerprint:SHA-256 {}\r\n", vec![byte; 32].join(":"));
        let parse = |session: &str, section: &str| {
            let offer = AUDIO_VIDEO.replace("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n", "");
            let offer = offer.replace("a=group:BUNDLE 0 1\r\n", &format!("a=group:BUNDLE 0 1\r\n{session}"));
            AudioOffer::parse(&(offer + section))
        };
        let ice = |ufrag: &str| format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789012345678901\r\n");
        let offer = parse(&(ice("sess") + &digest("0a")), "").unwrap();
        assert_eq!((offer.credentials.ufrag.as_str(), offer.fingerprint), ("sess", Some([10; 32])));
        let offer = parse(&(ice("sess") + &digest("0a")), &(ice("media") + &digest("FF"))).unwrap();
        assert_eq!((offer.credentials.ufrag.as_str(), offer.fingerprint), ("media", Some([255; 32])));
        assert!(parse("", "").unwrap_err().contains("a=ice-ufrag"));
        assert!(parse("", "a=ice-ufrag:abcd\r\n").unwrap_err().contains("belong together"));
    }
}
