//! One section of an offer: its m= line and its codecs.

use std::fmt::Write;

use super::lines::{Block, Line};

/// Payload types have seven bits (RFC 3550 §5.1).
const PAYLOAD_TYPES: usize = 128;

/// Payload types below this one have a codec without rtpmap (RFC 3551 §6).
const FIRST_UNASSIGNED: u8 = 35;

/// Payload types that, with the marker bit, look like RTCP where both share a port (RFC 5761 §4).
const LIKE_RTCP: std::ops::RangeInclusive<u8> = 64..=95;

/// A section of an offer.
#[derive(Debug)]
pub(super) struct Section<'a> {
    block: Block<'a>,
    head: Line<'a>,
    /// As `audio`; in any case.
    pub media: &'a str,
    /// The transport and profile, as `UDP/TLS/RTP/SAVPF`.
    pub protocol: &'a str,
    /// Whether the client uses it: its port is not zero, or it is there for the sake of another section's port (RFC 9143 §6).
    pub is_used: bool,
    /// Whether it has no transport of its own.
    pub is_bundle_only: bool,
    /// Name within the offer.
    pub mid: Option<&'a str>,
    formats: Vec<&'a str>,
}

/// Which way media flow, as the client has it (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// A codec of an RTP section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format<'a> {
    /// Payload type.
    pub number: u8,
    /// As `opus/48000/2`; None if the number alone says it.
    rtpmap: Option<&'a str>,
    fmtp: Option<&'a str>,
}

impl<'a> Section<'a> {
    /// # Errors
    /// A sentence for the client.
    pub fn read(block: Block<'a>) -> Result<Section<'a>, String> {
        let head = block.head().ok_or("a section has no m= line")?;
        // RFC 8866 §5.14: media, port, protocol, formats.
        let mut parts = head.of_type('m').unwrap_or_default().split_ascii_whitespace();
        let (Some(media), Some(port), Some(protocol)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(head.refuse("is not complete"));
        };
        let is_bundle_only = block.attribute("bundle-only").is_some();
        Ok(Section {
            head,
            media,
            protocol,
            is_used: port.trim_start_matches('0').starts_with(|c: char| c.is_ascii_digit()) || is_bundle_only,
            is_bundle_only,
            mid: block.attribute("mid").map(|(_, mid)| mid).filter(|mid| !mid.is_empty()),
            formats: parts.collect(),
            block,
        })
    }

    /// Its lines.
    pub fn block(&self) -> &Block<'a> {
        &self.block
    }

    /// A sentence about what is wrong with it.
    pub fn refuse(&self, wrong: &str) -> String {
        self.head.refuse(wrong)
    }

    /// Whether it is sound.
    pub fn is_audio(&self) -> bool {
        self.media.eq_ignore_ascii_case("audio")
    }

    /// Whether it is RTP by any of the names that RFC 9429 §5.1.2 has an answerer take.
    pub fn is_rtp(&self) -> bool {
        let (transport, profile) = self.protocol.rsplit_once("RTP/").unwrap_or(("?", ""));
        matches!(transport, "" | "UDP/TLS/" | "TCP/TLS/" | "TCP/DTLS/" | "UDP/DTLS/" | "TCP/")
            && matches!(profile, "AVP" | "AVPF" | "SAVP" | "SAVPF")
    }

