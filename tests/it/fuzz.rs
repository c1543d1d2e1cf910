//! A short run of the fuzz targets' bodies: every seed and every case that a fuzzer has found, then mutations of them. It is
//! the same run each time.

#[path = "../fuzz/bodies.rs"]
pub mod bodies;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::harness::random::Random;

/// Mutations of each body; those that set up sessions or write files are slow.
fn rounds(name: &str) -> usize {
    match name {
        "offer" | "fragment" => 1_000,
        "datagrams" | "sessions" | "state_files" => 200,
        "connection" => 500,
        _ => 50_000,
    }
}

/// A seed after one to four changes: bits flipped, bytes replaced, removed, repeated, or taken from another seed.
fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut below = |end: usize| random.below(end as u64) as usize;
    let mut bytes = seeds[below(seeds.len())].clone();
    for _ in 0..1 + below(4) {
        let at = below(bytes.len() + 1);
        let length = below(32).min(bytes.len() - at);
        match below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(8),
            1 if at < bytes.len() => bytes[at] = below(256) as u8,
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = &seeds[below(seeds.len())];
                let from = below(other.len() + 1);
                let piece = other[from..other.len().min(from + below(64))].to_vec();
                bytes.splice(at..at + length, piece);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn run(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(name);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let mut random = Random(1);
    let mutations = (0..rounds(name)).map(|_| mutated(&seeds, &mut random)).collect::<Vec<_>>();
    for bytes in seeds.iter().chain(&mutations) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| bodies::run(name, bytes))) {
            eprintln!("{name} fails with {}", bytes.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn what_a_connection_speaks_is_decided_once() {
    run("first_bytes");
}

#[test]
fn a_client_is_who_its_nearest_proxy_names_and_no_foreign_page_is_taken_for_an_own_one() {
    run("client");
}

#[test]
fn any_request_head_is_read_or_refused() {
    run("head");
}

#[test]
fn any_sequence_of_requests_on_one_connection_is_answered_the_same_however_it_is_cut() {
    run("connection");
}

#[test]
fn any_message_is_passed_on_as_json_or_refused() {
    run("message");
}

#[test]
fn any_name_is_accepted_unchanged_or_refused() {
    run("names");
}

#[test]
fn any_offer_is_answered_or_refused_in_one_sentence() {
    run("offer");
}

#[test]
fn any_ice_fragment_is_understood_or_refused_in_one_sentence() {
    run("fragment");
}

#[test]
fn no_datagram_disturbs_a_connected_listener() {
    run("datagrams");
}

#[test]
fn sessions_end_once_after_any_sequence_of_events() {
    run("sessions");
}

#[test]
fn no_bytes_in_a_state_file_make_a_revoked_token_valid() {
    run("state_files");
}
