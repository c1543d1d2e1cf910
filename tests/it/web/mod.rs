pub mod http;
mod tls;
pub mod whep;
