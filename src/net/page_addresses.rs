//! The addresses of the page that are shown to people: to the person who started the program, and the one for phones.
//! Asks the operating system once, at start-up, on the main thread; changes nothing.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::net::interfaces;

/// Which schemes the port serves, and whether browsers know its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS only.
    Http,
    /// With TLS, and a certificate that browsers may know.
    Https,
    /// With TLS, and a certificate that browsers warn about: listening is easier over http.
    SelfSigned,
}

/// Every address of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageAddresses {
    /// Best first; those that are only for listening last.
    pub all: Vec<String>,
    /// How many of them, at the end, are for listening only.
    pub listen_only: usize,
    /// The address to open on a phone; None if only this host can reach the page.
    pub phone: Option<String>,
}

impl PageAddresses {
    /// The addresses of a server whose listener is bound to `bound`.
    pub fn new(bound: SocketAddr, scheme: Scheme, public_url: Option<&str>) -> PageAddresses {
        let ip = bound.ip().to_canonical();
        let bound = SocketAddr::new(ip, bound.port());
        let network: Vec<IpAddr> = if ip.is_unspecified() {
            let found = interfaces::local_addresses(bound, None).into_iter().map(|address| address.ip());
            best_first(found.filter(|ip| !ip.is_loopback()).collect(), outgoing_ip())
        } else {
            [ip].into_iter().filter(|ip| !ip.is_loopback()).collect()
        };
        let this_host =
            if ip.is_unspecified() { Some("localhost".to_owned()) } else { ip.is_loopback().then(|| url_host(ip)) };
        list(this_host, &network, bound.port(), scheme, public_url)
    }
}

/// `this_host`: the host under which this very machine reaches the page. `network`: where others reach it, best first.
fn list(
    this_host: Option<String>,
    network: &[IpAddr],
    port: u16,
    scheme: Scheme,
    public_url: Option<&str>,
) -> PageAddresses {
    let url = |scheme: &str, host: &str| format!("{scheme}://{host}:{port}/");
    let public_url = public_url.map(|url| format!("{url}/"));
    let mut all: Vec<String> = this_host.iter().map(|host| url("http", host)).collect();
    all.extend(public_url.clone());
    let page_scheme = if scheme == Scheme::Http { "http" } else { "https" };
    all.extend(network.iter().map(|ip| url(page_scheme, &url_host(*ip))));
    // A page that begins with a certificate warning looks broken on a phone. From the http page, rooms lead to https.
    let phone_scheme = if scheme == Scheme::Https { "https" } else { "http" };
    let phone = public_url.or_else(|| network.first().map(|ip| url(phone_scheme, &url_host(*ip))));
    let listen_only = if scheme == Scheme::SelfSigned { network.len() } else { 0 };
    all.extend(network[..listen_only].iter().map(|ip| url("http", &url_host(*ip))));
    PageAddresses { all, listen_only, phone }
}

fn url_host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The address from which this host sends to the internet. No datagram is sent: connecting a UDP socket only looks up the
/// route. The destination is an address for documentation (RFC 5737).
fn outgoing_ip() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// The address on the route to the internet first, because phones are most likely on that network; then IPv4, which is
/// easier to type; else in the system's order.
fn best_first(mut network: Vec<IpAddr>, outgoing: Option<IpAddr>) -> Vec<IpAddr> {
    network.sort_by_key(|ip| (Some(*ip) != outgoing, ip.is_ipv6()));
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn listed(scheme: Scheme, public_url: Option<&str>) -> PageAddresses {
        list(Some("localhost".into()), &ips(&["192.168.1.5", "2001:db8::5"]), 8088, scheme, public_url)
    }

    #[test]
    fn localhost_comes_first_and_without_tls() {
        let addresses = listed(Scheme::Https, None);
        assert_eq!(
            addresses.all,
            ["http://localhost:8088/", "https://192.168.1.5:8088/", "https://[2001:db8::5]:8088/"]
        );
        assert_eq!(addresses.phone.as_deref(), Some("https://192.168.1.5:8088/"));
        assert_eq!(listed(Scheme::Http, None).all[1], "http://192.168.1.5:8088/");
    }

    #[test]
    fn with_a_self_signed_certificate_http_is_listed_for_listening() {
        let addresses = listed(Scheme::SelfSigned, None);
        assert_eq!((addresses.all.len(), addresses.listen_only), (5, 2));
        assert_eq!(addresses.all[3], "http://192.168.1.5:8088/");
        assert_eq!(addresses.phone.as_deref(), Some("http://192.168.1.5:8088/"));
    }

    #[test]
    fn a_public_url_is_shown_to_people_and_phones() {
        let addresses = listed(Scheme::Http, Some("https://meet.example.net"));
        assert_eq!(addresses.all[1], "https://meet.example.net/");
        assert_eq!(addresses.phone.as_deref(), Some("https://meet.example.net/"));
    }

    #[test]
    fn a_loopback_address_is_not_offered_to_phones() {
        for bound in ["127.0.0.1:8088", "[::1]:8088"] {
            let addresses = PageAddresses::new(bound.parse().unwrap(), Scheme::Http, None);
            assert_eq!(addresses.all, [format!("http://{bound}/")]);
            assert_eq!(addresses.phone, None);
        }
    }

    #[test]
    fn the_address_on_the_route_to_the_internet_comes_first() {
        let network = ips(&["2001:db8::5", "172.17.0.1", "192.168.1.5"]);
        let best = best_first(network, "192.168.1.5".parse().ok());
        assert_eq!(best, ips(&["192.168.1.5", "172.17.0.1", "2001:db8::5"]));
    }
}
