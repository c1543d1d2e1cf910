//! Invitation links and the admin link: tokens as links. The token is in the fragment, which browsers send to no server, so that
//! no log and no `Referer` contains it; only the page that the link opens reads it. The URL of the server's pages and the
//! admin link are kept in the state folder, for other processes that make links. Called by `main` and by subcommands.

use std::io;

use crate::access::token_store::{TokenError, TokenStore};
use crate::access::tokens::{Permission, TOKEN_CHARS};
use crate::os::state_dir::StateDir;

/// The base URL of the pages before a server has stored its own.
pub const DEFAULT_BASE_URL: &str = "http://localhost:8088";

/// The file with the base URL that a server stored last.
const BASE_URL: &str = "address";
/// The file with the admin link.
const ADMIN_LINK: &str = "admin-link";
/// No base URL is longer: a host name has 253 characters at most (RFC 1035 §2.3.4).
const BASE_URL_CHARS: usize = 300;

/// A token as a link to a page below `base_url`, which has no slash at its end. The page knows from its own path what the
/// token is for.
pub fn invitation_link(base_url: &str, permission: &Permission, token: &str) -> String {
    match permission {
        Permission::Room(name) => format!("{base_url}/room/{name}#t={token}"),
        Permission::Listen => format!("{base_url}/listen#t={token}"),
        Permission::Admin => format!("{base_url}/#t={token}"),
    }
}

/// Stores the base URL of the pages, for other processes that make links.
///
/// # Errors
/// What the system said.
pub fn store_base_url(dir: &StateDir, base_url: &str) -> io::Result<()> {
    dir.write(BASE_URL, format!("{base_url}\n").as_bytes())
}

/// The base URL of the pages, as a server stored it last.
pub fn stored_base_url(dir: &StateDir) -> String {
    let stored = dir.read(BASE_URL).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok());
    let stored = stored.map(|text| text.trim().trim_end_matches('/').to_owned());
    let is_valid = |text: &String| {
        let scheme = text.starts_with("http://") || text.starts_with("https://");
        scheme && text.len() <= BASE_URL_CHARS && text.bytes().all(|b| b.is_ascii_graphic())
    };
    stored.filter(is_valid).unwrap_or_else(|| DEFAULT_BASE_URL.into())
}

/// The admin link: the one in the folder as long as its token is valid, else a new one. It is stored there.
///
/// # Errors
/// If a new one cannot be made or stored.
pub fn admin_link(dir: Option<&StateDir>, store: &TokenStore, base_url: &str, now_s: u64) -> io::Result<String> {
    let token = match dir.and_then(stored_admin_token) {
        None => None,
        Some(token) => match store.check(&token, None, now_s) {
            Ok(claims) => (claims.permission == Permission::Admin).then_some(token),
            // It may be valid, so it is not replaced; nor would a new one be accepted.
            Err(TokenError::Undecided | TokenError::ClockNotSet) => {
                return Err(io::Error::other("no token can be checked at present"));
            }
            Err(_) => None,
        },
    };
    let token = token.map_or_else(|| store.issue(Permission::Admin, None, None).map(|(token, _)| token), Ok)?;
    let link = invitation_link(base_url, &Permission::Admin, &token);
    if let Some(dir) = dir {
        dir.write(ADMIN_LINK, format!("{link}\n").as_bytes())?;
    }
    Ok(link)
}

fn stored_admin_token(dir: &StateDir) -> Option<String> {
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
        assert_eq!(invitation_link("https://h:1", &room, "a.b"), "https://h:1/room/kitchen#t=a.b");
        assert_eq!(invitation_link("https://h:1", &Permission::Listen, "a.b"), "https://h:1/listen#t=a.b");
        assert_eq!(invitation_link("https://h:1", &Permission::Admin, "a.b"), "https://h:1/#t=a.b");
    }

    #[test]
    fn links_begin_with_the_stored_base_url() {
        let (_folder, dir) = folder();
        assert_eq!(stored_base_url(&dir), DEFAULT_BASE_URL);
        store_base_url(&dir, "https://192.0.2.1:9000").unwrap();
        assert_eq!(stored_base_url(&dir), "https://192.0.2.1:9000");
        for odd in ["", "javascript:alert(1)", "https://a b", "http://\u{e4}", &format!("http://{}", "x".repeat(300))] {
            store_base_url(&dir, odd).unwrap();
            assert_eq!(stored_base_url(&dir), DEFAULT_BASE_URL, "{odd}");
        }
    }

    #[test]
    fn the_admin_link_stays_the_same_until_it_is_revoked() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let first = admin_link(Some(&dir), &store, "http://a", 0).unwrap();
        let moved = admin_link(Some(&dir), &TokenStore::open(Some(dir.clone())).unwrap(), "http://b", 0).unwrap();
        assert_eq!(moved, first.replace("http://a", "http://b"));
        assert_eq!(dir.read(ADMIN_LINK).unwrap().unwrap(), format!("{moved}\n").into_bytes());
        TokenStore::revoke_all(&dir).unwrap();
        let second = admin_link(Some(&dir), &store, "http://b", 0).unwrap();
        assert_ne!(second, moved);
        let (_, token) = second.split_once("#t=").unwrap();
        store.revoke(store.check(token, None, 0).unwrap().id).unwrap();
        assert_ne!(admin_link(Some(&dir), &store, "http://b", 0).unwrap(), second);
    }
}
