//! Who sent a request, by the address of its connection and the fields that proxies and browsers write.

use std::net::{IpAddr, SocketAddr};

use roomtone::web::http::client_address::{Client, TrustedProxies};
use roomtone::web::http::forwarded::{Forwarding, Hops};
use roomtone::web::http::head::{self, Head};
use roomtone::web::http::message::field;
use roomtone::web::http::origin::Origin;
use roomtone::web::http::origin_policy::{Asked, Initiator, OriginPolicy};

/// A head; its first byte says where it comes from.
pub fn client(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let Ok(Some(end)) = head::find_end(bytes, 0) else { return };
    let Ok(head) = head::parse(&bytes[..end]) else { return };
    let sender = if first % 2 == 0 { "10.0.0.1:7" } else { "198.51.100.1:7" };
    forwarded(&head, Client { address: sender.parse().expect("an address"), is_secure: false });
    for is_near in [true, false] {
        judged(&head, is_near);
    }
}

/// The client is the sender, or the first from the right that is no trusted proxy: nothing left of it matters.
fn forwarded(head: &Head, sender: Client) {
    let proxies = TrustedProxies::parse(&["10.0.0.0/8".into(), "fd00::/8".into()]).expect("networks");
    let by_custom = &head.forwarding.by_custom;
    // Of the two kinds, one: together they only decide less.
    let of = |addresses: Vec<String>| {
        let by_custom = Hops { addresses, ..by_custom.clone() };
        proxies.client(sender, &Forwarding { by_custom, ..Forwarding::default() })
    };
    let (proto, client) = (by_custom.proto.as_deref(), of(by_custom.addresses.clone()));
    let both = proxies.client(sender, &head.forwarding).address;
    assert!(by_custom.addresses.is_empty() || [client.address, sender.address].contains(&both), "{both}");
    assert_eq!(client.address.ip(), client.address.ip().to_canonical(), "one address has one form");
    if !proxies.trust(sender.address.ip()) {
        assert_eq!(client, sender, "only proxies are believed");
        return;
    }
    assert!(client.is_secure == matches!(proto, Some(proto) if ["https", "wss"].contains(&&*proto.to_lowercase())));
    for text in ["192.0.2.66", "10.9.9.9", "nonsense", "[fd00::1]:1"] {
        let with_more = of([text.to_owned()].into_iter().chain(by_custom.addresses.clone()).collect()).address;
        let is_decided =
            !proxies.trust(client.address.ip()) || by_custom.addresses.iter().any(|it| address(it).is_none());
        assert!(!is_decided || with_more == client.address, "{text} in front changes the client");
    }
    let last = by_custom.addresses.last().and_then(|text| address(text));
    match last {
        None => assert_eq!(client.address, sender.address, "what the nearest proxy wrote is no address"),
        Some(last) if !proxies.trust(last) => assert_eq!(client.address.ip(), last.to_canonical()),
        Some(_) => {}
    }
}

/// As proxies write addresses: with a port or in brackets, both or neither.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let with_port = text.parse::<SocketAddr>().ok().map(|address| address.ip());
    with_port.or_else(|| bracketed.unwrap_or(text).parse().ok())
}

/// A page of somebody else is never taken for this server's own, whatever it writes.
fn judged(head: &Head, is_near: bool) {
    let policy = OriginPolicy { names: vec!["meet.example.net".into()], ..OriginPolicy::default() };
    let value = |name| field(&head.headers, name);
    let (origin, site, mode) = (value("origin"), value("sec-fetch-site"), value("sec-fetch-mode"));
    let asked = Asked {
        is_near,
        host: &head.host,
        is_certified: false,
        origin: origin.as_deref(),
        fetch_site: site.as_deref(),
        fetch_mode: mode.as_deref(),
    };
    let verdict = policy.judge(&asked);
    assert!(verdict.is_near == is_near && (is_near || verdict.initiator != Initiator::Misdirected));
    // A name below one that its owner can let point anywhere.
    let rebound = format!("{}.evil.example", head.host.trim_end_matches('.'));
    for host in [rebound.clone(), format!("{rebound}:8088"), format!("{rebound}.")] {
        let origin = format!("http://{host}");
        let asked = Asked { host: &host, origin: Some(&origin), ..asked };
        let initiator = policy.judge(&asked).initiator;
        assert!(
            if is_near { initiator == Initiator::Misdirected } else { initiator != Initiator::Misdirected },
            "{host}"
        );
    }
    // A page of another origin than the host's is foreign, and no response lets it read without a token.
    if let Some(parsed) = origin.as_deref().map(Origin::parse) {
        let is_own = parsed.is_some_and(|origin| origin.is_of(&head.host));
        assert!(is_own || verdict.initiator != Initiator::Trusted, "{origin:?} at {}", head.host);
        let fields = policy.response_fields(verdict, true, origin.as_deref(), false);
        let allowed = fields.iter().any(|(name, _)| *name == "Access-Control-Allow-Origin");
        assert_eq!(allowed, !is_near);
        for (name, value) in policy.response_fields(verdict, true, origin.as_deref(), true) {
            assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)), "{name}: {value}");
        }
    }
}
