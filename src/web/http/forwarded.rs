//! What proxies say of a request that they pass on: `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix`, and `Forwarded` (RFC 7239). Any
//! client can write any of it. Pure; who is believed says `client_address`.

use std::str;

/// What one kind of fields says. The first proxy is the one that the browser has reached; each further one appends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    /// The client's address as each proxy saw it; perhaps no address at all.
    pub addresses: Vec<String>,
    /// The scheme by which the browser reached the first proxy. It only decides whether a page is redirected to `https:`, so a
    /// forged one harms only its sender.
    pub proto: Option<String>,
    /// The host that the browser asked the first proxy for.
    pub host: Option<String>,
}

/// What both kinds of fields say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// `X-Forwarded-*`
    pub by_custom: Hops,
    /// `Forwarded`
    pub by_standard: Hops,
    /// `X-Forwarded-Prefix`: what a proxy took from the front of the path. It only decides below which path a page is redirected
    /// to `https:`, so a forged one harms only its sender.
    pub prefix: Option<String>,
}

/// Reads the values of all fields named `Forwarded`, in order.
pub fn standard<'a>(values: impl Iterator<Item = &'a [u8]>) -> Hops {
    let mut hops = Hops::default();
    for value in values.filter_map(|value| str::from_utf8(value).ok()) {
        for element in split(value, ',') {
            let mut address = None;
            for (name, value) in split(element, ';').iter().filter_map(|pair| pair.split_once('=')) {
                let value = unquoted(value.trim());
                match name.trim().to_ascii_lowercase().as_str() {
                    "for" => address = Some(value),
                    "proto" if hops.addresses.is_empty() => hops.proto = hops.proto.or(Some(value)),
                    "host" if hops.addresses.is_empty() => hops.host = hops.host.or(Some(value)),
                    _ => {}
                }
            }
            // Each element is one proxy's. One that names nobody hides who is left of it.
            hops.addresses.push(address.unwrap_or_default());
        }
    }
    hops
}

/// Parts of a list, without the separators that stand in quotation marks (RFC 9110 §5.6.4); empty ones are left out.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(move |c: char| {
        let was_escaped = is_escaped;
        is_escaped = is_quoted && c == '\\' && !was_escaped;
        is_quoted ^= c == '"' && !was_escaped;
        c == separator && !is_quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Hops {
        standard(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn elements_pairs_and_quotation_marks_are_read() {
        let hops = read(&[
            "For=\"[2001:db8::1]:4711\" ; proto=HTTPS;host=\"meet.example.net:8443\";by=_x",
            "for=192.0.2.43, for=198.51.100.17;proto=http;host=upstream",
        ]);
        assert_eq!(hops.addresses, ["[2001:db8::1]:4711", "192.0.2.43", "198.51.100.17"]);
        assert_eq!((hops.proto.as_deref(), hops.host.as_deref()), (Some("HTTPS"), Some("meet.example.net:8443")));
    }

    #[test]
    fn what_is_hidden_or_malformed_stands_for_itself() {
        assert_eq!(read(&["for=_hidden, for=unknown, proto=https"]).addresses, ["_hidden", "unknown", ""]);
        assert_eq!(read(&["for=\"a,b;c\\\"d\""]).addresses, ["a,b;c\"d"]);
        assert_eq!(read(&["for=\"a, for=b"]).addresses.len(), 1, "a quotation mark that is never closed");
        for nothing in ["", " , ;", "for"] {
            let hops = read(&[nothing]);
            assert!(hops.proto.is_none() && hops.addresses.iter().all(String::is_empty), "{nothing}: {hops:?}");
        }
    }
}
