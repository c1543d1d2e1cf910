//! Media as it travels between the parts of the program.

pub mod packet;
pub mod track;
