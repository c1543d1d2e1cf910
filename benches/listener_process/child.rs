//! The listener process itself: one thread for all listeners, and one that reads commands. It ends when its standard input
//! does.

use std::io::{self, BufRead};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use mio::{Events, Poll, Token, Waker};

use super::clients::Clients;
use super::processor;
use super::protocol::{Command, Message};

/// With this argument a bench's executable calls `run` and does nothing else.
pub const FLAG: &str = "--listener-process";

const COMMANDS: Token = Token(usize::MAX);

/// Runs until standard input ends, on the second processor.
pub fn run() {
    processor::pin(processor::this_thread(), 1);
    let mut poll = Poll::new().expect("a poll");
    let commands = read_commands(Waker::new(poll.registry(), COMMANDS).expect("a waker"));
    let mut clients = Clients::new(poll.registry().try_clone().expect("a registry"));
    let mut events = Events::with_capacity(256);
    loop {
        let timeout = clients.next_timeout().unwrap_or(Duration::from_secs(1));
        poll.poll(&mut events, Some(timeout)).expect("a poll");
        for socket in events.iter().map(|event| event.token()).filter(|token| *token != COMMANDS) {
            clients.read(socket.0);
        }
        commands.try_iter().for_each(|command| handle_command(&mut clients, command));
        clients.make_offers();
        clients.handle_timeouts();
        clients.flush();
    }
}

/// If 64 commands wait, the bench waits too. It sends one for each handshake at most.
fn read_commands(waker: Waker) -> Receiver<Command> {
    let (sender, commands) = bounded(64);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let command = serde_json::from_str(&line).expect("a command");
            if sender.send(command).is_err() || waker.wake().is_err() {
                return;
            }
        }
        std::process::exit(0);
    });
    commands
}

fn handle_command(clients: &mut Clients, command: Command) {
    match command {
        Command::Connect(count) => clients.connect(count),
        Command::Answer { listener, sdp } => clients.accept_answer(listener, &sdp),
        Command::Reset => clients.reset(),
        Command::Report => Message::Report(clients.report()).send(),
    }
}
