//! SDP offers in great number, and of great size.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::loopback_client::post_offer;
use crate::harness::random::Random;
use crate::stress::hostile_clients::{address, oversized_offer, valid_offer};
use crate::stress::server_under_load::{ServerUnderLoad, WARM_UP_CONNECTIONS};

#[test]
fn a_flood_of_valid_offers() {
    // Each of the four clients sends ten times as many as it may by default.
    let unlimited = ["--offers-per-second", "1000000"];
    ServerUnderLoad::start(&unlimited, WARM_UP_CONNECTIONS).assert_recovers_twice(2_000, flood_with_offers);
}

fn flood_with_offers(server: &ServerUnderLoad) {
    let (port, offer) = (server.program.port, valid_offer());
    let begun = Instant::now();
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let offer = offer.clone();
            thread::spawn(move || {
                let (mut posted, mut statuses) = (0, BTreeMap::<String, usize>::new());
                // 500 a second from each of four clients, or as many as the machine allows.
                while begun.elapsed() < Duration::from_secs(5) {
                    if posted > begun.elapsed().as_millis() as usize / 2 {
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                    posted += 1;
                    let response = post_offer(port, address(n), &offer).unwrap_or_default();
                    *statuses.entry(response.split(' ').nth(1).unwrap_or("none").to_owned()).or_default() += 1;
                }
                (posted, statuses)
            })
        })
        .collect();
    let clients: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    println!("offers and responses of each client: {clients:?} in {:?}", begun.elapsed());
}

#[test]
fn offers_of_64_kib_without_use() {
    let server = ServerUnderLoad::start(&[], WARM_UP_CONNECTIONS);
    let mut random = Random(11);
    for n in 0..100 {
        let response = post_offer(server.program.port, address(n), &oversized_offer(n, &mut random)).unwrap();
        assert!([" 400 ", " 201 "].iter().any(|status| response[..20].contains(status)), "{}", &response[..200]);
    }
    server.assert_recovers();
}
