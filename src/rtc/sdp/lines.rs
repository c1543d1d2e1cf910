//! SDP as lines, in blocks: the session part, and one block for each m= line (RFC 8866 §5).

use crate::observe::sentence::Quoted;

/// Sections of an offer, at the most. Each is answered, and some answers are longer than what was offered.
const MAX_SECTIONS: usize = 64;

/// One line, which begins with a small letter and `=`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Counts from 1, empty lines included.
    number: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    /// What follows `=`, if the line is of that type.
    pub fn of_type(&self, letter: char) -> Option<&'a str> {
        self.text.strip_prefix(letter)?.strip_prefix('=')
    }

    /// The value of an attribute, if the line is that attribute. A flag has the value "". Names have lower case, but some
    /// clients write them otherwise.
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        let attribute = self.of_type('a')?;
        let (its_name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        its_name.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    }

    /// A sentence, without its full stop, about what is wrong with this line: "line 7, `m=audio 0 …`, is switched off".
    pub fn refuse(&self, wrong: &str) -> String {
        format!("line {}, `{}`, {wrong}", self.number, Quoted(self.text))
    }
}

/// The lines of a session part or of a section, whose first is its m= line.
#[derive(Debug, Default)]
pub(super) struct Block<'a>(Vec<Line<'a>>);

impl<'a> Block<'a> {
    /// The m= line of a section, the first line of the session part.
    pub fn head(&self) -> Option<Line<'a>> {
        self.0.first().copied()
    }

    /// All attributes of that name, each with its line.
    pub fn attributes(&self, name: &str) -> impl Iterator<Item = (Line<'a>, &'a str)> {
        self.0.iter().filter_map(move |line| line.attribute(name).map(|value| (*line, value)))
    }

    /// The first attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<(Line<'a>, &'a str)> {
        self.attributes(name).next()
    }

    /// All lines.
    pub fn lines(&self) -> &[Line<'a>] {
        &self.0
    }
}

/// Divides a description, or a fragment of one, into its session part and its sections.
///
/// # Errors
/// A sentence for the client.
pub(super) fn blocks(text: &str) -> Result<(Block<'_>, Vec<Block<'_>>), String> {
    let (mut session, mut sections) = (Block::default(), Vec::<Block<'_>>::new());
    for (number, text) in (1..).zip(text.lines()) {
        let line = Line { number, text: text.trim_end() };
        match line.text.as_bytes() {
            [] => continue,
            // RFC 8866 §5: a parser refuses a description with any other letter.
            [letter, b'=', ..] if b"vosiuepcbtrzkam".contains(letter) => {}
            _ => return Err(line.refuse("is not a line of SDP")),
        }
        if line.text.contains(['\r', '\0']) {
            return Err(line.refuse("has a character that no line of SDP has (RFC 8866 §9)"));
        }
        if line.of_type('m').is_some() {
            if sections.len() == MAX_SECTIONS {
                return Err(line.refuse(&format!("is one section more than {MAX_SECTIONS}")));
            }
            sections.push(Block::default());
        }
        sections.last_mut().unwrap_or(&mut session).0.push(line);
    }
    Ok((session, sections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_type_and_name_and_counted() {
        let text = "v=0\n\na=x\r\nm=audio 9 X 0  \r\na=MID: 7\r\na=flag\r\nm=video 9 X 0\r\n";
        let (session, sections) = blocks(text).unwrap();
        assert_eq!((session.lines().len(), sections.len()), (2, 2));
        assert_eq!(sections[0].head().unwrap().of_type('m'), Some("audio 9 X 0"));
        assert_eq!(sections[0].attribute("mid").unwrap().1, "7");
        assert_eq!(sections[0].attribute("flag").unwrap().1, "");
        assert!(sections[1].attribute("mid").is_none());
        assert_eq!(session.head().unwrap().refuse("is odd"), "line 1, `v=0`, is odd");
        let (line, _) = sections[0].attribute("mid").unwrap();
        assert!(line.refuse("is odd").starts_with("line 5, "), "empty lines count");
    }

    #[test]
    fn what_is_no_line_and_too_many_sections_are_refused() {
        for odd in ["hello", "a", "A=x", "=x", "ä=x", " a=x", "q=x", "a=x\ra=y", "a=\0"] {
            assert!(blocks(&format!("v=0\n{odd}")).unwrap_err().contains("line 2"), "{odd}");
        }
        assert!(blocks(&"m=audio 9 X 0\n".repeat(MAX_SECTIONS)).is_ok());
        assert!(blocks(&"m=audio 9 X 0\n".repeat(MAX_SECTIONS + 1)).unwrap_err().contains("more than 64"));
    }
}
