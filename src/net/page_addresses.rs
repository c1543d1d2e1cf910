//! Where the page is: the addresses to show to whoever started the program, and the one to show to phones. Asks the
//! operating system once, at start-up; changes nothing.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::net::interfaces;

/// How the door can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS only.
    Http,
    /// With TLS, and a certificate that browsers may know.
    Https,
    /// With TLS, and a certificate that browsers warn of: listening is easier without.
    Either,
}

/// Every address of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Best first; those that are only for listening last.
    pub all: Vec<String>,
    /// How many of them, at the end, are for listening only.
    pub listen_only: usize,
    /// What to open on a phone; None if only this host can reach the page.
    pub phone: Option<String>,
}

impl Addresses {
    /// Of a door that is bound to this address.
    pub fn of(bound: SocketAddr, scheme: Scheme, public_url: Option<&str>) -> Addresses {
        let ip = bound.ip().to_canonical();
        let bound = SocketAddr::new(ip, bound.port());
        let own: Vec<IpAddr> = if ip.is_unspecified() {
            let found = interfaces::local(bound, None).into_iter().map(|address| address.ip());
            best_first(found.filter(|ip| !ip.is_loopback()).collect(), outgoing())
        } else {
            [ip].into_iter().filter(|ip| !ip.is_loopback()).collect()
        };
        let on_this_host = if ip.is_unspecified() { Some("localhost".to_owned()) } else { None };
        let on_this_host = on_this_host.or_else(|| ip.is_loopback().then(|| host(ip)));
        list(on_this_host, &own, bound.port(), scheme, public_url)
    }
}

fn list(
    on_this_host: Option<String>,
    own: &[IpAddr],
    port: u16,
    scheme: Scheme,
    public_url: Option<&str>,
) -> Addresses {
    let page = |scheme: &str, host: &str| format!("{scheme}://{host}:{port}/");
    let mut all: Vec<String> = on_this_host.iter().map(|host| page("http", host)).collect();
    all.extend(public_url.map(|url| format!("{url}/")));
    let word = if scheme == Scheme::Http { "http" } else { "https" };
    all.extend(own.iter().map(|ip| page(word, &host(*ip))));
    // A page that greets a phone with a warning looks broken; from the plain one, rooms lead on to https.
    let open = if scheme == Scheme::Https { "https" } else { "http" };
    let phone = public_url.map(|url| format!("{url}/")).or_else(|| own.first().map(|ip| page(open, &host(*ip))));
    let listen_only = if scheme == Scheme::Either { own.len() } else { 0 };
    all.extend(own[..listen_only].iter().map(|ip| page("http", &host(*ip))));
    Addresses { all, listen_only, phone }
}

fn host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The address that this host speaks from when it speaks to the world. No datagram is sent: connecting a UDP socket only
/// looks up the route. The destination is for documentation (RFC 5737).
fn outgoing() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// Phones are most likely on the network that leads to the world, and IPv4 is easier to type; else the system's order.
fn best_first(mut own: Vec<IpAddr>, outgoing: Option<IpAddr>) -> Vec<IpAddr> {
    own.sort_by_key(|ip| (Some(*ip) != outgoing, ip.is_ipv6()));
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn listed(scheme: Scheme, public_url: Option<&str>) -> Addresses {
        list(Some("localhost".into()), &ips(&["192.168.1.5", "2001:db8::5"]), 8088, scheme, public_url)
    }

    #[test]
    fn this_host_comes_first_and_without_tls() {
        let addresses = listed(Scheme::Https, None);
        assert_eq!(
            addresses.all,
            ["http://localhost:8088/", "https://192.168.1.5:8088/", "https://[2001:db8::5]:8088/"]
        );
        assert_eq!(addresses.phone.as_deref(), Some("https://192.168.1.5:8088/"));
        assert_eq!(listed(Scheme::Http, None).all[1], "http://192.168.1.5:8088/");
    }

    #[test]
    fn where_browsers_would_warn_listening_without_is_offered_too() {
        let addresses = listed(Scheme::Either, None);
        assert_eq!((addresses.all.len(), addresses.listen_only), (5, 2));
        assert_eq!(addresses.all[3], "http://192.168.1.5:8088/");
        assert_eq!(addresses.phone.as_deref(), Some("http://192.168.1.5:8088/"));
    }

    #[test]
    fn a_public_address_is_for_people_and_phones() {
        let addresses = listed(Scheme::Http, Some("https://meet.example.net"));
        assert_eq!(addresses.all[1], "https://meet.example.net/");
        assert_eq!(addresses.phone.as_deref(), Some("https://meet.example.net/"));
    }

    #[test]
    fn what_only_this_host_reaches_is_nothing_for_phones() {
        for bound in ["127.0.0.1:8088", "[::1]:8088"] {
            let addresses = Addresses::of(bound.parse().unwrap(), Scheme::Http, None);
            assert_eq!(addresses.all, [format!("http://{bound}/")]);
            assert_eq!(addresses.phone, None);
        }
    }

    #[test]
    fn the_network_that_leads_out_is_best() {
        let own = ips(&["2001:db8::5", "172.17.0.1", "192.168.1.5"]);
        let best = best_first(own, "192.168.1.5".parse().ok());
        assert_eq!(best, ips(&["192.168.1.5", "172.17.0.1", "2001:db8::5"]));
    }
}
