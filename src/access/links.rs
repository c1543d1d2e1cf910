//! Tokens as links. The token is in the fragment, which browsers send to nobody: no server, log or `Referer` ever sees it,
//! only the page that the link opens. What a server that runs or ran has told of its address lies in the state folder, for
//! those who make links in another process; so does the admin link.

use std::io;

use crate::access::token_store::TokenStore;
use crate::access::tokens::{Permission, TOKEN_CHARS};
use crate::os::state_dir::StateDir;

/// Where the pages are, if nobody has said.
pub const DEFAULT_BASE: &str = "http://localhost:8088";

/// Holds the address that the server told last.
const ADDRESS: &str = "address";
/// Holds the admin link.
const ADMIN_LINK: &str = "admin-link";
/// No address of ours is longer: a host name has 253 characters at most (RFC 1035 §2.3.4).
const ADDRESS_CHARS: usize = 300;

/// A token as a link to a page below `base`, which has no slash at its end. The page knows by its own path what the token
/// is for.
pub fn link(base: &str, permission: &Permission, token: &str) -> String {
    match permission {
        Permission::Room(name) => format!("{base}/room/{name}#t={token}"),
        Permission::Listen => format!("{base}/listen#t={token}"),
        Permission::Admin => format!("{base}/#t={token}"),
    }
}

/// Keeps where the pages are for those who make links in another process.
///
/// # Errors
/// What the system said.
pub fn keep_base(dir: &StateDir, base: &str) -> io::Result<()> {
    dir.write(ADDRESS, format!("{base}\n").as_bytes())
}

/// Where the pages are, as a server that runs or ran has told.
pub fn base(dir: &StateDir) -> String {
    let told = dir.read(ADDRESS).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok());
    let told = told.map(|text| text.trim().trim_end_matches('/').to_owned());
    let fits = |text: &String| {
        let scheme = text.starts_with("http://") || text.starts_with("https://");
        scheme && text.len() <= ADDRESS_CHARS && text.bytes().all(|b| b.is_ascii_graphic())
    };
    told.filter(fits).unwrap_or_else(|| DEFAULT_BASE.into())
}

/// The admin link: the one in the folder as long as it holds, else a new one, which is kept there.
///
/// # Errors
/// If a new one cannot be made or kept.
pub fn admin_link(dir: Option<&StateDir>, store: &TokenStore, base: &str, now_s: u64) -> io::Result<String> {
    let kept = dir.and_then(kept_admin_token);
    let holds =
        |token: &String| store.check(token, None, now_s).is_ok_and(|claims| claims.permission == Permission::Admin);
    let token = match kept.filter(holds) {
        Some(token) => token,
        None => store.issue(Permission::Admin, None, None)?.0,
    };
    let link = link(base, &Permission::Admin, &token);
    if let Some(dir) = dir {
        dir.write(ADMIN_LINK, format!("{link}\n").as_bytes())?;
    }
    Ok(link)
}

fn kept_admin_token(dir: &StateDir) -> Option<String> {
    let text = String::from_utf8(dir.read(ADMIN_LINK).ok()??).ok()?;
    let (_, token) = text.trim().rsplit_once("#t=")?;
    (token.len() <= TOKEN_CHARS).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::names::RoomName;

    fn folder() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path()).unwrap();
        (folder, dir)
    }

    #[test]
    fn a_link_opens_the_page_that_the_token_is_for() {
        let room = Permission::Room(RoomName::parse("kitchen").unwrap());
        assert_eq!(link("https://h:1", &room, "a.b"), "https://h:1/room/kitchen#t=a.b");
        assert_eq!(link("https://h:1", &Permission::Listen, "a.b"), "https://h:1/listen#t=a.b");
        assert_eq!(link("https://h:1", &Permission::Admin, "a.b"), "https://h:1/#t=a.b");
    }

    #[test]
    fn links_begin_as_the_server_told_last() {
        let (_folder, dir) = folder();
        assert_eq!(base(&dir), DEFAULT_BASE);
        keep_base(&dir, "https://192.0.2.1:9000").unwrap();
        assert_eq!(base(&dir), "https://192.0.2.1:9000");
        for odd in ["", "javascript:alert(1)", "https://a b", "http://\u{e4}", &format!("http://{}", "x".repeat(300))] {
            keep_base(&dir, odd).unwrap();
            assert_eq!(base(&dir), DEFAULT_BASE, "{odd}");
        }
    }

    #[test]
    fn the_admin_link_stays_the_same_until_it_is_withdrawn() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let first = admin_link(Some(&dir), &store, "http://a", 0).unwrap();
        let moved = admin_link(Some(&dir), &TokenStore::open(Some(dir.clone())).unwrap(), "http://b", 0).unwrap();
        assert_eq!(moved, first.replace("http://a", "http://b"));
        assert_eq!(dir.read(ADMIN_LINK).unwrap().unwrap(), format!("{moved}\n").into_bytes());
        store.revoke_all().unwrap();
        let second = admin_link(Some(&dir), &store, "http://b", 0).unwrap();
        assert_ne!(second, moved);
        let (_, token) = second.split_once("#t=").unwrap();
        store.revoke(store.check(token, None, 0).unwrap().id).unwrap();
        assert_ne!(admin_link(Some(&dir), &store, "http://b", 0).unwrap(), second);
    }
}
