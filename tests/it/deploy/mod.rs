mod chroot;
mod deployment;
mod sound;
mod static_binary;
