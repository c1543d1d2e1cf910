//! Streams a test tone: open the printed address and press Listen.
//!
//!     cargo run --release --example sine -- [PORT] [HZ]

use roomtone::app::App;
use roomtone::config::Config;
use roomtone::config::start_error::StartError;
use roomtone::station::source::Source;

fn main() -> Result<(), StartError> {
    let mut args = std::env::args().skip(1);
    let port = args.next().and_then(|port| port.parse().ok()).unwrap_or(8088);
    let tone_hz = args.next().and_then(|hz| hz.parse().ok()).unwrap_or(440.0);
    let mut config = Config::default();
    config.net.port = port;
    let app = App::start(config, Source::Sine { tone_hz })?;
    for address in app.addresses() {
        println!("open {address}listen");
    }
    let code = app.wait();
    std::process::exit(code as i32);
}
