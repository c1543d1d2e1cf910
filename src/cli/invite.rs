//! Carries out `roomtone invite` and `roomtone revoke`: they change the token store in the state folder, which a running server
//! reads again when it has changed. Runs on the main thread and starts no other.

use std::io;
use std::time::SystemTime;

use time::OffsetDateTime;

use crate::access::links;
use crate::access::token_clock::{self, CLOCK_SET_SINCE_S};
use crate::access::token_store::TokenStore;
use crate::access::tokens::Claims;
use crate::cli::command::{Invitation, Revocation};
use crate::config::StateChoice;
use crate::config::start_error::{ExitCode, StartError};
use crate::os::state_dir::StateDir;
use crate::web::http::base_url::BaseUrl;

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
/// [`ExitCode::File`] if there is no state folder or it cannot be used, [`ExitCode::Usage`] if nobody knows when it expires.
pub fn invite(invitation: &Invitation) -> Result<Invited, StartError> {
    let now_s = token_clock::seconds(SystemTime::now());
    if invitation.expires_in.is_some() && now_s < CLOCK_SET_SINCE_S {
        let message = "--expires needs to know what time it is, and this computer's clock is not set. Set it first.";
        return Err(StartError::new(ExitCode::Usage, message));
    }
    let (dir, is_new) = open_folder(&invitation.state_dir)?;
    let store = open_store(&dir)?;
    let expires_s = invitation.expires_in.map(|time| now_s + time.as_secs());
    let issued = store.issue(invitation.permission.clone(), expires_s, invitation.uses);
    let (token, claims) = issued.map_err(|error| unchanged(&dir, &error))?;
    let link = links::invitation_link(&base(&dir, invitation.url.as_ref()), &claims.permission, &token);
    let mut note = note(&claims);
    if is_new && dir.owner_is_root() {
        let path = dir.path().display();
        note =
            format!("{path} is new and belongs to root; for a server of another user, `chown -R USER {path}`.\n{note}");
    }
    Ok(Invited { link, note })
}

/// Revokes one link or all of them. Returns a sentence that says so.
///
/// # Errors
/// [`ExitCode::File`] if the revocation is not in effect afterwards.
pub fn revoke(revocation: &Revocation) -> Result<String, StartError> {
    let (dir, _) = open_folder(&revocation.state_dir)?;
    let (store, done) = match revocation.id {
        Some(id) => {
            let store = open_store(&dir)?;
            store.revoke(id).map_err(|error| not_revoked(&dir, &error))?;
            (store, format!("{id} is revoked."))
        }
        // It repairs a damaged folder too, so the store is opened after it.
        None => {
            TokenStore::revoke_all(&dir).map_err(|error| not_revoked(&dir, &error))?;
            (open_store(&dir)?, "All links are revoked.".to_owned())
        }
    };
    // The admin link may be among those revoked; then a new one is made.
    let now_s = token_clock::seconds(SystemTime::now());
    match links::admin_link(Some(&dir), &store, &base(&dir, revocation.url.as_ref()), now_s) {
        Ok(_) if revocation.id.is_some() => Ok(done),
        Ok(link) => Ok(format!("{done} The new admin link: {link}")),
        Err(error) => {
            let message = format!("{done} But the admin link cannot be written to {}: {error}.", dir.path().display());
            Err(StartError::new(ExitCode::File, message))
        }
    }
}

/// The folder, and whether it is new.
fn open_folder(choice: &StateChoice) -> Result<(StateDir, bool), StartError> {
    let path = match choice {
        StateChoice::Path(path) | StateChoice::Default(Some(path)) => path,
        StateChoice::Default(None) => {
            let message = "there is no state folder, because HOME is not set. Name the server's with --state-dir DIR.";
            return Err(StartError::new(ExitCode::File, message));
        }
    };
    let is_new = !path.exists();
    let opened = StateDir::open(path).map_err(|error| {
        let message = format!("{}: {error}. Name the server's folder with --state-dir DIR.", path.display());
        StartError::new(ExitCode::File, message)
    })?;
    Ok((opened, is_new))
}

fn open_store(dir: &StateDir) -> Result<TokenStore, StartError> {
    TokenStore::open(Some(dir.clone())).map_err(|error| {
        let repair =
            "Repair it, or run `roomtone revoke --all` for this folder, which revokes all links and begins anew";
        let message = format!("{}: {error}. Nothing was changed. {repair}.", dir.path().display());
        StartError::new(ExitCode::File, message)
    })
}

fn base(dir: &StateDir, url: Option<&BaseUrl>) -> String {
    url.map_or_else(|| links::stored_base_url(dir), ToString::to_string)
}

fn unchanged(dir: &StateDir, error: &io::Error) -> StartError {
    let message = format!("{}: {error}. Nothing was changed.", dir.path().display());
    StartError::new(ExitCode::File, message)
}

/// A write may have failed half-way.
fn not_revoked(dir: &StateDir, error: &io::Error) -> StartError {
    let path = dir.path().display();
    let message = format!("{path}: {error}. The revocation is not in effect; make sure that the file can be written.");
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
