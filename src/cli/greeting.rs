//! What the person at the terminal is shown once the house is open, and no log ever is: a picture to open the page on a
//! phone, and the link that makes an admin. Runs on `main`; says nothing to files and pipes.

use std::io::{self, IsTerminal, Write};

use crate::app::App;
use crate::cli::qr;

/// Shows it, if there is a terminal. One that has gone meanwhile is nobody's loss.
pub fn greet(app: &App) {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    if err.is_terminal()
        && let Some(picture) = app.phone_address().and_then(qr::picture)
    {
        let _ = err.write_all(picture.as_bytes());
    }
    // Whoever has the link may do everything, so it must get into no file.
    if out.is_terminal()
        && let Some(link) = app.admin_link()
    {
        let _ = writeln!(out, "Yours alone, to change what this host does: {link}");
    }
}
