//! Where the loudspeaker of each channel stands. Sound systems number the same positions differently, so channels are told
//! apart by position, never by number. Pure.

/// Channels whose positions are kept; further ones are not heard.
pub const MAX_CHANNELS: usize = 32;

/// Where a channel's loudspeaker stands, as far as a station of two channels cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In front, on the left.
    FrontLeft,
    /// In front, on the right.
    FrontRight,
    /// In the middle, in front; the only channel of a mono source.
    Centre,
    /// Low frequency effects.
    Lfe,
    /// Elsewhere on the left: beside, behind or above.
    SideLeft,
    /// Elsewhere on the right.
    SideRight,
    /// In the middle, but not in front.
    RearCentre,
    /// Nowhere: an input of an interface, or not known.
    Aux,
}

/// The positions of a device's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout([Position; MAX_CHANNELS]);

impl Layout {
    /// Channels whose positions nobody knows.
    pub const UNKNOWN: Layout = Layout([Position::Aux; MAX_CHANNELS]);

    /// The positions of the first channels; those of further ones are not known.
    pub fn of(positions: impl IntoIterator<Item = Position>) -> Layout {
        let mut layout = Layout::UNKNOWN;
        layout.0.iter_mut().zip(positions).for_each(|(place, position)| *place = position);
        layout
    }

    /// The order of WAVE files and of Windows for so many channels.
    pub fn wave(channels: u16) -> Layout {
        use Position::{Centre, FrontLeft, FrontRight, Lfe, RearCentre, SideLeft, SideRight};
        let positions: &[Position] = match channels {
            3 => &[FrontLeft, FrontRight, Centre],
            4 => &[FrontLeft, FrontRight, SideLeft, SideRight],
            5 => &[FrontLeft, FrontRight, Centre, SideLeft, SideRight],
            6 => &[FrontLeft, FrontRight, Centre, Lfe, SideLeft, SideRight],
            7 => &[FrontLeft, FrontRight, Centre, Lfe, RearCentre, SideLeft, SideRight],
            8 => &[FrontLeft, FrontRight, Centre, Lfe, SideLeft, SideRight, SideLeft, SideRight],
            _ => &[],
        };
        Layout::of(positions.iter().copied())
    }

    /// How much of each of the first `channels` goes to the left and to the right, so that full scale stays full scale: by
    /// ITU-R BS.775-3, table 2, which drops LFE and has the centre at −3 dB on both sides. Of channels without any position,
    /// which are not surround sound, the first is the left one, the second the right one, and the others are not heard.
    pub fn gains(&self, channels: u16) -> Vec<[f32; 2]> {
        const MINUS_3_DB: f32 = std::f32::consts::FRAC_1_SQRT_2;
        let count = usize::from(channels.max(1));
        if count == 1 {
            return vec![[1.0, 1.0]];
        }
        let gain = |position: &Position| match position {
            Position::FrontLeft => [1.0, 0.0],
            Position::FrontRight => [0.0, 1.0],
            Position::Centre => [MINUS_3_DB, MINUS_3_DB],
            Position::SideLeft => [MINUS_3_DB, 0.0],
            Position::SideRight => [0.0, MINUS_3_DB],
            Position::RearCentre => [0.5, 0.5],
            Position::Lfe | Position::Aux => [0.0, 0.0],
        };
        let mut gains: Vec<[f32; 2]> = self.0.iter().take(count).map(gain).collect();
        gains.resize(count, [0.0, 0.0]);
        let sum = |side: usize| gains.iter().map(|gain| gain[side]).sum::<f32>();
        let (left, right) = (sum(0), sum(1));
        if left == 0.0 && right == 0.0 {
            gains[..2].copy_from_slice(&[[1.0, 0.0], [0.0, 1.0]]);
            return gains;
        }
        let scale = left.max(right);
        gains.iter_mut().flatten().for_each(|gain| *gain /= scale);
        gains
    }
}

#[cfg(test)]
mod tests {
    use super::Position::{Aux, Centre, FrontLeft, FrontRight, Lfe, SideLeft, SideRight};
    use super::*;

    #[test]
    fn the_same_positions_are_folded_alike_in_any_order() {
        let alsa = Layout::of([FrontLeft, FrontRight, SideLeft, SideRight, Centre, Lfe]).gains(6);
        let wave = Layout::wave(6).gains(6);
        assert_eq!(alsa, [wave[0], wave[1], wave[4], wave[5], wave[2], wave[3]]);
        assert!(wave[2][0] == wave[2][1] && wave[2][0] > 0.0, "the centre is on both sides");
        assert_eq!(wave[3], [0.0, 0.0], "LFE is dropped");
        assert!(wave[4][0] > 0.0 && wave[4][1] == 0.0 && wave[5][1] > 0.0, "{wave:?}");
    }

    #[test]
    fn full_scale_in_every_channel_stays_full_scale() {
        for channels in 1..=40 {
            for layout in [Layout::wave(channels), Layout::UNKNOWN, Layout::of([SideLeft, Centre])] {
                let gains = layout.gains(channels);
                assert_eq!(gains.len(), usize::from(channels.max(1)));
                for side in [0, 1] {
                    let sum: f32 = gains.iter().map(|gain| gain[side]).sum();
                    assert!((0.4..=1.0001).contains(&sum), "{channels}: {gains:?}");
                }
            }
        }
    }

    #[test]
    fn channels_without_positions_are_no_surround_sound() {
        let gains = Layout::UNKNOWN.gains(18);
        assert_eq!(gains[..3], [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]);
        assert!(gains[2..].iter().all(|gain| *gain == [0.0, 0.0]));
        // A headset's pair, beside inputs without a position.
        let mixed = Layout::of([Aux, Aux, FrontLeft, FrontRight]).gains(4);
        assert_eq!(mixed, [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]);
    }
}
