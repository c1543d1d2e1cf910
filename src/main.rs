//! The program: reads the command line, starts the log, chooses the source, runs the application, and ends with a
//! documented exit code.

use std::io::{self, Write};
use std::process;

use roomtone::app::App;
use roomtone::app::logging::Logging;
use roomtone::audio::sources::device;
use roomtone::cli::command::Command;
use roomtone::cli::{command_line, greeting, invite, source};
use roomtone::config::Config;
use roomtone::config::start_error::{ExitCode, StartError};
use roomtone::os::{memory, nss};

fn main() {
    // First, while there is one thread: they change the C library's behaviour for the whole process.
    nss::use_linked_modules();
    memory::prepare();
    device::prepare_sound_libraries();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let command = command_line::parse(&args, |name| std::env::var(name).ok());
    let code = command.and_then(run).unwrap_or_else(report_error);
    process::exit(code as i32);
}

fn run(command: Command) -> Result<ExitCode, StartError> {
    match command {
        Command::Serve(config) => return serve(config),
        Command::Print(text) => print(&text),
        Command::ListDevices { json } => list_devices(json),
        Command::Invite(invitation) => {
            let invited = invite::invite(&invitation)?;
            print(&invited.link);
            eprintln!("{}", invited.note);
        }
        Command::Revoke(revocation) => print(&invite::revoke(&revocation)?),
    }
    Ok(ExitCode::Stopped)
}

fn serve(config: Config) -> Result<ExitCode, StartError> {
    let logging = Logging::start(&config.log)?;
    let source = source::resolve(&config.station)?;
    let app = App::start_with_log(config, source, logging)?;
    greeting::greet(&app);
    Ok(app.wait())
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

/// Unlike `println!`, it does not panic when the reader of a pipe has ended, as `head` does.
fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// After the log lines that explain it.
fn report_error(error: StartError) -> ExitCode {
    log::logger().flush();
    eprintln!("roomtone: {}", error.message);
    error.code
}
