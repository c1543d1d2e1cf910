//! The query of a request's target: which value a name has. Pure. Nothing is decoded, since no value that is read here
//! has a character that needs it.

/// A name is there more than once, which could be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// A parameter's value; empty if it has no `=`. None if there is no parameter of that name.
///
/// # Errors
/// If the name is there more than once.
pub fn parameter<'a>(query: &'a str, name: &str) -> Result<Option<&'a str>, Ambiguous> {
    let mut values =
        query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).filter(|(n, _)| *n == name);
    let first = values.next().map(|(_, value)| value);
    if values.next().is_some() { Err(Ambiguous) } else { Ok(first) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_is_and_only_once() {
        assert_eq!(parameter("a=1&b=%20&c=x=y", "b"), Ok(Some("%20")));
        assert_eq!(parameter("a=1&b=2&c=x=y", "c"), Ok(Some("x=y")));
        assert_eq!(parameter("listen&a=", "listen"), Ok(Some("")));
        assert_eq!(parameter("aa=1", "a"), Ok(None));
        assert_eq!(parameter("", "a"), Ok(None));
        assert_eq!(parameter("a=1&a=1", "a"), Err(Ambiguous));
    }
}
