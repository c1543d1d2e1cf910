//! Keeps the floor plan: a file imports only from floors below its own, and the pure cores touch nothing that waits.

use std::fs;
use std::path::Path;

/// The plan, ground floor first. A path stands for itself and everything under it.
const FLOORS: &[&[&str]] = &[
    &[
        "lookups",
        "notify",
        "observe::reports",
        "signal::heartbeat",
        "signal::ids",
        "rtc::batch",
        "rtc::fetch",
        "rtc::keys",
        "rtc::mailbox",
        "priority",
    ],
    &[
        "access::capability",
        "audio::pcm",
        "observe",
        "state",
        "quota",
        "qr",
        "signal::wire",
        "rtc::crypto",
        "rtc::gcm",
        "rtc::session",
        "rtc::datagrams",
        "rtc::candidates",
        "rtc::sdp",
        "rtc::stun",
    ],
    &["rtc::history", "rtc::voice"],
    &[
        "access::books",
        "rtc::listener",
        "signal::rooms",
        "audio::convert",
        "audio::resample",
        "audio::sine",
        "audio::encoder",
        "audio::pulse",
        "audio::alsa",
    ],
    &["access::links", "rtc::fanout", "audio::blocks", "audio::device"],
    &["audio::capture"],
    &["rtc::engine", "audio::station", "signal::hub"],
    &[
        "web::exchange",
        "web::descriptors",
        "web::readiness",
        "web::caller",
        "web::certificate",
        "web::query",
        "web::origin",
    ],
    &["web::assets", "web::body", "web::head", "web::gate", "web::tls"],
    &["web::site", "web::loopback", "web::upgrade", "web::redirect", "web::wire"],
    &["web::whep", "web::api", "web::ws"],
    &["web::conn"],
    &["web::http"],
    &["web::door"],
    &["config", "menu"],
    &["source", "invite", "addresses"],
    &["app"],
    &["greeting"],
];

/// Cores that take time as an argument, and what must not appear in them outside their tests.
const PURE: &[&str] = &[
    "rtc/batch.rs",
    "rtc/keys.rs",
    "rtc/voice.rs",
    "rtc/sdp.rs",
    "rtc/stun.rs",
    "rtc/listener.rs",
    "rtc/fanout.rs",
    "audio/blocks.rs",
    "audio/convert.rs",
    "signal/wire.rs",
    "signal/rooms.rs",
    "signal/rooms/host.rs",
    "signal/rooms/seats.rs",
    "signal/rooms/terms.rs",
    "signal/heartbeat.rs",
    "quota.rs",
    "qr.rs",
    "web/caller.rs",
    "web/redirect.rs",
    "web/query.rs",
    "web/origin.rs",
    "access/capability.rs",
];
const IMPURE: &[&str] =
    &["Instant::now", "SystemTime", "std::thread", "crossbeam", "Socket::", "std::fs", "std::io", "std::env"];

#[test]
fn every_file_imports_only_from_floors_below() {
    let mut wrong = vec![];
    for (path, text) in sources() {
        let Some(floor) = floor_of(&path) else {
            wrong.push(format!("{path} stands on no floor"));
            continue;
        };
        for import in imports(&text) {
            match floor_of(&import) {
                Some(other) if other < floor => {}
                // A file and the folder of its own parts share a floor.
                Some(other) if other == floor && import.starts_with(&path) => {}
                _ => wrong.push(format!("{path} imports {import}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn signal_audio_and_rtc_know_nothing_of_each_other() {
    let strangers = [
        ("audio", "rtc"),
        ("audio", "signal"),
        ("audio", "web"),
        ("signal", "rtc"),
        ("signal", "web"),
        ("rtc", "signal"),
        ("rtc", "web"),
        ("signal", "audio"),
    ];
    for (path, text) in sources() {
        for (here, there) in strangers {
            let meets = path.starts_with(&format!("{here}::")) && text.contains(&format!("crate::{there}::"));
            assert!(!meets, "{path} knows of {there}");
        }
    }
}

#[test]
fn pure_cores_touch_no_clock_thread_socket_or_file() {
    for name in PURE {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in IMPURE {
            assert!(!code.contains(word), "{name} has {word}");
        }
    }
}

/// What the `use crate::` statements name, items in braces one by one; unit tests may look where they like.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let statements = code.split("use crate::").skip(1).filter_map(|rest| rest.split(';').next());
    statements
        .flat_map(|statement| {
            let flat: String = statement.split_whitespace().collect();
            match flat.split_once("::{") {
                Some((module, items)) => {
                    items.trim_end_matches('}').split(',').map(|item| format!("{module}::{item}")).collect()
                }
                None => vec![flat],
            }
        })
        .collect()
}

fn floor_of(module: &str) -> Option<usize> {
    let within = |place: &str| module == place || module.starts_with(&format!("{place}::"));
    FLOORS.iter().position(|floor| floor.iter().any(|place| within(place)))
}

/// Every file of the library as (module path, text), folders' own `mod.rs` left out: they only list.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![];
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !["mod.rs", "lib.rs", "main.rs"].contains(&name.as_str()) {
                let module = path.strip_prefix(&root).unwrap().with_extension("");
                let module = module.to_str().unwrap().replace(std::path::MAIN_SEPARATOR, "::");
                files.push((module, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 15, "the sources were not found");
    files
}
