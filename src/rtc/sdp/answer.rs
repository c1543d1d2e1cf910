//! The answer, written from what was understood of the offer.

use std::fmt::Write;

use crate::rtc::ice::credentials::LocalCredentials;

use super::offer::{Fate, MID_EXTENSION, Offer};
use super::section::Section;

/// Of which stream the track is, for pages that put tracks together (RFC 8830 §2).
const STREAM: &str = "roomtone";

/// This side of the session.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// ICE credentials.
    pub credentials: &'a LocalCredentials,
    /// Lines of SDP, without their ends.
    pub candidates: &'a [String],
    /// The certificate's, as `sha-256 AB:…`.
    pub fingerprint: &'a str,
    /// What its Opus is, as the value of `a=fmtp` (RFC 7587 §6.1).
    pub parameters: &'a str,
    /// Its synchronization source.
    pub ssrc: u32,
    /// What its sender reports call it (RFC 3550 §6.5.1).
    pub cname: &'a str,
}

impl Offer<'_> {
    /// The answer: every section in its place, the track in one.
    pub fn answer(&self, local: &Local<'_>) -> String {
        let mut answer = format!("v=0\r\no=roomtone {} 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", local.ssrc);
        if let Some(group) = &self.group {
            push(&mut answer, format_args!("a=group:BUNDLE {}", group.join(" ")));
        }
        push(&mut answer, format_args!("a=ice-lite"));
        for (section, fate) in self.sections.iter().zip(&self.fates) {
            match fate {
                Fate::Track => self.write_track(section, local, &mut answer),
                Fate::Inactive => self.write_idle(section, 9, local, &mut answer),
                Fate::Refused => self.write_idle(section, 0, local, &mut answer),
            }
        }
        answer
    }

    fn write_track(&self, section: &Section<'_>, local: &Local<'_>, answer: &mut String) {
        let Local { parameters, ssrc, cname, .. } = *local;
        section.write_head(9, &[self.opus], answer);
        write_mid(section, answer);
        self.write_transport(local, answer);
        push(answer, format_args!("a=rtcp-mux"));
        self.write_candidates(local, answer);
        if let Some((id, direction)) = self.mid_extension {
            push(answer, format_args!("a=extmap:{id}{direction} {MID_EXTENSION}"));
        }
        let number = self.opus.number;
        push(answer, format_args!("a=sendonly\r\na=rtpmap:{number} opus/48000/2\r\na=fmtp:{number} {parameters}"));
        if self.has_nack {
            push(answer, format_args!("a=rtcp-fb:{number} nack"));
        }
        push(answer, format_args!("a=msid:{STREAM} {cname}"));
        push(answer, format_args!("a=ssrc:{ssrc} cname:{cname}\r\na=ssrc:{ssrc} msid:{STREAM} {cname}"));
    }

    /// A section that carries nothing. Even where it is refused, strict clients want its codecs and its transport.
    fn write_idle(&self, section: &Section<'_>, port: u16, local: &Local<'_>, answer: &mut String) {
        let codecs = if section.is_rtp() { section.codecs() } else { vec![] };
        section.write_head(port, &codecs, answer);
        write_mid(section, answer);
        self.write_transport(local, answer);
        if port != 0 {
            self.write_candidates(local, answer);
        }
        if section.is_rtp() {
            push(answer, format_args!("a=rtcp-mux\r\na=inactive"));
            codecs.iter().for_each(|codec| codec.write_to(answer));
        }
        // RFC 8841 §5.1 and its drafts: where SCTP would be.
        for name in ["sctp-port", "sctpmap"] {
            if let Some((_, value)) = section.block().attribute(name) {
                push(answer, format_args!("a={name}:{value}"));
            }
        }
    }

    fn write_transport(&self, local: &Local<'_>, answer: &mut String) {
        let LocalCredentials { ufrag, password, .. } = local.credentials;
        push(answer, format_args!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}"));
        if self.is_trickling {
            push(answer, format_args!("a=ice-options:trickle"));
        }
        let setup = if self.is_dtls_client() { "active" } else { "passive" };
        push(answer, format_args!("a=fingerprint:{}\r\na=setup:{setup}", local.fingerprint));
    }

    fn write_candidates(&self, local: &Local<'_>, answer: &mut String) {
        local.candidates.iter().for_each(|line| push(answer, format_args!("{line}")));
        push(answer, format_args!("a=end-of-candidates"));
    }
}

fn write_mid(section: &Section<'_>, answer: &mut String) {
    if let Some(mid) = section.mid {
        push(answer, format_args!("a=mid:{mid}"));
    }
}

/// Adds a line, or several.
fn push(answer: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(answer, "{line}\r\n");
}
