//! A STUN or TURN server that browsers may use. A value; nothing is sent to it from here.

use serde::Serialize;

/// An `RTCIceServer` of the WebRTC API: browsers learn their public address from it (STUN) or are relayed by it (TURN).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IceServer {
    /// One or more URLs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}
