mod damaged_files;
mod invitations;
mod moderators;
mod origins;
mod private_server;
mod root_commands;
mod tickets;
mod tokens;
