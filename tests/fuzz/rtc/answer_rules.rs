//! What must hold of every answer, as strict clients read it.

/// A section, or the session part, as its lines.
type Block<'a> = Vec<&'a str>;

/// RFC 9429 §5.1.2.
const RTP_PROTOCOLS: [&str; 12] = [
    "RTP/AVP",
    "RTP/AVPF",
    "RTP/SAVP",
    "RTP/SAVPF",
    "UDP/TLS/RTP/AVP",
    "UDP/TLS/RTP/AVPF",
    "UDP/TLS/RTP/SAVP",
    "UDP/TLS/RTP/SAVPF",
    "TCP/DTLS/RTP/SAVP",
    "TCP/DTLS/RTP/SAVPF",
    "TCP/TLS/RTP/SAVP",
    "TCP/TLS/RTP/SAVPF",
];

/// Panics if the answer breaks a rule that an answer to this offer has to keep.
pub fn check(offer: &str, answer: &str) {
    assert!(answer.ends_with("\r\n") && !answer.replace("\r\n", "").contains(['\r', '\n']), "{answer}");
    assert!(answer.starts_with("v=0\r\no="), "{answer}");
    let (offered, answered) = (blocks(offer), blocks(answer));
    assert_eq!(offered.len(), answered.len(), "RFC 3264 §6: one section for each\n{answer}");
    let session = &offered[0];
    let groups = values(session, "group");
    for group in values(&answered[0], "group") {
        let is_part = |whole: &String| {
            let mut whole = whole.split_ascii_whitespace().skip(1);
            group.split(' ').skip(1).all(|mid| whole.any(|its| its == mid))
        };
        assert!(groups.iter().any(is_part), "RFC 9143 §7.3: {group} was not offered\n{answer}");
    }
    let grouped: Vec<_> = values(&answered[0], "group").iter().flat_map(|g| mids(g)).collect();
    let mut transports = vec![];
    for (offered, answered) in offered.iter().zip(&answered).skip(1) {
        let (theirs, ours) = (words(offered[0]), words(answered[0]));
        assert_eq!((theirs[0], theirs[2]), (ours[0], ours[2]), "RFC 9429 §5.3.1: media and protocol\n{answer}");
        let mid = value(answered, "mid");
        assert_eq!(mid.clone().unwrap_or_default(), value(offered, "mid").unwrap_or_default(), "{answer}");
        let is_refused = ours[1] == "0";
        if is_refused {
            assert!(
                !grouped.contains(&mid.unwrap_or_default()),
                "RFC 9143 §7.3.3: a refused section in the group\n{answer}"
            );
        } else {
            assert!(!values(answered, "candidate").is_empty() && answered.contains(&"a=end-of-candidates"), "{answer}");
        }
        transports.push(["ice-ufrag", "ice-pwd", "fingerprint", "setup"].map(|name| value(answered, name).unwrap()));
        // A protocol that only looks like one of these is none of RTP's.
        if RTP_PROTOCOLS.contains(&ours[2]) {
            assert!(is_refused || answered.contains(&"a=rtcp-mux"), "{answer}");
            check_formats(offered, answered, &ours[3..], answer);
            check_extensions([session, offered], answered, answer);
        }
    }
    assert!(transports.windows(2).all(|two| two[0] == two[1]), "one transport, one set of attributes\n{answer}");
    check_track(&offered, &answered, answer);
}

fn check_formats(offered: &Block<'_>, answered: &Block<'_>, formats: &[&str], answer: &str) {
    assert!(!formats.is_empty(), "{answer}");
    for format in formats {
        let is_explained = values(answered, "rtpmap").iter().any(|map| map.starts_with(&format!("{format} ")));
        let is_static = format.parse::<u8>().is_ok_and(|number| number < 35);
        assert!(is_explained || is_static, "{format} has no rtpmap\n{answer}");
        // Whoever offers 012 offers 12.
        let is_offered =
            words(offered[0])[3..].iter().any(|its| its.trim_start_matches('0') == format.trim_start_matches('0'));
        assert!(is_offered || formats == ["0"], "{format} was not offered\n{answer}");
    }
    let directions = ["a=sendonly", "a=inactive"].map(|direction| answered.iter().filter(|l| **l == direction).count());
    assert_eq!(directions.iter().sum::<usize>(), 1, "{answer}");
    assert!(!answered.iter().any(|l| matches!(*l, "a=sendrecv" | "a=recvonly")), "{answer}");
}

/// RFC 8285 §6: one that the session offers is offered for each section.
fn check_extensions(offered: [&Block<'_>; 2], answered: &Block<'_>, answer: &str) {
    for extension in values(answered, "extmap") {
        let name = extension.split(' ').nth(1).unwrap();
        let is_offered = offered
            .iter()
            .any(|block| values(block, "extmap").iter().any(|its| its.split_ascii_whitespace().nth(1) == Some(name)));
        assert!(is_offered, "{name} was not offered\n{answer}");
    }
}

fn check_track(offered: &[Block<'_>], answered: &[Block<'_>], answer: &str) {
    let tracks: Vec<_> = (1..answered.len()).filter(|n| answered[*n].contains(&"a=sendonly")).collect();
    let [nth] = tracks.as_slice() else { panic!("{} sections carry the track\n{answer}", tracks.len()) };
    let track = &answered[*nth];
    let format = words(track[0])[3];
    assert!(track.contains(&format!("a=rtpmap:{format} opus/48000/2").as_str()), "RFC 7587 §7\n{answer}");
    assert_eq!(words(track[0]).len(), 4, "one codec is sent\n{answer}");
    assert!(words(track[0])[1] != "0" && track.iter().any(|l| l.starts_with("a=ssrc:")), "{answer}");
    let is_nack = track.iter().any(|l| l.starts_with("a=rtcp-fb:"));
    assert!(!is_nack || offered[*nth].iter().any(|l| l.to_ascii_lowercase().contains("nack")), "{answer}");
}

fn mids(group: &str) -> Vec<String> {
    group.split_ascii_whitespace().skip(1).map(str::to_owned).collect()
}

fn words(line: &str) -> Vec<&str> {
    line.split_once('=').map_or("", |(_, value)| value).split_ascii_whitespace().collect()
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = vec![vec![]];
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if line.starts_with("m=") {
            blocks.push(vec![]);
        }
        blocks.last_mut().unwrap().push(line);
    }
    blocks
}

fn values(block: &Block<'_>, name: &str) -> Vec<String> {
    let attributes = block.iter().filter_map(|line| line.strip_prefix("a=")?.split_once(':'));
    attributes
        .filter(|(its, _)| its.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .collect()
}

fn value(block: &Block<'_>, name: &str) -> Option<String> {
    values(block, name).into_iter().next()
}
