//! What a private server does when files of its state folder are lost, damaged, or not files at all: no token that depends on
//! them is accepted, nobody waits, and all is as before once they are repaired.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use roomtone::access::token_store::TokenStore;
use roomtone::access::tokens::Permission;
use roomtone::os::state_dir::StateDir;

use crate::access::private_server::{PrivateServer, bearer, check_access, listen, room, store};
use crate::harness::http_client::code;
use crate::harness::program::{self, Program};
use crate::harness::wait::wait_until;

type Damage = fn(&Path);

/// Ways in which a file becomes unusable; each replaces it.
const DAMAGES: [(&str, Damage); 8] = [
    ("gone", |_| ()),
    ("garbage", |path| fs::write(path, b"nonsense\n\xff\0").unwrap()),
    ("cut", |path| fs::write(path, b"0000000000000001 -").unwrap()),
    ("huge", |path| File::create(path).unwrap().set_len(1 << 40).unwrap()),
    ("a folder", |path| fs::create_dir(path).unwrap()),
    ("a pipe", |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success())),
    ("a link", |path| std::os::unix::fs::symlink("/dev/null", path).unwrap()),
    ("everybody's", |path| {
        fs::write(path, [0; 32]).unwrap();
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    }),
];

/// Moves the file away, puts something else in its place, and moves it back.
fn while_damaged(folder: &Path, name: &str, damage: Damage, check: impl FnOnce()) {
    let (path, aside) = (folder.join(name), folder.join("aside"));
    fs::rename(&path, &aside).unwrap();
    damage(&path);
    check();
    let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    fs::rename(&aside, &path).unwrap();
}

#[test]
fn while_a_file_cannot_be_used_no_token_that_depends_on_it_is_accepted() {
    let private = PrivateServer::start();
    let (server, folder) = (&private.server, private.folder.path());
    let (revoked, claims) = store(&private.folder).issue(Permission::Listen, None, None).unwrap();
    store(&private.folder).revoke(claims.id).unwrap();
    let (plain, counted) = (private.token(Permission::Listen), private.token_with_uses(room("r"), 5));
    let undecided = code(500, "internal");
    for name in ["key", "revoked", "uses"] {
        for (what, damage) in DAMAGES {
            while_damaged(folder, name, damage, || {
                let started = Instant::now();
                let plain = check_access(server, "listen", &plain);
                let expected = if name == "uses" { plain.is_ok() } else { plain == Err(undecided.clone()) };
                assert!(expected, "{name} is {what}: {plain:?}");
                let answer = check_access(server, "room=r", &counted);
                assert_eq!(answer, Err(undecided.clone()), "{name} is {what}");
                assert!(check_access(server, "listen", &revoked).is_err(), "{name} is {what}");
                assert!(started.elapsed() < Duration::from_secs(5), "{name} is {what}: nothing blocks");
                let reopened = TokenStore::open(Some(StateDir::open(folder).unwrap()));
                // Without the old key a new one is made, by which no old token is valid.
                assert_eq!(reopened.is_ok(), (name, what) == ("key", "gone"), "{name} is {what}: a start");
            });
            let message = format!("{name} was {what}");
            wait_until(&message, || check_access(server, "listen", &plain).is_ok());
            wait_until(&message, || check_access(server, "room=r", &counted).is_ok());
            // 429 after some of them.
            let (status, _) = check_access(server, "listen", &revoked).unwrap_err();
            assert!([401, 429].contains(&status), "{name} was {what}: {status}");
        }
    }
}

#[test]
fn a_revoked_token_stays_revoked_in_a_running_server_when_its_line_disappears() {
    let private = PrivateServer::start();
    let (token, claims) = store(&private.folder).issue(Permission::Listen, None, None).unwrap();
    store(&private.folder).revoke(claims.id).unwrap();
    assert!(check_access(&private.server, "listen", &token).is_err());
    fs::write(private.folder.path().join("revoked"), "").unwrap();
    assert_eq!(check_access(&private.server, "listen", &token), Err(code(401, "token-invalid")));
}

#[test]
fn a_use_that_cannot_be_written_admits_nobody_and_is_not_counted() {
    let private = PrivateServer::start();
    let once = bearer(&private.token_with_uses(Permission::Listen, 1));
    let path = private.folder.path().join(".lock");
    let lock = File::options().write(true).open(path).unwrap();
    lock.lock().unwrap();
    let started = Instant::now();
    assert_eq!(listen(&private.server, "/whep", &once).error(), code(500, "internal"));
    assert!(started.elapsed() < Duration::from_secs(5), "another process may hold it for ever");
    drop(lock);
    assert_eq!(listen(&private.server, "/whep", &once).status, 201);
    assert_eq!(listen(&private.server, "/whep", &once).error(), code(401, "token-invalid"));
}

#[test]
fn a_damaged_folder_stops_a_start_with_a_sentence_and_revoking_all_links_repairs_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| program::command(args, None).current_dir(&folder).output().unwrap();
    let serve = ["--private", "--sine-wave", "--state-dir", "state", "--bind", "127.0.0.1", "--log-file", "none"];
    let id = "00000000000000ff";
    assert!(run(&["revoke", id, "--state-dir", "state"]).status.success());
    fs::remove_file(folder.path().join("state/revoked")).unwrap();
    for args in [
        &[&["--port", "0"], &serve[..]].concat()[..],
        &["revoke", id, "--state-dir", "state"],
        &["invite", "--listen", "--state-dir", "state"],
    ] {
        let output = run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{args:?}: {said}");
        assert!(said.contains("revoked: it is gone") && said.contains("revoke --all"), "{args:?}: {said}");
    }
    assert!(run(&["revoke", "--all", "--state-dir", "state"]).status.success());
    drop(Program::start_in(folder, &serve, None));
}

#[test]
fn a_command_that_cannot_get_the_lock_says_so_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| program::command(args, None).current_dir(&folder).output().unwrap();
    assert!(run(&["invite", "--listen", "--state-dir", "state"]).status.success());
    let lock = File::options().write(true).open(folder.path().join("state/.lock")).unwrap();
    lock.lock().unwrap();
    let output = run(&["revoke", "00000000000000ff", "--state-dir", "state"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(5) && output.stdout.is_empty(), "{said}");
    assert!(said.contains("another process has held the lock"), "{said}");
}

#[test]
fn a_key_and_a_certificate_that_do_not_belong_together_are_made_anew_with_one_line_of_log() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let pair = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    // As an older version left them, whose renewal was cut short between its two files.
    fs::create_dir(&state).unwrap();
    fs::write(state.join("tls-cert.pem"), pair().cert.pem()).unwrap();
    fs::write(state.join("tls-key.pem"), pair().signing_key.serialize_pem()).unwrap();
    let program = Program::start_in(folder, &["--sine-wave", "--state-dir", "state", "--log-file", "none"], None);
    wait_until("the certificate", || program.logged("SHA-256").is_some());
    assert_eq!(program.log().matches("cannot be used").count(), 1, "{}", program.log());
}
