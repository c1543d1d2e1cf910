//! The program: reads the command line, starts the log and the house, waits, and ends with a documented exit code.

use std::io::{self, Write};
use std::process;

use roomtone::app::{self, App};
use roomtone::audio::sources::device;
use roomtone::cli::command::Command;
use roomtone::cli::{command_line, greeting, invite, source};
use roomtone::config::Config;
use roomtone::config::start_error::{ExitCode, StartError};
use roomtone::os::nss;

fn main() {
    // While there is one thread: a static program must not use what belongs to another libc.
    nss::use_linked_modules();
    device::settle();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let parsed = command_line::parse(&args, |name| std::env::var(name).ok());
    let code = parsed.and_then(run).unwrap_or_else(|StartError { code, message }| {
        eprintln!("roomtone: {message}");
        code
    });
    process::exit(code as i32);
}

fn run(command: Command) -> Result<ExitCode, StartError> {
    match command {
        Command::Print(text) => print(&text),
        Command::ListDevices { json } => list_devices(json),
        Command::Invite(invitation) => {
            let invited = invite::invite(&invitation)?;
            print(&invited.link);
            eprintln!("{}", invited.note);
        }
        Command::Revoke(revocation) => print(&invite::revoke(&revocation)?),
        Command::Serve(config) => return serve(config),
    }
    Ok(ExitCode::Stopped)
}

fn list_devices(json: bool) {
    let devices = device::list();
    if json {
        print(&serde_json::to_string_pretty(&devices).expect("device entries are plain data"));
    } else if devices.is_empty() {
        print("No capture device found. roomtone --sine-wave plays a test tone.");
    } else {
        print(&device::table(&devices));
    }
}

/// Unlike `println!`, it does not mind when whoever read has read enough, as `head` does.
fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn serve(config: Config) -> Result<ExitCode, StartError> {
    app::start_log(&config)?;
    let source = source::resolve(&config.station)?;
    let app = App::start(config, source)?;
    greeting::greet(&app);
    Ok(app.wait())
}
