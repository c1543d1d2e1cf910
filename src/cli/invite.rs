//! Carries out `roomtone invite` and `roomtone revoke`: they change the token store in the state folder, which a running server
//! reads again when it has changed. Runs on the main thread and starts no other.

use std::io;
use std::time::SystemTime;

use time::OffsetDateTime;

use crate::access::links;
use crate::access::token_store::TokenStore;
use crate::access::tokens::Claims;
use crate::cli::command::{Invitation, Revocation};
use crate::config::StateChoice;
use crate::config::start_error::{ExitCode, StartError};
use crate::os::state_dir::StateDir;
use crate::web::http::origin::Origin;

/// A new link, and a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invited {
    /// To send to the people invited.
    pub link: String,
    /// For the person who made it: how long it is valid, and how to revoke it.
    pub note: String,
}

/// Issues a token and makes a link of it.
///
/// # Errors
/// [`ExitCode::File`] if there is no state folder or it cannot be used.
pub fn invite(invitation: &Invitation) -> Result<Invited, StartError> {
    let (dir, store) = open(&invitation.state_dir)?;
    let expires_s = invitation.expires_in.map(|time| now_s() + time.as_secs());
    let issued = store.issue(invitation.permission.clone(), expires_s, invitation.uses);
    let (token, claims) = issued.map_err(|error| unusable(&dir, &error))?;
    let link = links::invitation_link(&base(&dir, invitation.url.as_ref()), &claims.permission, &token);
    Ok(Invited { link, note: note(&claims) })
}

/// Revokes one link or all of them. Returns a sentence that says so.
///
/// # Errors
/// As [`invite`].
pub fn revoke(revocation: &Revocation) -> Result<String, StartError> {
    let (dir, store) = open(&revocation.state_dir)?;
    let written = match revocation.id {
        Some(id) => store.revoke(id),
        None => store.revoke_all(),
    };
    // The admin link may be among those revoked; then a new one is made.
    let base = base(&dir, revocation.url.as_ref());
    let link = written.and_then(|()| links::admin_link(Some(&dir), &store, &base, now_s()));
    let link = link.map_err(|error| unusable(&dir, &error))?;
    Ok(match revocation.id {
        Some(id) => format!("{id} is revoked."),
        None => format!("All links are revoked. The new admin link: {link}"),
    })
}

fn open(choice: &StateChoice) -> Result<(StateDir, TokenStore), StartError> {
    let path = match choice {
        StateChoice::Path(path) | StateChoice::Default(Some(path)) => path,
        StateChoice::Default(None) => {
            let message = "there is no state folder, because HOME is not set. Name the server's with --state-dir DIR.";
            return Err(StartError::new(ExitCode::File, message));
        }
    };
    let opened = StateDir::open(path).and_then(|dir| Ok((dir.clone(), TokenStore::open(Some(dir))?)));
    opened.map_err(|error| {
        let message = format!("{}: {error}. Name the server's folder with --state-dir DIR.", path.display());
        StartError::new(ExitCode::File, message)
    })
}

fn base(dir: &StateDir, url: Option<&Origin>) -> String {
    url.map_or_else(|| links::stored_base_url(dir), ToString::to_string)
}

fn unusable(dir: &StateDir, error: &io::Error) -> StartError {
    let message = format!("{}: {error}. Nothing was changed; make sure that it can be written.", dir.path().display());
    StartError::new(ExitCode::File, message)
}

fn note(claims: &Claims) -> String {
    let Claims { id, expires_s, uses, .. } = claims;
    let until = match expires_s {
        Some(expires_s) => format!("until {}", date(*expires_s)),
        None => "until it is revoked".into(),
    };
    let uses = match uses {
        Some(1) => ", for one use".into(),
        Some(uses) => format!(", for {uses} uses"),
        None => String::new(),
    };
    format!("Valid {until}{uses}. Revoke it with: roomtone revoke {id}")
}

fn date(seconds: u64) -> String {
    let form = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let date = i64::try_from(seconds).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    date.and_then(|date| date.format(form).ok()).unwrap_or_else(|| format!("{seconds} s after 1970"))
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::tokens::{Permission, TokenId};

    #[test]
    fn a_note_tells_expiry_uses_and_how_to_revoke() {
        let claims = Claims {
            id: TokenId::new(1),
            permission: Permission::Listen,
            expires_s: Some(1_800_000_000),
            uses: Some(1),
        };
        let expected = "Valid until 2027-01-15 08:00 UTC, for one use. \
                        Revoke it with: roomtone revoke 0000000000000001";
        assert_eq!(note(&claims), expected);
        let unlimited = note(&Claims { expires_s: None, uses: None, ..claims });
        assert!(unlimited.starts_with("Valid until it is revoked. "), "{unlimited}");
    }
}
