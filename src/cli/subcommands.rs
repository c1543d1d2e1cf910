//! Reads the command lines of `roomtone invite` and `roomtone revoke`. Runs on `main`; checks what was given and carries
//! nothing out, which `invite` does.

use std::time::Duration;

use getopts::{Matches, Options};

use crate::access::tokens::{Permission, TokenId};
use crate::ids::names::RoomName;
use crate::web::http::base_url::BaseUrl;

use crate::cli::command::{Command, Invitation, Revocation};
use crate::cli::serve;
use crate::config::StateChoice;
use crate::config::start_error::{ExitCode, StartError};

/// A link is valid for ten years at most, or without limit.
const MAX_EXPIRES: Duration = Duration::from_secs(3_650 * 24 * 3_600);
const MAX_USES: u32 = 1_000_000;

pub(crate) fn invite(args: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Command, StartError> {
    let wrong = |message: String| usage("invite", &message);
    let mut options = Options::new();
    options.optopt("", "room", "a link into this room", "NAME");
    options.optflag("", "listen", "a link for listening");
    options.optflag("", "admin", "a link for everything; its holder is a host in every room");
    options.optopt("", "expires", "how long it is valid: 90s, 30m, 2h, 7d (default: until it is revoked)", "TIME");
    options.optopt("", "uses", "how many times it may be used (default: without limit)", "N");
    shared(&mut options);
    let matches = options.parse(args).map_err(|error| wrong(error.to_string()))?;
    if matches.opt_present("help") {
        let brief = "Prints a link to send to the people you invite. Without --private a server is open to\n\
                     everybody, and only --admin has an effect.\n\n\
                     Usage: roomtone invite --room NAME | --listen | --admin [FLAGS]\n       \
                     roomtone revoke ID | --all [FLAGS]";
        return Ok(Command::Print(options.usage(brief).trim_end().to_owned()));
    }
    if let Some(unknown) = matches.free.first() {
        return Err(wrong(format!("`{unknown}` is not a flag")));
    }
    let room = matches.opt_str("room").map(|name| match RoomName::parse(&name) {
        Some(name) => Ok(Permission::Room(name)),
        None => {
            Err(wrong(format!("--room takes 1 to 64 letters, digits, hyphens, underscores and dots, not `{name}`")))
        }
    });
    let flag = |name, permission| matches.opt_present(name).then_some(Ok(permission));
    let mut permissions =
        [room, flag("listen", Permission::Listen), flag("admin", Permission::Admin)].into_iter().flatten();
    let (Some(permission), None) = (permissions.next(), permissions.next()) else {
        return Err(wrong("choose one of --room NAME, --listen and --admin".into()));
    };
    Ok(Command::Invite(Invitation {
        permission: permission?,
        expires_in: matches.opt_str("expires").map(|text| expires(&text)).transpose()?,
        uses: matches.opt_str("uses").map(|text| uses(&text)).transpose()?,
        url: url(&matches, "invite")?,
        state_dir: state_dir(&matches, env),
    }))
}

pub(crate) fn revoke(args: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Command, StartError> {
    let wrong = |message: String| usage("revoke", &message);
    let mut options = Options::new();
    options.optflag("", "all", "revoke every link, the admin link too; a new admin link is made");
    shared(&mut options);
    let matches = options.parse(args).map_err(|error| wrong(error.to_string()))?;
    if matches.opt_present("help") {
        let brief = "Revokes a link by the id that `roomtone invite` printed with it. It admits nobody any more;\n\
                     people who are connected stay connected.\n\n\
                     Usage: roomtone revoke ID | --all [FLAGS]";
        return Ok(Command::Print(options.usage(brief).trim_end().to_owned()));
    }
    let id = match (matches.free.as_slice(), matches.opt_present("all")) {
        ([], true) => None,
        ([id], false) => {
            let message =
                || wrong(format!("`{id}` is not an id of 16 hexadecimal digits, as `roomtone invite` prints"));
            Some(TokenId::parse(id).ok_or_else(message)?)
        }
        _ => return Err(wrong("name one ID, or --all".into())),
    };
    let state_dir = state_dir(&matches, env);
    Ok(Command::Revoke(Revocation { id, url: url(&matches, "revoke")?, state_dir }))
}

fn shared(options: &mut Options) {
    options.optopt(
        "",
        "url",
        "the address that the link begins with (default: as the server wrote it when it started)",
        "URL",
    );
    options.optopt("", "state-dir", "the folder of the server's keys (default: the user's state folder)", "DIR");
    options.optflag("h", "help", "print this and end");
}

fn state_dir(matches: &Matches, env: impl Fn(&str) -> Option<String>) -> StateChoice {
    match matches.opt_str("state-dir") {
        Some(path) => StateChoice::Path(path.into()),
        None => serve::default_state_dir(env),
    }
}

fn expires(text: &str) -> Result<Duration, StartError> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 24 * 3_600)];
    let parsed = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*seconds).map(Duration::from_secs)
    });
    parsed
        .filter(|time| !time.is_zero() && *time <= MAX_EXPIRES)
        .ok_or_else(|| usage("invite", &format!("--expires takes a time such as 90s, 30m, 2h or 7d, not `{text}`")))
}

