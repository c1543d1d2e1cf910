/**
 * Types of everything that the server and the pages send each other: messages of a room's WebSocket, and JSON bodies over
 * HTTP. Names of types and members are those on the wire. `src/signal/protocol.md` describes the messages.
 *
 * This module has no code. `tsc` checks every use of a payload against these types.
 */

// --- Rooms: what both directions share -------------------------------------------------------------------------------

/**
 * @typedef {object} PeerState How a peer wants to be shown. Always sent as a whole.
 * @property {string} name display name, may be empty
 * @property {boolean} muted its microphone is muted
 * @property {boolean} camera its camera is on
 * @property {string | null} screen id of the MediaStream of its shared screen
 */

/**
 * @typedef {object} SessionDescription
 * @property {"offer" | "answer"} type
 * @property {string} sdp
 */

/**
 * @typedef {object} ConnectionPair Which of several connections between the same two peers a message belongs to. Only
 *   roomtone's own page sends it. Each side gives each of its connections an id.
 * @property {string} mine id of the sender's connection
 * @property {string | null} yours id of the receiver's connection, null while the sender does not know it
 */

/**
 * @typedef {object} DescriptionPayload
 * @property {SessionDescription | string} sdp a string from some other clients
 * @property {ConnectionPair} [pair]
 */

/**
 * @typedef {object} CandidatePayload
 * @property {RTCIceCandidateInit | null} candidate
 * @property {ConnectionPair} [pair]
 * @property {"offer" | "restart"} [wish] with a `candidate` of null: asks the other side to make the next offer
 */

// --- Rooms: from the server to the page ------------------------------------------------------------------------------

/**
 * @typedef {object} InitPeers
 * @property {string} id this page's own peer id
 * @property {string[]} peerIds peers that are already in the room
 */

/** @typedef {{ id: string }} PeerId */

/**
 * @typedef {object} ConfigLimits
 * @property {number} roomSize
 * @property {number} messageBytes
 * @property {number} messagesPerSecond
 * @property {number} nameChars
 * @property {number} chatChars
 * @property {number} seatSeconds how long the server reserves the place of a disconnected peer
 */

/**
 * @typedef {object} Config
 * @property {string} instance changes with each start of the server
 * @property {string} resume token to reconnect with
 * @property {boolean} resumed the server still had this peer's place
 * @property {string} room
 * @property {RTCIceServer[]} iceServers
 * @property {number} stunPort port on which the server itself answers STUN
 * @property {string[]} stations names of the stations on air
 * @property {ConfigLimits} limits
 * @property {boolean} host this peer is a moderator
 * @property {boolean} locked
 */

/** @typedef {{ senderId: string }} Sender */

/**
 * @typedef {object} ChatMessage
 * @property {number} seq grows by one with each message of a room
 * @property {string} senderId
 * @property {string} name the sender's display name
 * @property {string} text
 * @property {number} ageMs time since it was sent
 */

/**
 * @typedef {"bad-json" | "bad-message" | "unknown-type" | "unknown-target" | "too-large" | "not-text" | "too-many-messages"
 *   | "too-slow" | "room-full" | "replaced" | "going-away" | "not-allowed" | "removed" | "room-locked" | "room-ended"} RoomErrorCode
 */

/**
 * @typedef {object} RoomError
 * @property {RoomErrorCode} code
 * @property {string} message a sentence for people
 */

/**
 * @typedef {{ type: "init-peers", payload: InitPeers }
 *   | { type: "config", payload: Config }
 *   | { type: "new-peer", payload: PeerId }
 *   | { type: "peer-disconnect", payload: PeerId }
 *   | { type: "offer", payload: DescriptionPayload & Sender }
 *   | { type: "answer", payload: DescriptionPayload & Sender }
 *   | { type: "ice-candidate", payload: CandidatePayload & Sender }
 *   | { type: "peer-state", payload: PeerState & PeerId }
 *   | { type: "chat", payload: ChatMessage }
 *   | { type: "room-state", payload: { locked: boolean } }
 *   | { type: "pong", payload: {} }
 *   | { type: "mute", payload: PeerId }
 *   | { type: "error", payload: RoomError }} ServerMessage
 */

