//! Reads a command line without a subcommand, which asks to serve, by the table of flags; also the help text and the
//! version.
//!
//! Runs on `main` before anything is started. The environment is read here, through a function, and nowhere below.

use std::path::PathBuf;

use getopts::{Matches, Options};

use crate::cli::command::Command;
use crate::cli::flags::{EXCLUSIVE, FLAGS};
use crate::config::start_error::{ExitCode, StartError};
use crate::config::{Config, StateChoice};
use crate::os::sd_notify;

/// Reads a command line without a subcommand.
///
/// # Errors
/// [`ExitCode::Usage`] with a sentence that names the flag.
pub(crate) fn parse(args: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Command, StartError> {
    let options = options();
    let matches = options.parse(args).map_err(|error| usage(error.to_string()))?;
    if let Some(unknown) = matches.free.first() {
        return Err(usage(format!("`{unknown}` is not a flag")));
    }
    if matches.opt_present("help") {
        return Ok(Command::Print(help(&options)));
    }
    if matches.opt_present("version") {
        return Ok(Command::Print(version()));
    }
    if matches.opt_present("list-devices") {
        return Ok(Command::ListDevices { json: matches.opt_present("json") });
    }
    check_combinations(&matches)?;
    let mut config = Config::default();
    config.os.state_dir = default_state_dir(&env);
    config.os.sd_notify = sd_notify::Settings::from_vars(&env);
    config.log.is_colored = is_color_wanted(&env);
    for flag in FLAGS {
        flag.apply(&mut config, &matches, &env).map_err(usage)?;
    }
    Ok(Command::Serve(config))
}

/// The folder for keys without `--state-dir`: by the XDG Base Directory Specification on Unix, by its counterpart on
/// Windows.
pub(crate) fn default_state_dir(env: impl Fn(&str) -> Option<String>) -> StateChoice {
    // The specification: a relative path is to be ignored.
    let folder = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let parent = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else {
        folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))
    };
    StateChoice::Default(parent.map(|parent| parent.join("roomtone")))
}

/// As <https://no-color.org> asks; and a terminal whose kind is not known, or that is dumb, gets no escape sequences.
fn is_color_wanted(env: impl Fn(&str) -> Option<String>) -> bool {
    let is_terminal_capable = cfg!(windows) || env("TERM").is_some_and(|term| term != "dumb");
    is_terminal_capable && env("NO_COLOR").is_none()
}

fn options() -> Options {
    let mut options = Options::new();
    for flag in FLAGS {
        flag.add_to(&mut options);
    }
    options
}

fn help(options: &Options) -> String {
    let brief = "roomtone: video rooms and live sound from this host, for every browser. Run it and open the page.\n\n\
                 Usage: roomtone [FLAGS]\n       roomtone invite | revoke, see `roomtone invite --help`\n\n\
                 Without a flag for the source: Windows plays what the host plays; on a terminal a menu asks;\n\
                 else the default input is used, and if there is none, a test tone.";
    let codes = "\nExit codes: 0 stopped, 1 bug, 2 bad command line, 3 port or address not available,\n\
                 4 no such device, 5 file or folder not usable.";
    options.usage(brief) + codes
}

/// Which build this is, so that a bug report can name it.
fn version() -> String {
    let commit = match env!("ROOMTONE_COMMIT") {
        "" => String::new(),
        commit => format!(" ({commit})"),
    };
    let linked = if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" };
    let sound = match std::env::consts::OS {
        "linux" => "ALSA, PulseAudio",
        "windows" => "WASAPI",
        "macos" => "CoreAudio",
        _ => "none",
    };
    let (version, target) = (env!("CARGO_PKG_VERSION"), env!("ROOMTONE_TARGET"));
    format!("roomtone {version}{commit}\n{target}, {linked}\nfeatures: sound by {sound}; https, WHEP, rooms")
}

fn check_combinations(matches: &Matches) -> Result<(), StartError> {
    if matches.opt_present("json") {
        return Err(usage("--json goes with --list-devices"));
    }
    if matches.opt_present("tls-cert") != matches.opt_present("tls-key") {
        return Err(usage("--tls-cert and --tls-key go together"));
    }
    for group in EXCLUSIVE {
        if group.iter().filter(|name| matches.opt_present(name)).count() > 1 {
            let (last, others) = group.split_last().expect("a group has flags");
            let others: Vec<String> = others.iter().map(|name| format!("--{name}")).collect();
            return Err(usage(format!("choose one of {} and --{last}", others.join(", "))));
        }
    }
    Ok(())
}

fn usage(message: impl Into<String>) -> StartError {
    StartError::new(ExitCode::Usage, format!("{}. See roomtone --help.", message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_shows_each_flag_with_what_it_takes_and_its_default() {
        let help = help(&options());
        for flag in FLAGS {
            assert!(help.contains(&format!("--{}", flag.name)), "{}", flag.name);
        }
        let words: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for shown in [
            "-p, --port N TCP and UDP port, one number for both; 0 picks a free one (default 8088; env PORT)",
            "--bitrate BPS Opus bitrate in bit/s, 96000 or 96k (default 128k)",
            "--packet-ms MS duration of a packet: 2.5, 5, 10, 20, 40 or 60; shorter is less delay and more overhead (default 20)",
            "--head-bytes N size of a request's head (default 16384)",
            "(default app.log)",
            "(default 10000000)",
            "(may be repeated)",
        ] {
            assert!(words.contains(shown), "{shown:?} is not in {help}");
        }
    }

    #[test]
    fn a_dumb_or_unknown_terminal_gets_no_colors() {
        let wanted = |vars: &[(&str, &str)]| {
            is_color_wanted(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(wanted(&[("TERM", "xterm")]));
        for vars in [vec![("TERM", "dumb")], vec![("TERM", "xterm"), ("NO_COLOR", "1")]] {
            assert!(!wanted(&vars));
        }
        assert!(cfg!(windows) || !wanted(&[]));
    }
}