fn uses(text: &str) -> Result<u32, StartError> {
    (text.parse().ok().filter(|n| (1..=MAX_USES).contains(n)))
        .ok_or_else(|| usage("invite", &format!("--uses takes 1 to {MAX_USES}, not `{text}`")))
}

fn url(matches: &Matches, subcommand: &str) -> Result<Option<BaseUrl>, StartError> {
    let Some(text) = matches.opt_str("url") else { return Ok(None) };
    let wrong = || usage(subcommand, &format!("--url takes an address such as https://example.org:8088, not `{text}`"));
    BaseUrl::parse(&text).map(Some).ok_or_else(wrong)
}

fn usage(subcommand: &str, message: &str) -> StartError {
    StartError::new(ExitCode::Usage, format!("{message}. See roomtone {subcommand} --help."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Command, StartError> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        crate::cli::command_line::parse(&args, |name| (name == "HOME").then(|| "/h".into()))
    }

    #[test]
    fn an_invitation_has_permission_expiry_uses_and_url() {
        let Ok(Command::Invite(invitation)) =
            run("invite --room kitchen --expires 2h --uses 3 --url https://Example.org:443/ --state-dir s")
        else {
            panic!("not understood")
        };
        assert_eq!(invitation.permission, Permission::Room(RoomName::parse("kitchen").unwrap()));
        assert_eq!((invitation.expires_in, invitation.uses), (Some(Duration::from_secs(7_200)), Some(3)));
        assert_eq!(invitation.url.unwrap().to_string(), "https://example.org");
        assert_eq!(invitation.state_dir, StateChoice::Path("s".into()));
        for (line, permission) in [("invite --listen", Permission::Listen), ("invite --admin", Permission::Admin)] {
            let Ok(Command::Invite(invitation)) = run(line) else { panic!("{line}") };
            assert_eq!((invitation.permission, invitation.expires_in, invitation.uses), (permission, None, None));
        }
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("7d", 604_800)] {
            assert_eq!(expires(text), Ok(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn a_revocation_names_one_link_or_all() {
        let revoked = |line: &str| match run(line) {
            Ok(Command::Revoke(revocation)) => revocation.id,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(revoked("revoke 00000000000000ff"), Some(TokenId::new(255)));
        assert_eq!(revoked("revoke --all --url http://a"), None);
    }

    #[test]
    fn a_wrong_flag_is_one_sentence_that_names_it() {
        for (line, named) in [
            ("invite", "--room"),
            ("invite --listen --admin", "--admin"),
            ("invite --room a/b", "--room"),
            ("invite --listen --expires 2", "--expires"),
            ("invite --listen --expires 0h", "--expires"),
            ("invite --listen --expires 99999999999999999999d", "--expires"),
            ("invite --listen --expires 4000d", "--expires"),
            ("invite --listen --uses 0", "--uses"),
            ("invite --listen --url example.org", "--url"),
            ("invite --listen --url http://a/#b", "--url"),
            ("invite --listen kitchen", "kitchen"),
            ("invite --port 1", "port"),
            ("revoke", "--all"),
            ("revoke x", "`x`"),
            ("revoke 00000000000000ff --all", "--all"),
            ("revoke --nonsense", "nonsense"),
        ] {
            let error = run(line).unwrap_err();
            assert_eq!(error.code, ExitCode::Usage, "{line}");
            assert!(error.message.contains(named) && error.message.lines().count() == 1, "{line}: {error}");
        }
        for line in ["invite --help", "revoke -h"] {
            let Ok(Command::Print(help)) = run(line) else { panic!("{line}") };
            assert!(help.contains("roomtone revoke ID") && help.contains("--state-dir"), "{help}");
        }
    }
}
