//! Reads a command line: finds the subcommand, if there is one, and has the rest read by `subcommands` or `serve`. Runs on
//! `main`; reads no environment itself and carries nothing out.

use crate::cli::command::Command;
use crate::cli::{serve, subcommands};
use crate::config::start_error::StartError;

/// Reads the arguments without the program's name. `env` returns the value of an environment variable.
///
/// # Errors
/// [`ExitCode::Usage`](crate::config::start_error::ExitCode::Usage) with a sentence that names the flag.
pub fn parse(args: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Command, StartError> {
    match args.split_first() {
        Some((word, rest)) if word == "invite" => subcommands::invite(rest, env),
        Some((word, rest)) if word == "revoke" => subcommands::revoke(rest, env),
        _ => serve::parse(args, env),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use std::net::IpAddr;

    use log::LevelFilter;

    use super::*;
    use crate::audio::encoder::{Application, Encoding};
    use crate::audio::sources::device::DeviceChoice;
    use crate::config::start_error::ExitCode;
    use crate::config::{Config, LogFile, SourceChoice, StateChoice, TlsChoice};
    use crate::net::ice_server::IceServer;
    use crate::web::transport::limits::Limits;

    fn run(line: &str, env: &[(&str, &str)]) -> Result<Command, StartError> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args, |name| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn served(line: &str, env: &[(&str, &str)]) -> Config {
        match run(line, env) {
            Ok(Command::Serve(config)) => config,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn no_flags_give_the_default_configuration() {
        assert_eq!(served("", &[]), Config::default());
    }

    #[test]
    fn flags_override_the_environment_and_the_environment_overrides_defaults() {
        let env = [("PORT", "9000"), ("HOST", "127.0.0.1")];
        assert_eq!(served("", &env).net.port, 9_000);
        assert_eq!(served("", &env).net.bind, Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(served("--port 7 --bind ::1", &env).net.port, 7);
        assert_eq!(served("--port 7 --bind [::1]", &env).net.bind, "::1".parse().ok());
    }

    #[test]
    fn every_flag_has_its_effect() {
        let config = served(
            "--bitrate 96k --packet-ms 2.5 --application lowdelay --complexity 3 --fec --dtx --channels 1 \
             --sine-wave --tone 1000.5 --max-listeners 5 --max-connections 6 --www x --log-file none --log-level debug --log-max-bytes 5000",
            &[],
        );
        let expected = Encoding {
            channels: 1,
            bitrate_bps: 96_000,
            packet_samples: 120,
            application: Application::LowDelay,
            complexity: 3,
            fec: true,
            dtx: true,
        };
        assert_eq!(config.station.encoding, expected);
        assert_eq!((config.station.source, config.station.tone_hz), (SourceChoice::Sine, 1_000.5));
        assert_eq!((config.rtc.max_listeners, config.web.limits.max_connections), (5, 6));
        assert_eq!((config.web.www, config.log.file), (Some("x".into()), LogFile::Off));
        assert_eq!((config.log.level, config.log.max_bytes), (LevelFilter::Debug, 5_000));
        let config = served("--private --allow-origin https://a.example:443 --allow-origin http://b", &[]);
        let origins: Vec<String> = config.access.allowed_origins.iter().map(ToString::to_string).collect();
        assert!(config.access.is_private && origins == ["https://a.example", "http://b"]);
        assert!(!config.access.allows_all_origins);
        let access =
            served("--allow-origin * --allow-origin http://b --allow-host Music.Example.org. --allow-host b", &[])
                .access;
        assert_eq!((access.allows_all_origins, access.allowed_origins.len()), (true, 1));
        assert_eq!(access.allowed_hosts, ["music.example.org", "b"]);
        let named = served("--input-device usb", &[]).station.source;
        assert_eq!(named, SourceChoice::Device(DeviceChoice::Named("usb".into())));
        assert_eq!(run("--list-devices --json", &[]), Ok(Command::ListDevices { json: true }));
    }

    #[test]
    fn room_limits_and_ice_servers_are_set_by_flags() {
        let config = served(
            "--room-size 4 --max-peers 9 --ice-server stun:a:3478 --ice-server turn:b?transport=tcp,me,a,b",
            &[],
        );
        assert_eq!((config.signal.limits.room_size, config.signal.limits.max_peers), (4, 9));
        let stun = IceServer { urls: vec!["stun:a:3478".into()], username: None, credential: None };
        let turn = IceServer {
            urls: vec!["turn:b?transport=tcp".into()],
            username: Some("me".into()),
            credential: Some("a,b".into()),
        };
        assert_eq!(config.net.ice_servers, [stun, turn]);
    }

    #[test]
    fn every_limit_of_connections_and_requests_is_a_flag() {
        let config = served(
            "--max-connections 1 --max-connections-per-address 2 --connections-per-second 3 --max-listeners-per-address 4 \
             --max-streamed-responses 9 --offers-per-second 10 --head-bytes 2000 --head-seconds 5 --body-bytes 3000 --body-seconds 6 --idle-seconds 7 --write-seconds 8",
            &[],
        );
        let expected = Limits {
            max_connections: 1,
            max_connections_per_address: 2,
            connections_per_s: 3,
            max_listeners_per_address: 4,
            offers_per_s: 10,
            max_streamed_responses: 9,
            head_bytes: 2_000,
            head_timeout: Duration::from_secs(5),
            body_bytes: 3_000,
            body_timeout: Duration::from_secs(6),
            idle_timeout: Duration::from_secs(7),
            write_timeout: Duration::from_secs(8),
        };
        assert_eq!(config.web.limits, expected);
    }

    #[test]
    fn tls_proxies_and_the_public_url_are_set_by_flags() {
        assert_eq!(served("", &[]).web.tls, TlsChoice::Unspecified);
        assert_eq!(served("--no-tls", &[]).web.tls, TlsChoice::Off);
        assert_eq!(served("--tls-self-signed", &[]).web.tls, TlsChoice::SelfSigned);
        let files = TlsChoice::Files { cert: "a".into(), key: "b".into() };
        assert_eq!(served("--tls-cert a --tls-key b", &[]).web.tls, files);
        for (given, kept) in [
            ("https://Meet.example.net/", "https://meet.example.net"),
            ("http://192.0.2.1:8088", "http://192.0.2.1:8088"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]"),
            ("https://[2001:db8::1]:1/", "https://[2001:db8::1]:1"),
            ("https://example.net/Meet/", "https://example.net/Meet"),
        ] {
            let url = served(&format!("--public-url {given}"), &[]).net.public_url.unwrap();
            assert_eq!(url.to_string(), kept);
        }
        let proxies = served("--trust-proxy 10.0.0.0/8 --trust-proxy ::1", &[]).web.proxies;
        assert!(proxies.trust("10.1.1.1".parse().unwrap()) && proxies.trust("::1".parse().unwrap()));
    }

    #[test]
    fn a_wrong_flag_is_one_sentence_that_names_it() {
        let cases = [
            ("--port 70000", "--port"),
            ("--port x", "--port"),
            ("--bind nowhere", "--bind"),
            ("--bitrate 5", "--bitrate"),
            ("--bitrate 99999999999k", "--bitrate"),
            ("--packet-ms 15", "--packet-ms"),
            ("--application music", "--application"),
            ("--complexity 11", "--complexity"),
            ("--channels 3", "--channels"),
            ("--input-channels 0", "--input-channels"),
            ("--input-channels 1,33", "--input-channels"),
            ("--input-channels 1,2,3", "--input-channels"),
            ("--tone 5", "--tone"),
            ("--tone NaN", "--tone"),
            ("--fec --no-fec", "--no-fec"),
            ("--sine-wave --loopback", "--loopback"),
            ("--sine-wave --input-channels 1", "--input-channels"),
            ("--json", "--list-devices"),
            ("--log-level loud", "--log-level"),
            ("--log-max-bytes 1", "--log-max-bytes"),
            ("--log-max-bytes 10M", "--log-max-bytes"),
            ("--room-size 0", "--room-size"),
            ("--max-peers x", "--max-peers"),
            ("--ice-server stun.example.net", "--ice-server"),
            ("--ice-server http://a", "--ice-server"),
            ("--ice-server turn:a", "--ice-server"),
            ("--ice-server stun:a,b,c", "--ice-server"),
            ("--ice-server stun:a>b", "--ice-server"),
            ("--allow-origin *.example.org", "--allow-origin"),
            ("--allow-origin https://example.org/path", "--allow-origin"),
            ("--allow-host music.example.org:8088", "--allow-host"),
            ("--allow-host 192.0.2.1", "--allow-host"),
            ("--allow-host *.example.org", "--allow-host"),
            ("--tls-cert a", "--tls-key"),
            ("--tls-key a", "--tls-cert"),
            ("--tls-cert a --tls-key b --no-tls", "--no-tls"),
            ("--tls-self-signed --no-tls", "--no-tls"),
            ("--tls-cert a --tls-key b --tls-self-signed", "--tls-self-signed"),
            ("--trust-proxy 10.0.0.0/33", "--trust-proxy"),
            ("--trust-proxy proxy", "--trust-proxy"),
            ("--public-url meet.example.net", "--public-url"),
            ("--public-url ftp://meet.example.net", "--public-url"),
            ("--public-url https://meet.example.net/room", "--public-url"),
            ("--public-url https://user@meet.example.net", "--public-url"),
            ("--public-url https://a:0", "--public-url"),
            ("--public-url https://a:", "--public-url"),
            ("--public-url https://a_b", "--public-url"),
            ("--public-url https://", "--public-url"),
            ("--head-bytes 1", "--head-bytes"),
            ("--idle-seconds 0", "--idle-seconds"),
            ("--nonsense", "nonsense"),
            ("serve", "serve"),
            ("--port", "port"),
        ];
        for (line, named) in cases {
            let error = run(line, &[]).unwrap_err();
            assert_eq!(error.code, ExitCode::Usage, "{line}");
            assert!(error.message.contains(named) && error.message.lines().count() == 1, "{line}: {error}");
        }
        assert!(run("", &[("PORT", "eighty")]).unwrap_err().message.contains("PORT"));
    }

    #[test]
    fn help_names_every_flag_and_exit_code() {
        let Ok(Command::Print(help)) = run("--help", &[]) else { panic!("no help") };
        for flag in ["--port", "--bind", "--sine-wave", "--packet-ms", "--log-file", "--version"] {
            assert!(help.contains(flag), "{flag}");
        }
        assert!(help.contains("Exit codes: 0"));
    }

    #[test]
    fn the_state_folder_is_the_users_own_unless_a_flag_names_one() {
        let chosen = |args: &[&str], env: &[(&str, &str)]| {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            let env = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string());
            match parse(&args, env) {
                Ok(Command::Serve(config)) => config.os.state_dir,
                other => panic!("{other:?}"),
            }
        };
        let default = |path: &str| StateChoice::Default(Some(path.into()));
        if cfg!(unix) {
            assert_eq!(chosen(&[], &[("HOME", "/h")]), default("/h/.local/state/roomtone"));
            assert_eq!(chosen(&[], &[("HOME", "/h"), ("XDG_STATE_HOME", "/x")]), default("/x/roomtone"));
            assert_eq!(chosen(&[], &[("HOME", "/h"), ("XDG_STATE_HOME", "x")]), default("/h/.local/state/roomtone"));
        }
        assert_eq!(chosen(&[], &[]), StateChoice::Default(None));
        assert_eq!(chosen(&["--state-dir", "s"], &[("HOME", "/h")]), StateChoice::Path("s".into()));
    }
}
