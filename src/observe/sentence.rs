//! Sentences that contain what a stranger has sent: in error messages, reasons and log lines. Their length is limited, and
//! so is what they quote, so that nobody receives, stores or logs more than a line because of somebody else's megabyte.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Characters of a sentence.
pub const SENTENCE_CHARS: usize = 200;
/// Characters that a sentence quotes.
pub const QUOTED_CHARS: usize = 40;
/// Stands for what is left out.
const ELLIPSIS: char = '…';

/// The beginning of what a stranger has sent, without control characters.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_limited(f, self.0, QUOTED_CHARS)
    }
}

/// A sentence of limited length, without control characters, with a full stop at its end if it was too long.
pub fn sentence(text: &str) -> Cow<'_, str> {
    if text.len() <= SENTENCE_CHARS && !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut limited = String::new();
    // Writing to a String cannot fail.
    let _ = write_limited(&mut limited, text, SENTENCE_CHARS - 1);
    if limited.ends_with(ELLIPSIS) {
        limited.push('.');
    }
    Cow::Owned(limited)
}

/// What serde_json says about text from a stranger. A value that it quotes, between quotation marks, is shortened.
pub fn json_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if let (Some(open), Some(close)) = (text.find('"'), text.rfind('"'))
        && text[open..close].chars().nth(QUOTED_CHARS + 1).is_some()
    {
        return format!("{}\"{}{}", &text[..open], Quoted(&text[open + 1..close]), &text[close..]);
    }
    text
}

/// Text of so many characters at the most, the ellipsis included.
fn write_limited(to: &mut impl Write, text: &str, limit: usize) -> fmt::Result {
    // No more than that is looked at, however long the text is.
    let mut printable = text.chars().take(4 * limit).filter(|&c| !is_unprintable(c));
    for c in printable.by_ref().take(limit - 1) {
        to.write_char(c)?;
    }
    match (printable.next(), printable.next()) {
        (Some(last), None) if text.chars().nth(4 * limit).is_none() => to.write_char(last),
        (None, _) if text.chars().nth(4 * limit).is_none() => Ok(()),
        _ => to.write_char(ELLIPSIS),
    }
}

/// Control characters, and those that change the order in which a line is shown.
fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_200_characters_at_the_most() {
        let longest = format!("{}.", "ä".repeat(SENTENCE_CHARS - 2));
        assert_eq!(sentence(&longest), longest);
        assert_eq!(sentence("Short."), "Short.");
        let longer = "ä".repeat(70_000) + ".";
        let short = sentence(&longer);
        assert_eq!(short.chars().count(), SENTENCE_CHARS);
        assert!(short.ends_with("ä…."), "{short}");
        assert_eq!(sentence("one\r\ntwo\u{1b}[2J\u{202e}."), "onetwo[2J.");
        assert!(sentence(&"\n".repeat(70_000)).chars().count() <= 2);
    }

    #[test]
    fn a_quotation_has_40_characters_at_the_most() {
        let of = |text: &str| Quoted(text).to_string();
        assert_eq!(of(&"x".repeat(40)), "x".repeat(40));
        assert_eq!(of(&"x".repeat(41)), "x".repeat(39) + "…");
        assert_eq!(of("/a\nb"), "/ab");
        assert_eq!(of(""), "");
    }

    #[test]
    fn what_serde_quotes_is_shortened() {
        let error = |json: &str| json_error(&serde_json::from_str::<bool>(json).unwrap_err());
        assert_eq!(
            error("\"a \\\"b\\\"\""),
            "invalid type: string \"a \\\"b\\\"\", expected a boolean at line 1 column 9"
        );
        let long = error(&format!("\"{}\"", "\u{7f}\\\"".repeat(20_000)));
        assert!(
            long.starts_with("invalid type: string \"\\u{7f}") && long.contains("…\", expected a boolean"),
            "{long}"
        );
        assert!(long.chars().count() < 120, "{long}");
    }
}
