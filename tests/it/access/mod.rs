mod invitations;
mod moderators;
mod origins;
mod private_server;
mod tickets;
mod tokens;
