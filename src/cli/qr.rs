//! Draws an address as a QR code for the terminal, to be scanned with a phone. Pure.

use qrcode::{Color, EcLevel, QrCode};

/// Empty modules around the code (ISO/IEC 18004 §9.1).
const QUIET_ZONE: usize = 4;
/// Black on white whatever the terminal's own colours are, because phones read inverted codes badly.
const BLACK_ON_WHITE: &str = "\x1b[30;107m";
const RESET: &str = "\x1b[0m";

/// Lines that end with a line feed, two rows of modules in each; None if the text is too long for a code.
pub fn picture(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let size = code.width();
    let dark = |x: usize, y: usize| {
        let inside = (QUIET_ZONE..QUIET_ZONE + size).contains(&x) && (QUIET_ZONE..QUIET_ZONE + size).contains(&y);
        inside && code[(x - QUIET_ZONE, y - QUIET_ZONE)] == Color::Dark
    };
    let side = size + 2 * QUIET_ZONE;
    let line = |y: usize| {
        let blocks = (0..side).map(|x| match (dark(x, y), dark(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        });
        format!("{BLACK_ON_WHITE}{}{RESET}\n", blocks.collect::<String>())
    };
    Some((0..side).step_by(2).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_is_small_and_has_a_quiet_zone() {
        let picture = picture("https://192.168.178.25:8088/").unwrap();
        let lines: Vec<&str> = picture.lines().collect();
        let bare: Vec<String> = lines.iter().map(|line| line.replace(BLACK_ON_WHITE, "").replace(RESET, "")).collect();
        assert!(lines.len() <= 20 && bare.iter().all(|line| line.chars().count() <= 37), "{picture}");
        assert!(bare[0].trim().is_empty() && bare[1].trim().is_empty());
        // The finder pattern's upper edge: seven dark modules, as the standard draws it.
        assert!(bare[2].starts_with("    █▀▀▀▀▀█ "), "{:?}", bare[2]);
        assert!(bare.iter().all(|line| line.starts_with("    ") && line.ends_with("    ")));
    }

    #[test]
    fn a_text_that_is_too_long_has_no_qr_code() {
        assert_eq!(picture(&"x".repeat(5_000)), None);
    }
}
