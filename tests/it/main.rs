//! Everything that needs real sockets, in one binary.

mod http;
