mod deployment;
mod sound;
pub mod static_file;