    /// Its own direction, else the session's, else both ways (RFC 8866 §6.7).
    pub fn direction(&self, session: &Block<'_>) -> Direction {
        let directions = [
            ("sendrecv", Direction::SendRecv),
            ("sendonly", Direction::SendOnly),
            ("recvonly", Direction::RecvOnly),
            ("inactive", Direction::Inactive),
        ];
        let of = |block: &Block<'_>| {
            let mut lines = block.lines().iter();
            lines.find_map(|line| directions.iter().find(|(name, _)| line.attribute(name) == Some("")))
        };
        of(&self.block).or_else(|| of(session)).map_or(Direction::SendRecv, |(_, direction)| *direction)
    }

    /// The codecs of an RTP section, in order, each once; without numbers that nothing explains.
    pub fn codecs(&self) -> Vec<Format<'a>> {
        let (rtpmaps, fmtps) = (self.by_number("rtpmap"), self.by_number("fmtp"));
        let mut is_listed = [false; PAYLOAD_TYPES];
        let mut codecs = vec![];
        for number in self.formats.iter().filter_map(|format| payload_type(format)) {
            let (rtpmap, fmtp) = (rtpmaps[usize::from(number)], fmtps[usize::from(number)]);
            let is_known = rtpmap.is_some() || number < FIRST_UNASSIGNED;
            if is_known && !std::mem::replace(&mut is_listed[usize::from(number)], true) {
                codecs.push(Format { number, rtpmap, fmtp });
            }
        }
        codecs
    }

    /// The Opus to answer with: the first one that asks for its full bandwidth, else the first one.
    pub fn opus(&self) -> Option<Format<'a>> {
        let opus = || self.codecs().into_iter().filter(Format::is_opus);
        opus().find(|format| !format.is_narrow()).or_else(|| opus().next())
    }

    /// Whether the client would report lost packets of that codec (RFC 4585 §4.2).
    pub fn has_nack(&self, format: Format<'_>) -> bool {
        self.block.attributes("rtcp-fb").any(|(_, value)| {
            let mut words = value.split_ascii_whitespace();
            let is_meant = words.next().is_some_and(|to| to == "*" || payload_type(to) == Some(format.number));
            is_meant && words.next().is_some_and(|kind| kind.eq_ignore_ascii_case("nack")) && words.next().is_none()
        })
    }

    /// The first value of each payload type, of an attribute that begins with one.
    fn by_number(&self, name: &str) -> [Option<&'a str>; PAYLOAD_TYPES] {
        let mut values = [None; PAYLOAD_TYPES];
        for (_, value) in self.block.attributes(name) {
            let Some((number, rest)) = value.split_once([' ', '\t']) else { continue };
            if let Some(number) = payload_type(number) {
                values[usize::from(number)].get_or_insert(rest.trim());
            }
        }
        values
    }

    /// The m= line as it is answered. A section of another protocol has its own formats again; one of RTP has these numbers, or
    /// 0 if there are none, which needs no explanation.
    pub fn write_head(&self, port: u16, codecs: &[Format<'_>], answer: &mut String) {
        let numbers = codecs.iter().map(|codec| codec.number.to_string()).collect::<Vec<_>>();
        let formats = match numbers.as_slice() {
            [] if self.is_rtp() || self.formats.is_empty() => "0".to_owned(),
            [] => self.formats.join(" "),
            numbers => numbers.join(" "),
        };
        // Writing to a String cannot fail.
        let _ = write!(answer, "m={} {port} {} {formats}\r\nc=IN IP4 0.0.0.0\r\n", self.media, self.protocol);
    }
}

impl Format<'_> {
    /// RFC 7587 §7: always 48000 and two channels; some leave the channels out.
    fn is_opus(&self) -> bool {
        let is_named = self.rtpmap.is_some_and(|map| {
            let map = map.to_ascii_lowercase();
            map == "opus/48000/2" || map == "opus/48000"
        });
        is_named && !LIKE_RTCP.contains(&self.number)
    }

    /// Whether the client plays less than all frequencies of it (RFC 7587 §6.1).
    fn is_narrow(&self) -> bool {
        let parameters = self.fmtp.unwrap_or_default().split(';').filter_map(|parameter| parameter.split_once('='));
        parameters.into_iter().any(|(name, rate)| {
            name.trim().eq_ignore_ascii_case("maxplaybackrate") && rate.trim().parse().is_ok_and(|hz: u32| hz < 48_000)
        })
    }

    /// Its rtpmap and fmtp as they were offered.
    pub fn write_to(&self, answer: &mut String) {
        let Format { number, rtpmap, fmtp } = self;
        for (name, value) in [("rtpmap", rtpmap), ("fmtp", fmtp)] {
            if let Some(value) = value {
                // Writing to a String cannot fail.
                let _ = write!(answer, "a={name}:{number} {value}\r\n");
            }
        }
    }
}

