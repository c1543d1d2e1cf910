mod invitations;
mod moderators;
mod origins;
mod private_server;
mod tokens;
