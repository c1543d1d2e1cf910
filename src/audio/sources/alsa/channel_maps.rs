//! Where a sound card's driver says that its channels are. Runs on the thread that opens the device. It opens nothing.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::slice;

use alsa_sys as alsa;

use crate::audio::layout::{Layout, MAX_CHANNELS, Position};

/// SND_CHMAP_POSITION_MASK of alsa-lib: above it are flags.
const POSITION_MASK: u32 = 0xffff;

/// The positions of so many channels of the hardware of this PCM (`hw:CARD=…,DEV=…` or `plughw:…`); None if the driver does not
/// know them, or if the name is another one.
pub(super) fn positions(pcm: &str, channels: u16) -> Option<Layout> {
    let (card, device) = pcm.split_once(":CARD=")?.1.split_once(",DEV=").unwrap_or((pcm.split_once(":CARD=")?.1, "0"));
    let (card, device) = (CString::new(card).ok()?, device.parse().ok()?);
    // SAFETY: `card` is a C string. The list is NULL or an array that ends with NULL, of maps that each have as many positions
    // as they say; it is read before it is freed, and nothing of it is kept.
    unsafe {
        let card = alsa::snd_card_get_index(card.as_ptr());
        if card < 0 {
            return None;
        }
        let queries = alsa::snd_pcm_query_chmaps_from_hw(card, device, -1, alsa::SND_PCM_STREAM_CAPTURE);
        if queries.is_null() {
            return None;
        }
        let mut layout = None;
        let mut next = queries;
        while !(*next).is_null() && layout.is_none() {
            let map = &raw const (**next).map;
            if (*map).channels == u32::from(channels) {
                let count = usize::from(channels).min(MAX_CHANNELS);
                let positions = slice::from_raw_parts((&raw const (*map).pos).cast::<u32>(), count);
                layout = Some(Layout::of(positions.iter().map(|position| position_of(*position))));
            }
            next = next.add(1);
        }
        alsa::snd_pcm_free_chmaps(queries);
        layout
    }
}

fn position_of(position: u32) -> Position {
    match position & POSITION_MASK {
        alsa::SND_CHMAP_FL => Position::FrontLeft,
        alsa::SND_CHMAP_FR => Position::FrontRight,
        alsa::SND_CHMAP_MONO | alsa::SND_CHMAP_FC | alsa::SND_CHMAP_FCH | alsa::SND_CHMAP_TFC => Position::Centre,
        alsa::SND_CHMAP_LFE | alsa::SND_CHMAP_LLFE | alsa::SND_CHMAP_RLFE => Position::Lfe,
        alsa::SND_CHMAP_RC | alsa::SND_CHMAP_TC | alsa::SND_CHMAP_TRC | alsa::SND_CHMAP_BC => Position::RearCentre,
        alsa::SND_CHMAP_RL
        | alsa::SND_CHMAP_SL
        | alsa::SND_CHMAP_FLC
        | alsa::SND_CHMAP_RLC
        | alsa::SND_CHMAP_FLW
        | alsa::SND_CHMAP_FLH
        | alsa::SND_CHMAP_TFL
        | alsa::SND_CHMAP_TRL
        | alsa::SND_CHMAP_TFLC
        | alsa::SND_CHMAP_TSL
        | alsa::SND_CHMAP_BLC => Position::SideLeft,
        alsa::SND_CHMAP_RR
        | alsa::SND_CHMAP_SR
        | alsa::SND_CHMAP_FRC
        | alsa::SND_CHMAP_RRC
        | alsa::SND_CHMAP_FRW
        | alsa::SND_CHMAP_FRH
        | alsa::SND_CHMAP_TFR
        | alsa::SND_CHMAP_TRR
        | alsa::SND_CHMAP_TFRC
        | alsa::SND_CHMAP_TSR
        | alsa::SND_CHMAP_BRC => Position::SideRight,
        _ => Position::Aux,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_that_are_not_there_have_no_positions() {
        for pcm in ["hw:CARD=nowhere,DEV=0", "plughw:CARD=nowhere", "default", "hw:CARD=a\0b", "hw:CARD=x,DEV=y", ""] {
            assert_eq!(positions(pcm, 6), None, "{pcm}");
        }
    }

    #[test]
    fn a_drivers_flags_beside_a_position_do_not_matter() {
        let inverted = alsa::SND_CHMAP_FL | 1 << 16;
        assert_eq!(position_of(inverted), Position::FrontLeft);
        assert_eq!(position_of(alsa::SND_CHMAP_UNKNOWN), Position::Aux);
    }
}
