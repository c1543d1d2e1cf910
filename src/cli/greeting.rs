//! What the person at the terminal is shown once the server runs, and what no log contains: a QR code to open the page on a
//! phone, and the admin link. Files and pipes get nothing.
//!
//! It is written by the thread `greeting`, because `main` must not wait for a blocked terminal (Ctrl-S).

use std::io::{self, IsTerminal, Write};
use std::thread;

use crate::app::App;
use crate::cli::qr;

/// Shows it, if there is a terminal.
pub fn greet(app: &App) {
    let code = app.phone_address().filter(|_| io::stderr().is_terminal()).and_then(qr::picture);
    // The link permits everything, so it must not get into a file.
    let link = app.admin_link().filter(|_| io::stdout().is_terminal());
    let link = link.map(|link| format!("Admin link, for you only: {link}\n"));
    if code.is_none() && link.is_none() {
        return;
    }
    let write = move || {
        // Below the addresses, which are log lines.
        log::logger().flush();
        // A terminal that has been closed meanwhile is no problem.
        let _ = io::stderr().write_all(code.unwrap_or_default().as_bytes());
        let _ = io::stdout().write_all(link.unwrap_or_default().as_bytes());
    };
    // Its end is not reported: it ends as soon as it has written.
    if let Err(error) = thread::Builder::new().name("greeting".into()).spawn(write) {
        log::warn!("the admin link cannot be shown, as no thread can be started: {error}");
    }
}
