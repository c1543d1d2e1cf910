//! The names by which other machines may reach this host: its own, those that its files give it, and its own below the
//! domains in which it looks names up. Read once, at start-up, on the main thread; no name is looked up.

/// All of them in lower case, without a dot at the end.
pub fn of_this_host() -> Vec<String> {
    let host = gethostname::gethostname();
    let read = |path| if cfg!(unix) { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    names(&host.to_string_lossy(), &read("/etc/hosts"), &read("/etc/resolv.conf"))
}

fn names(host: &str, hosts: &str, resolv_conf: &str) -> Vec<String> {
    let host = plain(host);
    let label = host.split('.').next().unwrap_or_default().to_owned();
    // A host without a name of its own would take over whatever stands beside `localhost`.
    if label.is_empty() || label == "localhost" {
        return vec![];
    }
    let mut names = vec![host.clone(), label.clone()];
    for line in hosts.lines().map(without_comment) {
        // The address, then its names (hosts(5)).
        let aliases: Vec<String> = line.split_whitespace().skip(1).map(plain).collect();
        if aliases.iter().any(|alias| *alias == host || *alias == label) {
            names.extend(aliases);
        }
    }
    for line in resolv_conf.lines().map(without_comment) {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("search" | "domain")) {
            names
                .extend(words.map(plain).filter(|domain| !domain.is_empty()).map(|domain| format!("{label}.{domain}")));
        }
    }
    names.sort();
    names.dedup();
    names
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn without_comment(line: &str) -> &str {
    line.split(['#', ';']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_its_own_name_its_aliases_and_below_its_search_domains() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\tStudio.example.org studio # us\n::1 localhost ip6-localhost\n\
                     0.0.0.0 advertisement.example\n#127.0.0.2 studio old.example\n";
        let resolv_conf = "# made by DHCP\nnameserver 192.168.178.1\nsearch fritz.box Example.NET.\noptions edns0\n";
        let expected =
            ["studio", "studio.example.net", "studio.example.org", "studio.fritz.box"].map(str::to_owned).to_vec();
        assert_eq!(names("Studio", hosts, resolv_conf), expected);
        assert_eq!(names("studio.lab.example", "", "search .\n"), ["studio", "studio.lab.example"]);
    }

    #[test]
    fn a_host_without_a_name_has_none() {
        for host in ["localhost", "", ".", "localhost.localdomain"] {
            assert_eq!(names(host, "127.0.0.1 localhost other.example\n", "search example.org\n"), [""; 0], "{host}");
        }
    }
}
