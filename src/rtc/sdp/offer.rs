//! An offer as it was understood, and what comes of each of its sections.

use std::collections::HashSet;

use crate::rtc::ice::credentials::RemoteCredentials;
use crate::rtc::srtp::fingerprint::Fingerprint;

use super::lines::{self, Block};
use super::section::{Direction, Format, Section};
use super::transport::Transport;

/// Longest mid. Browsers use one or two digits, GStreamer some twenty letters.
const MID_BYTES: usize = 64;

/// Longest mid that the header extension of RTP carries with a header of one byte (RFC 8285 §4.2).
const EXTENSION_BYTES: usize = 16;

/// RFC 9143 §15.1.
pub(super) const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// An offer of which one section will carry the track.
#[derive(Debug)]
pub struct Offer<'a> {
    pub(super) sections: Vec<Section<'a>>,
    /// What comes of each section.
    pub(super) fates: Vec<Fate>,
    /// The mids of the BUNDLE group of the audio section that are kept, if it is in one.
    pub(super) group: Option<Vec<&'a str>>,
    audio: usize,
    pub(super) opus: Format<'a>,
    /// Whether the client would report lost packets.
    pub(super) has_nack: bool,
    /// Whether the client knows candidates that come after the answer (RFC 8840 §4.1.1).
    pub(super) is_trickling: bool,
    /// Id of the header extension for the mid, and the direction that the answer gives it.
    pub(super) mid_extension: Option<(u8, &'static str)>,
    transport: Transport,
}

/// What comes of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It carries the track.
    Track,
    /// It carries nothing, but belongs to the transport.
    Inactive,
    /// It has no place in the session.
    Refused,
}

impl<'a> Offer<'a> {
    /// Reads an offer.
    ///
    /// # Errors
    /// A sentence for the client, without its full stop, that says why nothing can be sent in answer to it.
    pub fn read(text: &'a str) -> Result<Offer<'a>, String> {
        let (session, blocks) = lines::blocks(text)?;
        if session.head().and_then(|line| line.of_type('v')).map(str::trim) != Some("0") {
            return Err("the body is not SDP: it does not begin with v=0".into());
        }
        if let Some((line, _)) = session.attribute("ice-lite") {
            return Err(line.refuse("comes from an ICE-lite agent, as this host is one: neither would begin"));
        }
        let sections = blocks.into_iter().map(Section::read).collect::<Result<Vec<_>, _>>()?;
        check_mids(&sections)?;
        let (audio, opus) = audio_section(&sections, &session)?;
        let offered_group = sections[audio].mid.and_then(|mid| group_of(mid, &session));
        let mid_extension = mid_extension(&sections[audio], &session);
        let fates = fates(&sections, audio, offered_group.as_deref(), mid_extension.is_some(), &session);
        let is_kept =
            |mid: &str| sections.iter().zip(&fates).any(|(s, fate)| s.mid == Some(mid) && *fate != Fate::Refused);
        let group =
            offered_group.as_ref().map(|mids| mids.iter().copied().filter(|mid| is_kept(mid)).collect::<Vec<_>>());
        let section_of = |mid: &&str| sections.iter().find(|section| section.mid == Some(mid));
        // RFC 9143 §7.3.1: the first of the kept ones has the transport. What it does not say is said by those that share it.
        let tagged = group.iter().flatten().find_map(section_of).unwrap_or(&sections[audio]);
        let sharing = offered_group.iter().flatten().filter_map(section_of).map(Section::block);
        let blocks: Vec<_> = [tagged.block(), &session].into_iter().chain(sharing).collect();
        let transport = Transport::read(&blocks)?;
        let is_trickling = blocks.iter().any(|block| {
            block.attributes("ice-options").any(|(_, options)| options.split(' ').any(|option| option == "trickle"))
        });
        Ok(Offer {
            has_nack: sections[audio].has_nack(opus),
            mid_extension,
            audio,
            opus,
            is_trickling,
            transport,
            group,
            fates,
            sections,
        })
    }

    /// The client's ICE credentials.
    pub fn credentials(&self) -> &RemoteCredentials {
        &self.transport.credentials
    }

    /// The certificate that the client must have.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.transport.fingerprint
    }

    /// Whether this side begins the DTLS handshake.
    pub fn is_dtls_client(&self) -> bool {
        self.transport.is_dtls_client
    }

    /// The client's number for Opus.
    pub fn payload_type(&self) -> u8 {
        self.opus.number
    }

    /// The id of the mid's header extension, and the mid, if the packets of the track carry it.
    pub fn mid_extension(&self) -> Option<(u8, &'a str)> {
        Some((self.mid_extension?.0, self.sections[self.audio].mid?))
    }

