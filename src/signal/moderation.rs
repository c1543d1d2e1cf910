//! PeerEvent a host may do in a room: lock it, turn somebody's microphone off, remove somebody, end it. Whoever came in with an
//! admin's token is a host; from anybody else these are refused here, before anything is looked at. Pure.

use crate::ids::peer::PeerId;
use crate::signal::messages::{self, ClientMessage, ErrorCode, ProtocolError, ServerMessage};

use super::peer::Place;
use super::{Link, Output, PeerEvent, REMOVED, REMOVED_SENTENCE, Reason, Rooms};

impl Rooms {
    /// Somebody asks for what only a host may do.
    pub(super) fn order(&mut self, link: Link, id: PeerId, said: ClientMessage) {
        if !self.seats.get(&id).is_some_and(|seat| seat.host) {
            return self.fault(link, ErrorCode::NotAllowed, "Only a host may do that.");
        }
        match said {
            ClientMessage::Lock(locked) => self.lock(id, locked),
            ClientMessage::Mute(target) if self.is_beside(id, target) => self.mute(target),
            ClientMessage::Remove(target) if self.is_beside(id, target) => self.remove(target),
            ClientMessage::EndRoom => self.end_room(id),
            _ => {
                let ProtocolError { code, message } = messages::unknown_target();
                self.fault(link, code, &message);
            }
        }
    }

    /// Whether the two are different and in the same room.
    fn is_beside(&self, id: PeerId, target: PeerId) -> bool {
        let room = |id| self.seats.get(&id).map(|seat| &seat.room);
        id != target && room(target).is_some() && room(id) == room(target)
    }

    fn lock(&mut self, host: PeerId, locked: bool) {
        let Some(name) = self.seats.get(&host).map(|seat| seat.room.clone()) else { return };
        let Some(room) = self.rooms.get_mut(&name) else { return };
        if std::mem::replace(&mut room.locked, locked) != locked {
            self.tell(&name, &ServerMessage::RoomState { locked }.text(), None);
        }
    }

    /// A wish that the target's own page fulfils. Until it says that it has, whoever comes in or back is told too.
    fn mute(&mut self, target: PeerId) {
        let Some(seat) = self.seats.get_mut(&target) else { return };
        seat.silenced = true;
        let name = seat.room.clone();
        self.tell(&name, &ServerMessage::Mute { id: target }.text(), None);
    }

    fn remove(&mut self, target: PeerId) {
        self.removed.push_back(target);
        if self.removed.len() > REMOVED {
            self.removed.pop_front();
        }
        if let Some(Place::Here(link)) = self.seats.get(&target).map(|seat| &seat.place) {
            let link = *link;
            self.send_away(link, ErrorCode::Removed, REMOVED_SENTENCE, Reason::Removed);
        }
        self.leave(target);
    }

    /// Everybody goes, the host too; nobody is told of the others' going.
    fn end_room(&mut self, host: PeerId) {
        let Some(name) = self.seats.get(&host).map(|seat| seat.room.clone()) else { return };
        let Some(room) = self.rooms.remove(&name) else { return };
        for id in room.members {
            let Some(seat) = self.seats.remove(&id) else { continue };
            if let Place::Here(link) = seat.place {
                self.links.remove(&link);
                self.send_away(link, ErrorCode::RoomEnded, "A host ended this room.", Reason::RoomEnded);
            }
            self.outputs.push_back(Output::PeerChanged { peer: id, what: PeerEvent::Left, here: 0 });
        }
    }
}
