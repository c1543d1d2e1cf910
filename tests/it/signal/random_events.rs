//! What must hold after any sequence of joins, messages and disconnects, in virtual time.

use proptest::prelude::*;
use roomtone::signal::client_message::ClientMessage;

use crate::signal::room_model::{Action, Model, ROOMS};
use crate::signal::virtual_rooms::id;

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let peer = 0..7_u8;
    let action = prop_oneof![
        6 => (peer.clone(), 0..ROOMS, 0..4).prop_map(|(n, room, dice)| Action::Join { n, room, moderator: dice == 0 }),
        3 => (peer.clone(), peer.clone(), 0..16_usize).prop_map(|(n, target, dice)| {
            let command = ["lock", "lock", "lock", "mute", "mute", "mute", "remove", "end-room"][dice / 2];
            Action::Moderate { n, target, command, locked: dice % 2 == 0 }
        }),
        3 => peer.clone().prop_map(|n| Action::Hello { n }),
        6 => (peer.clone(), peer.clone()).prop_map(|(n, target)| Action::Offer { n, target }),
        2 => peer.clone().prop_map(|n| Action::Chat { n }),
        1 => peer.clone().prop_map(|n| Action::SendInvalid { n }),
        2 => (peer.clone(), peer.clone()).prop_map(|(n, target)| Action::SendOnOldConnection { n, target }),
        3 => peer.clone().prop_map(|n| Action::Drop { n }),
        1 => peer.clone().prop_map(|n| Action::Close { n }),
        1 => peer.clone().prop_map(|n| Action::Leave { n }),
        3 => (0..15_000_u64).prop_map(|ms| Action::Wait { ms }),
    ];
    prop::collection::vec(action, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_events_each_peer_knows_exactly_the_others_in_its_room(actions in actions()) {
        let mut model = Model::new();
        for action in &actions {
            model.act(action);
        }
    }

    #[test]
    fn parsing_any_text_does_not_panic(text in "\\PC{0,200}") {
        let _ = ClientMessage::parse(&text);
        let _ = ClientMessage::parse(&format!("{{\"type\":\"offer\",\"targetId\":\"{}\",\"payload\":{text}}}", id(1)));
    }
}
