//! `roomtone invite` and `roomtone revoke` as root beside a server of another user, as `sudo roomtone revoke` beside a service
//! is. Only root can run these tests; others see why they did nothing.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::access::private_server::bearer;
use crate::harness::program::{self, Program};
use crate::harness::wait::wait_until;

/// The user of the server: `nobody` on most systems; it needs no entry in any file.
const OTHER: u32 = 65_534;

/// A folder for both users with the program in it, since the one that was built may be where only root can enter.
fn folder_for_both() -> Option<tempfile::TempDir> {
    if !Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n") {
        println!("skipped: only root can run commands beside a server of another user");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(program::BINARY, folder.path().join("roomtone")).unwrap();
    Some(folder)
}

/// A folder for state that belongs to the other user.
fn state_of_other(folder: &Path) {
    let state = folder.join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    chown(&state, Some(OTHER), Some(OTHER)).unwrap();
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(folder.join("roomtone"));
    command.args(args).args(["--state-dir", "state"]).env_clear().current_dir(folder);
    command
}

fn as_root(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn as_other(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).uid(OTHER).gid(OTHER).output().unwrap()
}

/// The token of a printed link, and its id.
fn invited(output: &Output) -> (String, String) {
    let (link, note) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{note}");
    let token = link.trim().split_once("#t=").unwrap().1.to_owned();
    (token, note.trim().rsplit(' ').next().unwrap().to_owned())
}

fn status_with(port: u16, token: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let fields = format!("Host: localhost\r\nConnection: close\r\n{}", bearer(token));
    write!(stream, "GET /api/status HTTP/1.1\r\n{fields}\r\n").unwrap();
    std::io::read_to_string(stream).unwrap()[9..12].parse().unwrap()
}

#[test]
fn what_root_revokes_is_revoked_in_the_server_of_another_user_and_after_its_restart() {
    let Some(folder) = folder_for_both() else { return };
    state_of_other(folder.path());
    let (token, id) = invited(&as_root(folder.path(), &["invite", "--listen"]));
    let (kept, _) = invited(&as_root(folder.path(), &["invite", "--listen"]));
    let args = ["--private", "--sine-wave", "--log-file", "none", "--bind", "127.0.0.1", "--port", "0"];
    let mut server = command(folder.path(), &args);
    server.uid(OTHER).gid(OTHER);
    let program = Program::spawn(folder, server);
    assert_eq!((status_with(program.port, &token), status_with(program.port, &kept)), (200, 200));

    let revoked = as_root(program.folder.path(), &["revoke", &id]);
    assert!(revoked.status.success(), "{revoked:?}");
    assert_eq!((status_with(program.port, &token), status_with(program.port, &kept)), (401, 200));
    for entry in fs::read_dir(program.folder.path().join("state")).unwrap() {
        let (name, metadata) = {
            let entry = entry.unwrap();
            (entry.file_name(), entry.metadata().unwrap())
        };
        assert_eq!((metadata.uid(), metadata.gid()), (OTHER, OTHER), "{name:?}");
    }
    let mut again = command(program.folder.path(), &args);
    again.uid(OTHER).gid(OTHER);
    let program = program.restart(again);
    assert_eq!((status_with(program.port, &token), status_with(program.port, &kept)), (401, 200));

    assert!(as_root(program.folder.path(), &["revoke", "--all"]).status.success());
    assert_eq!(status_with(program.port, &kept), 401);
    let link = fs::read_to_string(program.folder.path().join("state/admin-link")).unwrap();
    assert_eq!(status_with(program.port, link.trim().split_once("#t=").unwrap().1), 200);
}

#[test]
fn a_file_that_the_server_cannot_read_means_no_and_root_mends_it() {
    let Some(folder) = folder_for_both() else { return };
    state_of_other(folder.path());
    let (token, id) = invited(&as_root(folder.path(), &["invite", "--listen"]));
    let args = ["--private", "--sine-wave", "--log-file", "none", "--bind", "127.0.0.1", "--port", "0"];
    let mut server = command(folder.path(), &args);
    server.uid(OTHER).gid(OTHER);
    let program = Program::spawn(folder, server);
    assert_eq!(status_with(program.port, &token), 200);
    // As older versions left it when root ran them.
    let revoked = program.folder.path().join("state/revoked");
    chown(&revoked, Some(0), Some(0)).unwrap();
    assert_eq!(status_with(program.port, &token), 500);
    wait_until("a line of log", || program.logged("revoked: Permission denied").is_some());
    let refused = as_other(program.folder.path(), &["invite", "--listen"]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert!(as_root(program.folder.path(), &["revoke", "00000000000000ff"]).status.success());
    wait_until("the file can be read", || status_with(program.port, &token) == 200);
    assert!(as_root(program.folder.path(), &["revoke", &id]).status.success());
    assert_eq!(status_with(program.port, &token), 401);
}

#[test]
fn root_makes_no_folder_that_its_user_could_not_use_and_no_stranger_writes_to_one() {
    let Some(folder) = folder_for_both() else { return };
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(OTHER), Some(OTHER)).unwrap();
    let in_home = |args: &[&str]| {
        Command::new(folder.path().join("roomtone")).args(args).env_clear().env("HOME", &home).output().unwrap()
    };
    let refused = in_home(&["invite", "--listen"]);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("must create it, not root"), "{refused:?}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);

    // Members of a group may have been able to write to a folder, and no longer are.
    let old = home.join(".local/state/roomtone");
    let make = format!("mkdir -p {0} && chmod 770 {0}", old.display());
    assert!(Command::new("sh").args(["-c", &make]).uid(OTHER).gid(OTHER).status().unwrap().success());
    let mut invite = Command::new(folder.path().join("roomtone"));
    invite.args(["invite", "--listen"]).env_clear().env("HOME", &home).uid(OTHER).gid(OTHER);
    assert!(invite.status().unwrap().success());
    assert_eq!(fs::metadata(&old).unwrap().permissions().mode() & 0o7777, 0o750);

    // A new folder of root's is said to be root's.
    let made = as_root(folder.path(), &["invite", "--listen"]);
    assert!(String::from_utf8_lossy(&made.stderr).contains("belongs to root"), "{made:?}");
    // Another user can do nothing in it, even if the folder can be entered and written to.
    fs::set_permissions(folder.path().join("state"), fs::Permissions::from_mode(0o777)).unwrap();
    for user in [as_root, as_other] {
        let refused = user(folder.path(), &["revoke", "00000000000000ff"]);
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("every user may write"), "{refused:?}");
    }
}

#[test]
fn a_file_of_a_third_user_is_not_believed() {
    let Some(folder) = folder_for_both() else { return };
    state_of_other(folder.path());
    invited(&as_other(folder.path(), &["invite", "--listen"]));
    chown(folder.path().join("state/key"), Some(1_234), Some(1_234)).unwrap();
    fs::set_permissions(folder.path().join("state/key"), fs::Permissions::from_mode(0o644)).unwrap();
    for user in [as_root, as_other] {
        let refused = user(folder.path(), &["invite", "--listen"]);
        assert_eq!(refused.status.code(), Some(5), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("belongs to another user"), "{refused:?}");
    }
}
