//! What a moderator can do in a room: lock it, mute a peer, remove a peer, end the room. A peer is a moderator while it is on
//! a connection that was opened with an admin token. From any other peer these commands are refused here, before anything
//! else is looked at. Pure.

use std::collections::VecDeque;

use crate::ids::peer::PeerId;
use crate::signal::client_message::ModeratorCommand;
use crate::signal::events::{CloseReason, ConnectionId, Output, PeerEvent};
use crate::signal::protocol_error::ErrorCode;
use crate::signal::registry::Registry;
use crate::signal::server_message::ServerMessage;

/// Removed peers that are remembered. Of more, the oldest may join again, as anybody can with a new id.
const MAX_REMOVED: usize = 1_024;

/// What a removed peer is told, at once and at each attempt to come back.
pub(crate) const REMOVED_MESSAGE: &str = "A moderator removed you from this room.";

/// Carries out moderators' commands, and remembers which peers were removed.
#[derive(Debug, Default)]
pub(crate) struct Moderation {
    /// Their resume tokens are void, in every room. Oldest first.
    removed: VecDeque<PeerId>,
}

impl Moderation {
    /// Whether a moderator removed this peer.
    pub fn is_removed(&self, id: PeerId) -> bool {
        self.removed.contains(&id)
    }

    /// A peer sent a moderator's command.
    pub fn handle_command(
        &mut self,
        registry: &mut Registry,
        connection: ConnectionId,
        sender: PeerId,
        command: ModeratorCommand,
    ) {
        if !registry.peers.get(&sender).is_some_and(|peer| peer.moderator) {
            return registry.send_error(connection, ErrorCode::NotAllowed, "Only a moderator may do that.");
        }
        match command {
            ModeratorCommand::Lock(locked) => lock(registry, sender, locked),
            ModeratorCommand::EndRoom => end_room(registry, sender),
            ModeratorCommand::Mute(target) | ModeratorCommand::Remove(target)
                if !registry.share_a_room(sender, target) =>
            {
                registry.send_unknown_target(connection);
            }
            ModeratorCommand::Mute(target) => mute(registry, target),
            ModeratorCommand::Remove(target) => self.remove(registry, target),
        }
    }

    fn remove(&mut self, registry: &mut Registry, target: PeerId) {
        self.removed.push_back(target);
        if self.removed.len() > MAX_REMOVED {
            self.removed.pop_front();
        }
        if let Some(connection) = registry.peers.get(&target).and_then(|peer| peer.connection()) {
            registry.close_with_error(connection, ErrorCode::Removed, REMOVED_MESSAGE, CloseReason::Removed);
        }
        registry.remove_peer(target);
    }
}

fn lock(registry: &mut Registry, moderator: PeerId, locked: bool) {
    let Some(name) = registry.room_name(moderator).cloned() else { return };
    let Some(room) = registry.rooms.get_mut(&name) else { return };
    if std::mem::replace(&mut room.locked, locked) != locked {
        registry.broadcast(&name, &ServerMessage::RoomState { locked }.to_json(), None);
    }
}

/// A request that the target's own page carries out. Until that page says that it has, everybody who joins or resumes is
/// told too.
fn mute(registry: &mut Registry, target: PeerId) {
    let Some(peer) = registry.peers.get_mut(&target) else { return };
    peer.mute_pending = true;
    let name = peer.room.clone();
    registry.broadcast(&name, &ServerMessage::Mute { id: target }.to_json(), None);
}

/// Removes all peers, the moderator too. They are not told of each other's leaving.
fn end_room(registry: &mut Registry, moderator: PeerId) {
    let Some(name) = registry.room_name(moderator).cloned() else { return };
    let Some(room) = registry.rooms.remove(&name) else { return };
    for id in room.members {
        let Some(peer) = registry.forget_peer(id) else { continue };
        if let Some(connection) = peer.connection() {
            registry.connections.remove(&connection);
            let message = "A moderator ended this room.";
            registry.close_with_error(connection, ErrorCode::RoomEnded, message, CloseReason::RoomEnded);
        }
        registry.outputs.push_back(Output::PeerChanged { peer: id, event: PeerEvent::Left, in_room: 0 });
    }
}