    /// The mids of all sections that the session's transport carries; the first one names it in fragments.
    pub fn mids(&self) -> Vec<&'a str> {
        self.group.clone().unwrap_or_else(|| self.sections[self.audio].mid.into_iter().collect())
    }
}

/// Two sections of one name could not be told apart.
fn check_mids(sections: &[Section<'_>]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for section in sections {
        let Some(mid) = section.mid else { continue };
        if mid.len() > MID_BYTES || !mid.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(section.refuse(&format!("has an a=mid that is not 1 to {MID_BYTES} plain characters")));
        }
        if !seen.insert(mid) {
            return Err(section.refuse("has the a=mid of another section"));
        }
    }
    Ok(())
}

/// The section that will carry the track, and its Opus: the first that wants to receive Opus.
fn audio_section<'a>(sections: &[Section<'a>], session: &Block<'a>) -> Result<(usize, Format<'a>), String> {
    let mut problem = match sections.first() {
        None => "the offer has no media section".to_owned(),
        Some(_) => "the offer has no audio section".to_owned(),
    };
    for (index, section) in sections.iter().enumerate().filter(|(_, section)| section.is_audio()) {
        let direction = section.direction(session);
        problem = section.refuse(match section.opus() {
            _ if !section.is_used => "is switched off (port 0)",
            _ if !section.is_rtp() => "is not RTP in any of the forms of WebRTC, as UDP/TLS/RTP/SAVPF",
            None => "does not offer Opus at 48 kHz (a=rtpmap:… opus/48000/2), the only codec there is here",
            Some(_) if !matches!(direction, Direction::RecvOnly | Direction::SendRecv) => {
                "does not want to receive (it must be recvonly or sendrecv)"
            }
            Some(opus) => return Ok((index, opus)),
        });
    }
    Err(problem)
}

/// The mids of the BUNDLE group that this one is in (RFC 9143 §7.1).
fn group_of<'a>(mid: &str, session: &Block<'a>) -> Option<Vec<&'a str>> {
    session.attributes("group").find_map(|(_, group)| {
        let mut words = group.split_ascii_whitespace();
        let is_bundle = words.next().is_some_and(|semantics| semantics.eq_ignore_ascii_case("BUNDLE"));
        let mut seen = HashSet::new();
        // A mid that stands there twice is one member.
        let mids: Vec<_> = words.filter(|mid| seen.insert(*mid)).collect();
        (is_bundle && mids.contains(&mid)).then_some(mids)
    })
}

/// A section that carries nothing stays in the group of the audio section, inactive: to refuse the one that has the group's
/// transport would refuse the whole group (RFC 9143 §7.3.3), and many clients take no refused section beside an accepted one.
/// Refused are sections outside that group, data channels unless the group's transport is theirs, and sound that the client
/// only wants to send, if it could not tell by packets that the track belongs to another section of sound (RFC 9143 §9.2).
fn fates(
    sections: &[Section<'_>],
    audio: usize,
    group: Option<&[&str]>,
    packets_have_mid: bool,
    session: &Block<'_>,
) -> Vec<Fate> {
    let place = |section: &Section<'_>| group?.iter().position(|mid| section.mid == Some(mid));
    let fate = |(index, section): (usize, &Section<'_>)| {
        let is_talk_back = || {
            section.is_audio()
                && section.direction(session) == Direction::SendOnly
                && !packets_have_mid
                && !sections[audio].is_bundle_only
        };
        match place(section) {
            _ if index == audio => Fate::Track,
            None => Fate::Refused,
            Some(_) if !section.is_used || is_talk_back() => Fate::Refused,
            Some(nth) if nth > 0 && !section.is_rtp() => Fate::Refused,
            Some(_) => Fate::Inactive,
        }
    };
    sections.iter().enumerate().map(fate).collect()
}

/// RFC 8285 §8: id, direction as the offerer has it, name.
fn mid_extension(audio: &Section<'_>, session: &Block<'_>) -> Option<(u8, &'static str)> {
    let _ = audio.mid.filter(|mid| mid.len() <= EXTENSION_BYTES)?;
    let mut extensions = audio.block().attributes("extmap").chain(session.attributes("extmap"));
    extensions.find_map(|(_, extension)| {
        let mut words = extension.split_ascii_whitespace();
        let (first, name) = (words.next()?, words.next()?);
        let (id, direction) = first.split_once('/').unwrap_or((first, ""));
        let direction = match direction {
            "" => "",
            "sendrecv" | "recvonly" => "/sendonly",
            _ => return None,
        };
        // One byte of header has ids from 1 to 14.
        let id = id.parse().ok().filter(|id| (1..=14).contains(id))?;
        (name == MID_EXTENSION).then_some((id, direction))
    })
}
