//! Invitation links and the admin link with the real program: `invite` and `revoke` beside a running server, and that no token
//! is in its log.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::access::private_server::bearer;
use crate::harness::program::{self, BINARY, Program};
use crate::harness::room_peer::RoomPeer;

/// Runs `roomtone invite` or `roomtone revoke`.
fn run(folder: &std::path::Path, args: &[&str]) -> Output {
    let output =
        program::command(&[args, &["--state-dir", "state"]].concat(), None).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The page of a printed link, its token, and the id that was printed with it.
fn invited(output: &Output) -> (String, String, String) {
    let (link, note) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let (page, token) = link.trim().split_once("#t=").unwrap();
    let id = note.trim().rsplit(' ').next().unwrap();
    (page.to_owned(), token.to_owned(), id.to_owned())
}

/// The status of a request for `/api/status` with this token.
fn status_with(port: u16, token: &str) -> u16 {
    use std::io::Write;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let fields = format!("Host: localhost\r\nConnection: close\r\n{}", bearer(token));
    write!(stream, "GET /api/status?token={token} HTTP/1.1\r\n{fields}\r\n").unwrap();
    std::io::read_to_string(stream).unwrap()[9..12].parse().unwrap()
}

#[test]
fn links_are_made_and_revoked_beside_a_running_server_and_no_token_is_in_its_log() {
    let args = ["--sine-wave", "--private", "--state-dir", "state", "--log-level", "trace", "--bind", "127.0.0.1"];
    let folder = tempfile::tempdir().unwrap();
    // A link can be made before the first start of the server.
    let (_, early, _) = invited(&run(folder.path(), &["invite", "--listen"]));
    let program = Program::start_in(folder, &args, None);
    let folder = program.folder.path();
    assert_eq!(status_with(program.port, &early), 200);

    let (page, listen, id) = invited(&run(folder, &["invite", "--listen", "--expires", "2h"]));
    assert_eq!(page, format!("http://127.0.0.1:{}/listen", program.port));
    let (page, kitchen, _) = invited(&run(folder, &["invite", "--room", "kitchen", "--url", "https://a.example"]));
    assert_eq!(page, "https://a.example/room/kitchen");
    assert_eq!((status_with(program.port, &listen), status_with(program.port, &kitchen)), (200, 403));
    let address = ([127, 0, 0, 1], program.port).into();
    let peer = RoomPeer::join_at(address, &format!("room=Kitchen&token={kitchen}"));
    run(folder, &["revoke", &id]);
    assert_eq!((status_with(program.port, &listen), status_with(program.port, &early)), (401, 200));

    let admin_link = || std::fs::read_to_string(folder.join("state/admin-link")).unwrap();
    let admin = admin_link();
    let token = |link: &str| link.trim().split_once("#t=").unwrap().1.to_owned();
    assert_eq!(status_with(program.port, &token(&admin)), 200);
    let said = run(folder, &["revoke", "--all"]);
    assert!(String::from_utf8_lossy(&said.stdout).contains(admin_link().trim()));
    assert_ne!(admin_link(), admin);
    for (token, status) in [(early.clone(), 401), (token(&admin), 401), (token(&admin_link()), 200)] {
        assert_eq!(status_with(program.port, &token), status);
    }
    for name in ["key", "revoked", "admin-link", "address"] {
        let mode = std::fs::metadata(folder.join("state").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(peer);

    let file = std::fs::read_to_string(folder.join("app.log")).unwrap();
    for log in [file, program.log()] {
        assert!(log.contains("GET /api/status -> 200"), "requests are logged: {log}");
        for secret in [early.clone(), listen.clone(), kitchen.clone(), token(&admin), token(&admin_link())] {
            let half = secret.split_once('.').unwrap().1;
            assert!(!log.contains(half), "a token is in the log");
        }
        assert!(!log.contains("token="), "a query is in the log");
    }
}

#[test]
fn the_admin_link_is_shown_on_a_terminal_and_nowhere_else() {
    let args = ["--sine-wave", "--state-dir", "state", "--bind", "127.0.0.1"];
    let program = Program::start_in(tempfile::tempdir().unwrap(), &args, None);
    let link = std::fs::read_to_string(program.folder.path().join("state/admin-link")).unwrap();
    assert!(!program.log().contains(link.trim()));
    drop(program);

    // script(1) runs it in a terminal. It would not end by itself, so `timeout` ends it.
    let folder = tempfile::tempdir().unwrap();
    let line = format!("timeout 5 {BINARY} --port 0 {}", args.join(" "));
    let Ok(output) = Command::new("script").args(["-qec", &line, "typescript"]).current_dir(&folder).output() else {
        return;
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    let link = std::fs::read_to_string(folder.path().join("state/admin-link")).unwrap();
    assert!(shown.contains(link.trim()), "{shown}");
    assert!(!std::fs::read_to_string(folder.path().join("app.log")).unwrap().contains("#t="));
}