/// A payload type.
fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| usize::from(*number) < PAYLOAD_TYPES && !text.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::sdp::lines;

    fn section(text: &str) -> Section<'_> {
        let (_, mut sections) = lines::blocks(text).unwrap();
        Section::read(sections.remove(0)).unwrap()
    }

    #[test]
    fn every_profile_name_of_rtp_is_known() {
        for protocol in
            ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVP", "RTP/SAVPF", "RTP/AVP"]
        {
            assert!(section(&format!("m=audio 9 {protocol} 111")).is_rtp(), "{protocol}");
        }
        for other in ["UDP/DTLS/SCTP", "RTP/", "XRTP/SAVPF", "RTP/SAVPFX", "UDP"] {
            assert!(!section(&format!("m=audio 9 {other} 111")).is_rtp(), "{other}");
        }
    }

    #[test]
    fn a_section_of_port_zero_is_used_only_if_it_shares_anothers_port() {
        for (head, is_used) in [("9", true), ("54321/2", true), ("0", false), ("00", false), ("x", false)] {
            assert_eq!(section(&format!("m=audio {head} RTP/AVP 0")).is_used, is_used, "{head}");
        }
        assert!(section("m=audio 0 RTP/AVP 0\na=bundle-only").is_used);
    }

    #[test]
    fn codecs_are_listed_once_in_order_and_explained() {
        let codecs = section(
            "m=audio 9 RTP/AVP 111 0 200 x 96 111 35 +9\na=rtpmap:111 opus/48000/2\na=rtpmap:111 other/1\na=fmtp:111 a=b",
        )
        .codecs();
        assert_eq!(codecs.iter().map(|codec| codec.number).collect::<Vec<_>>(), [111, 0]);
        let mut written = String::new();
        codecs.iter().for_each(|codec| codec.write_to(&mut written));
        assert_eq!(written, "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 a=b\r\n");
    }

    #[test]
    fn opus_is_48000_and_two_channels_and_preferred_in_full() {
        let opus = |rest: &str| section(&format!("m=audio 9 RTP/AVP 96 111 70\n{rest}")).opus().map(|opus| opus.number);
        assert_eq!(opus("a=rtpmap:96 OPUS/48000"), Some(96));
        assert_eq!(opus("a=rtpmap:96 multiopus/48000/6\na=rtpmap:111 Opus/48000/2"), Some(111));
        let two = "a=rtpmap:96 opus/48000/2\na=rtpmap:111 opus/48000/2\na=fmtp:96 cbr=1;maxplaybackrate=";
        assert_eq!(opus(&format!("{two}8000")), Some(111));
        assert_eq!(opus(&format!("{two}48000")), Some(96));
        for none in ["96 opus/16000/2", "96 opus/48000/1", "70 opus/48000/2", "97 opus/48000/2", "96 opusx/48000/2"] {
            assert_eq!(opus(&format!("a=rtpmap:{none}")), None, "{none}");
        }
    }

    #[test]
    fn nack_is_offered_for_one_codec_or_for_all() {
        for (line, has_nack) in [
            ("96 nack", true),
            ("* nack", true),
            ("96  NACK ", true),
            ("96 nack pli", false),
            ("97 nack", false),
            ("96", false),
        ] {
            let text = format!("m=audio 9 RTP/AVP 96\na=rtpmap:96 opus/48000/2\na=rtcp-fb:{line}");
            let section = section(&text);
            assert_eq!(section.has_nack(section.opus().unwrap()), has_nack, "{line}");
        }
    }

    #[test]
    fn the_sections_direction_wins() {
        let (session, mut sections) = lines::blocks("a=inactive\nm=audio 9 X 0\na=sendonly\nm=audio 9 X 0").unwrap();
        let second = Section::read(sections.remove(1)).unwrap();
        let first = Section::read(sections.remove(0)).unwrap();
        assert_eq!((first.direction(&session), second.direction(&session)), (Direction::SendOnly, Direction::Inactive));
        assert_eq!(second.direction(&Block::default()), Direction::SendRecv);
    }
}
