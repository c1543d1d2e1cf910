//! `/api/status` over real sockets.

use serde_json::Value;

use crate::harness::server::Server;

#[test]
fn the_status_is_json_without_addresses_of_clients() {
    let server = Server::open();
    let response = server.ask("GET", "/api/status", "", b"");
    assert_eq!(response.field("cache-control"), Some("no-store"));
    let status = response.json();
    assert_eq!(status["name"], "roomtone");
    assert_eq!(status["stations"][0]["name"], "main");
    assert_eq!(status["stations"][0]["level"]["left_dbfs"], Value::Null);
    assert_eq!(status["stations"][0]["encoding"]["packet_ms"], 20.0);
    assert_eq!(status["stations"][1]["listeners"], 0);
    assert_eq!(status["door"]["connections"], 1);
    assert_eq!(status["limits"]["head_bytes"], 16384);
    assert!(!String::from_utf8_lossy(&response.body).contains("127.0.0.1"));
}

#[test]
fn every_limit_is_in_the_status() {
    let limits = Server::open().ask("GET", "/api/status", "", b"").json()["limits"].clone();
    for name in ["connections", "connections_per_address", "connections_per_s", "listeners", "listeners_per_address"] {
        assert!(limits[name].as_u64().is_some(), "{name}: {limits}");
    }
    assert_eq!((&limits["head_bytes"], &limits["head_s"]), (&16_384.into(), &10.0.into()));
    assert_eq!((&limits["body_bytes"], &limits["body_s"]), (&65_536.into(), &10.0.into()));
    assert_eq!((&limits["idle_s"], &limits["write_s"]), (&60.0.into(), &10.0.into()));
}
