//! A short, seeded run of the fuzz targets' bodies: every seed and kept case as it is, then mutations of them. The same
//! seeds give the same run.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Mutations of each body; those that set up sessions are slow.
fn rounds(name: &str) -> usize {
    match name {
        "offer" => 1_000,
        "datagrams" | "sessions" => 200,
        _ => 50_000,
    }
}

/// splitmix64
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

/// Flips, cuts, repeats and splices, a few at a time.
fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let length = dice.below(32).min(bytes.len() - at);
        match dice.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = dice.below(256) as u8,
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = &seeds[dice.below(seeds.len())];
                let from = dice.below(other.len() + 1);
                let piece = other[from..other.len().min(from + dice.below(64))].to_vec();
                bytes.splice(at..at + length, piece);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn run(name: &str) {
    let (_, body) = bodies::BODIES.into_iter().find(|(n, _)| *n == name).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(name);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let mut dice = Dice(1);
    let mutations = (0..rounds(name)).map(|_| mutated(&seeds, &mut dice)).collect::<Vec<_>>();
    for bytes in seeds.iter().chain(&mutations) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(bytes))) {
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
fn any_request_head_is_read_or_refused() {
    run("head");
}

#[test]
fn any_message_is_passed_on_as_json_or_refused() {
    run("message");
}

#[test]
fn any_name_is_taken_as_it_is_or_refused() {
    run("names");
}

#[test]
fn any_offer_is_answered_or_refused_in_a_sentence() {
    run("offer");
}

#[test]
fn no_datagram_disturbs_who_is_on() {
    run("datagrams");
}

#[test]
fn no_sequence_of_events_confuses_the_fanout() {
    run("sessions");
}