/** @typedef {Exclude<ServerMessage, { type: "init-peers" | "config" }>} RoomMessage what follows `init-peers` and `config` */
/** @typedef {Extract<ServerMessage, { type: "offer" | "answer" | "ice-candidate" }>} PeerMessage from one peer, relayed unread */

// --- Rooms: from the page to the server ------------------------------------------------------------------------------

/**
 * @typedef {{ type: "offer", payload: DescriptionPayload }
 *   | { type: "answer", payload: DescriptionPayload }
 *   | { type: "ice-candidate", payload: CandidatePayload }} PeerMessageBody
 */

/** @typedef {PeerMessageBody & { targetId: string }} OutgoingPeerMessage the server relays it to the peer `targetId` */

/**
 * @typedef {{ type: "hello", payload: PeerState }
 *   | { type: "peer-state", payload: PeerState }
 *   | { type: "chat", payload: { text: string } }
 *   | { type: "ping", payload: {} }
 *   | { type: "leave", payload: {} }
 *   | { type: "lock", payload: { locked: boolean } }
 *   | { type: "remove", targetId: string, payload: {} }
 *   | { type: "mute", targetId: string, payload: {} }
 *   | { type: "end-room", payload: {} }} OutgoingRoomMessage
 */

/** @typedef {OutgoingPeerMessage | OutgoingRoomMessage} ClientMessage */

// --- GET /api/status -------------------------------------------------------------------------------------------------

/**
 * @typedef {object} SourceStatus Where a station's sound comes from.
 * @property {"sine" | "device" | "loopback" | "file" | "pipe"} kind
 * @property {string} name the device's name, or a description of the tone
 * @property {string | null} id the device's stable id
 * @property {"opening" | "live" | "silent" | "reopening"} state
 * @property {string | null} problem why no sound arrives, in a sentence
 * @property {number} rate_hz
 * @property {number} channels
 * @property {string} sample_format
 */

/**
 * @typedef {object} EncodingStatus
 * @property {number} channels
 * @property {number} bitrate_bps
 * @property {number} packet_ms
 * @property {"audio" | "voip" | "lowdelay"} application
 * @property {number} complexity
 * @property {boolean} fec
 * @property {boolean} dtx
 */

/**
 * @typedef {object} StationStatus
 * @property {string} name
 * @property {SourceStatus} source
 * @property {{ left_dbfs: number | null, right_dbfs: number | null }} level null is silence
 * @property {EncodingStatus} encoding
 * @property {number} packets
 * @property {{ blocks: number, packets: number }} drops
 * @property {number} silence_s
 * @property {number} reopened
 * @property {number} listeners
 */

/**
 * @typedef {object} Status The pages use only the first four members.
 * @property {string} name
 * @property {string} version
 * @property {number} uptime_s
 * @property {StationStatus[]} stations
 * @property {Record<string, number>} rtc
 * @property {Record<string, number>} rooms
 * @property {Record<string, number>} door
 * @property {Record<string, number>} limits
 */

// --- GET /api/access, and errors -------------------------------------------------------------------------------------

/**
 * @typedef {object} AccessGranted
 * @property {boolean} private the server runs with `--private`
 * @property {true} allowed
 * @property {boolean} host the token is an administrator's, so its bearer is a moderator in every room
 * @property {string} [ticket] stands for the tokens in the URL of one WebSocket, if one was asked for
 */

/** @typedef {"token-required" | "token-invalid" | "not-allowed" | "foreign-origin" | "misdirected" | "too-many-failures"} AccessErrorCode */

/**
 * @typedef {object} ErrorBody Body of every HTTP error of the server. A proxy in between may send a body of its own.
 * @property {{ code: string, message: string }} error `code` never changes its meaning, `message` is a sentence for people
 */

export {};
