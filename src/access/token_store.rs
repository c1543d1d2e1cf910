//! The store about tokens: the key, which tokens were withdrawn and which were used. They lie in the state folder, so that
//! they outlive the process and another process can write in them (`roomtone revoke`); without a folder they live in
//! memory. A file is looked at again when it has changed, at the moment somebody asks: nothing is polled or watched.
//!
//! Asked by threads that answer clients, one at a time: behind the lock are a few small files, and nothing that a client
//! could make wait. What somebody may do with a permission is not decided here.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::access::tokens::{Claims, Permission, SigningKey, TokenId};
use crate::ids::peer::PeerId;
use crate::os::state_dir::{FileStamp, StateDir};

/// 32 random bytes.
const KEY: &str = "key";
/// An id in each line.
const REVOKED: &str = "revoked";
/// `GRANT PEER EXPIRES` in each line, `-` where there is none. Lines go when their token has expired.
const USES: &str = "uses";

/// Why a token that was shown is worth nothing.
#[derive(Debug)]
pub enum TokenError {
    /// It is not one, or another key has signed it.
    Unreadable,
    /// Its time is over.
    Expired,
    /// It was withdrawn.
    Revoked,
    /// As many have come in with it as may.
    UsedUp,
    /// The store cannot be written, so nobody can be let in whose coming must be noted.
    NotRecorded(io::Error),
}

/// The store.
#[derive(Debug)]
pub struct TokenStore {
    dir: Option<StateDir>,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    key: (SigningKey, FileStamp),
    revoked: (HashSet<TokenId>, FileStamp),
    uses: (Vec<Use>, FileStamp),
}

/// Somebody came in with a token that only so many may come in with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Use {
    claims: TokenId,
    /// Who; whoever comes back as the same does not count again. A listener is nobody in particular.
    by: Option<PeerId>,
    expires_s: Option<u64>,
}

impl TokenStore {
    /// Opens the store, and begins them if there are none.
    ///
    /// # Errors
    /// If they cannot be read or written, or there are no random numbers.
    pub fn open(dir: Option<StateDir>) -> io::Result<TokenStore> {
        let key = match &dir {
            None => random_key()?,
            Some(dir) => {
                let _lock = dir.lock()?;
                match dir.read(KEY)? {
                    Some(bytes) => bytes.try_into().map_err(|_| io::Error::other("the file `key` is not a key"))?,
                    None => renewed_key(dir)?,
                }
            }
        };
        // The stamps are of no file, so that all is read at the first look.
        let pages = Pages {
            key: (SigningKey::new(&key), FileStamp::default()),
            revoked: (HashSet::new(), FileStamp::default()),
            uses: (vec![], FileStamp::default()),
        };
        Ok(TokenStore { dir, pages: Mutex::new(pages) })
    }

    /// A new token and what it says.
    ///
    /// # Errors
    /// If there are no random numbers.
    pub fn issue(
        &self,
        permission: Permission,
        expires_s: Option<u64>,
        uses: Option<u32>,
    ) -> io::Result<(String, Claims)> {
        let mut bits = [0; 8];
        fill(&mut bits)?;
        let claims = Claims { id: TokenId::new(u64::from_be_bytes(bits)), permission, expires_s, uses };
        Ok((self.look().key.0.sign(&claims), claims))
    }

    /// What a token allows now. `by` is who wants to come in with it, if that is known: it may have before.
    ///
    /// # Errors
    /// Why it is worth nothing.
    pub fn check(&self, token: &str, by: Option<PeerId>, now_s: u64) -> Result<Claims, TokenError> {
        let pages = self.look();
        let claims = pages.key.0.read(token).ok_or(TokenError::Unreadable)?;
        if pages.revoked.0.contains(&claims.id) {
            return Err(TokenError::Revoked);
        }
        if claims.expires_s.is_some_and(|expires_s| expires_s <= now_s) {
            return Err(TokenError::Expired);
        }
        if pages.is_used_up(&claims, by) { Err(TokenError::UsedUp) } else { Ok(claims) }
    }

    /// Notes that somebody comes in. True if it was not noted before.
    ///
    /// # Errors
    /// If as many as may have come meanwhile, or it cannot be written down.
    pub fn consume(&self, claims: &Claims, by: Option<PeerId>, now_s: u64) -> Result<bool, TokenError> {
        if claims.uses.is_none() {
            return Ok(false);
        }
        self.change_uses(|pages| {
            if pages.is_used_up(claims, by) {
                return Err(TokenError::UsedUp);
            }
            let used = Use { claims: claims.id, by, expires_s: claims.expires_s };
            let noted = by.is_some() && pages.uses.0.contains(&used);
            if !noted {
                pages.uses.0.retain(|used| used.expires_s.is_none_or(|expires_s| expires_s > now_s));
                pages.uses.0.push(used);
            }
            Ok(!noted)
        })
    }

    /// Takes back what [`TokenStore::consume`] noted: somebody was not let in after all.
    pub fn release(&self, claims: &Claims, by: Option<PeerId>) {
        let used = Use { claims: claims.id, by, expires_s: claims.expires_s };
        let refunded = self.change_uses(|pages| {
            let at = pages.uses.0.iter().rposition(|other| *other == used);
            Ok(at.map(|at| pages.uses.0.remove(at)).is_some())
        });
        if let Err(TokenError::NotRecorded(error)) = refunded {
            log::warn!("an invitation counts as used although nobody came in, because of the state folder: {error}");
        }
    }

    /// Withdraws a token. In other processes too, from their next look on.
    ///
    /// # Errors
    /// If that cannot be written down.
    pub fn revoke(&self, id: TokenId) -> io::Result<()> {
        let Some(dir) = &self.dir else {
            self.pages().revoked.0.insert(id);
            return Ok(());
        };
        let _lock = dir.lock()?;
        let mut ids = dir.read(REVOKED)?.map_or_else(HashSet::new, |bytes| revoked(&bytes));
        ids.insert(id);
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        dir.write(REVOKED, lines.as_bytes())
    }

    /// Withdraws all tokens that there are, by a new key.
    ///
    /// # Errors
    /// If that cannot be written down, or there are no random numbers.
    pub fn revoke_all(&self) -> io::Result<()> {
        let Some(dir) = &self.dir else {
            self.pages().key.0 = SigningKey::new(&random_key()?);
            return Ok(());
        };
        let _lock = dir.lock()?;
        renewed_key(dir)?;
        // What they say is about tokens that nobody can read any more.
        dir.write(REVOKED, b"")?;
        dir.write(USES, b"")
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Whoever panicked with the lock held has left each page as it was or as it shall be.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pages as they are now.
    fn look(&self) -> MutexGuard<'_, Pages> {
        let mut pages = self.pages();
        if let Some(dir) = &self.dir {
            pages.refresh(dir);
        }
        pages
    }

    /// Changes the list of uses, if the change says that it did, and keeps what it then is.
    fn change_uses(&self, change: impl FnOnce(&mut Pages) -> Result<bool, TokenError>) -> Result<bool, TokenError> {
        let Some(dir) = &self.dir else { return change(&mut self.pages()) };
        let mut pages = self.pages();
        let _lock = dir.lock().map_err(TokenError::NotRecorded)?;
        pages.refresh(dir);
        let before = pages.uses.clone();
        let changed = change(&mut pages)?;
        if changed {
            let lines: String = pages.uses.0.iter().map(Use::line).collect();
            if let Err(error) = dir.write(USES, lines.as_bytes()) {
                pages.uses = before;
                return Err(TokenError::NotRecorded(error));
            }
            pages.uses.1 = FileStamp::of(&dir.file(USES));
        }
        Ok(changed)
    }
}

impl Pages {
    /// A page that cannot be read stays as it was: a host whose disk has trouble is not locked out, and nobody is let in
    /// who was withdrawn before.
    fn refresh(&mut self, dir: &StateDir) {
        refresh(dir, KEY, &mut self.key, |bytes| {
            let bytes: [u8; SigningKey::BYTES] = bytes.try_into().ok()?;
            Some(SigningKey::new(&bytes))
        });
        refresh(dir, REVOKED, &mut self.revoked, |bytes| Some(revoked(bytes)));
        refresh(dir, USES, &mut self.uses, |bytes| {
            Some(String::from_utf8_lossy(bytes).lines().filter_map(Use::parse).collect())
        });
    }

    fn is_used_up(&self, claims: &Claims, by: Option<PeerId>) -> bool {
        let Some(limit) = claims.uses else { return false };
        let uses = self.uses.0.iter().filter(|used| used.claims == claims.id);
        let came_before = by.is_some() && uses.clone().any(|used| used.by == by);
        !came_before && uses.count() >= limit as usize
    }
}

fn refresh<T>(dir: &StateDir, name: &str, page: &mut (T, FileStamp), parse: impl FnOnce(&[u8]) -> Option<T>) {
    // Taken first: what changes while it is read is read again at the next look.
    let stamp = FileStamp::of(&dir.file(name));
    if stamp == page.1 {
        return;
    }
    match dir.read(name) {
        Ok(bytes) => match parse(&bytes.unwrap_or_default()) {
            Some(parsed) => page.0 = parsed,
            None => log::error!("the file {} is damaged; what it said before holds", dir.file(name).display()),
        },
        Err(error) => log::error!("{}: {error}; what it said before holds", dir.file(name).display()),
    }
    page.1 = stamp;
}

impl Use {
    fn line(&self) -> String {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let (by, expires) = (self.by.map(|by| by.to_string()), self.expires_s.map(|s| s.to_string()));
        format!("{} {} {}\n", self.claims, or_dash(by), or_dash(expires))
    }

    fn parse(line: &str) -> Option<Use> {
        let mut words = line.split(' ');
        let claims = TokenId::parse(words.next()?)?;
        let (by, expires) = (words.next()?, words.next()?);
        let by = if by == "-" { None } else { Some(PeerId::parse(by)?) };
        let expires_s = if expires == "-" { None } else { Some(expires.parse().ok()?) };
        Some(Use { claims, by, expires_s })
    }
}

fn revoked(bytes: &[u8]) -> HashSet<TokenId> {
    String::from_utf8_lossy(bytes).lines().filter_map(|line| TokenId::parse(line.trim())).collect()
}

fn renewed_key(dir: &StateDir) -> io::Result<[u8; SigningKey::BYTES]> {
    let key = random_key()?;
    dir.write(KEY, &key)?;
    Ok(key)
}

fn random_key() -> io::Result<[u8; SigningKey::BYTES]> {
    let mut bytes = [0; SigningKey::BYTES];
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(format!("no random numbers: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::peer::ResumeToken;

    const NOW_S: u64 = 1_800_000_000;

    fn folder() -> (tempfile::TempDir, StateDir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path()).unwrap();
        (folder, dir)
    }

    fn peer(n: u8) -> Option<PeerId> {
        Some(ResumeToken::from_bytes([n; 32]).id())
    }

    #[test]
    fn a_token_holds_for_every_process_of_the_folder_until_it_is_withdrawn_by_any() {
        let (_folder, dir) = folder();
        let (server, errand) = (TokenStore::open(Some(dir.clone())).unwrap(), TokenStore::open(Some(dir)).unwrap());
        let (token, claims) = errand.issue(Permission::Listen, None, None).unwrap();
        let (other, _) = errand.issue(Permission::Listen, None, None).unwrap();
        assert_eq!(server.check(&token, None, NOW_S).unwrap(), claims);
        errand.revoke(claims.id).unwrap();
        assert!(matches!(server.check(&token, None, NOW_S), Err(TokenError::Revoked)));
        assert!(server.check(&other, None, NOW_S).is_ok());
        errand.revoke_all().unwrap();
        assert!(matches!(server.check(&other, None, NOW_S), Err(TokenError::Unreadable)));
        assert!(server.check(&errand.issue(Permission::Listen, None, None).unwrap().0, None, NOW_S).is_ok());
    }

    #[test]
    fn without_a_folder_all_of_that_is_in_memory() {
        let store = TokenStore::open(None).unwrap();
        let (token, claims) = store.issue(Permission::Admin, None, Some(1)).unwrap();
        assert!(store.consume(&claims, None, NOW_S).unwrap());
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::UsedUp)));
        let (token, claims) = store.issue(Permission::Admin, None, None).unwrap();
        store.revoke(claims.id).unwrap();
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::Revoked)));
        let (token, _) = store.issue(Permission::Admin, None, None).unwrap();
        store.revoke_all().unwrap();
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::Unreadable)));
    }

    #[test]
    fn a_token_expires_to_the_second() {
        let store = TokenStore::open(None).unwrap();
        let (token, _) = store.issue(Permission::Listen, Some(NOW_S), None).unwrap();
        assert!(store.check(&token, None, NOW_S - 1).is_ok());
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::Expired)));
    }

    #[test]
    fn uses_are_counted_by_who_came_and_survive_a_restart() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let (token, claims) = store.issue(Permission::Listen, None, Some(2)).unwrap();
        assert!(store.consume(&claims, peer(1), NOW_S).unwrap());
        assert!(!store.consume(&claims, peer(1), NOW_S).unwrap(), "who comes back does not count again");
        assert!(store.consume(&claims, peer(2), NOW_S).unwrap());
        let after = TokenStore::open(Some(dir)).unwrap();
        for store in [store, after] {
            assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::UsedUp)));
            assert!(matches!(store.consume(&claims, peer(3), NOW_S), Err(TokenError::UsedUp)));
            assert!(store.check(&token, peer(2), NOW_S).is_ok());
            assert!(!store.consume(&claims, peer(2), NOW_S).unwrap());
        }
    }

    #[test]
    fn who_was_not_let_in_has_not_used_it() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let (token, claims) = store.issue(Permission::Listen, None, Some(1)).unwrap();
        for by in [None, peer(1)] {
            store.consume(&claims, by, NOW_S).unwrap();
            store.release(&claims, by);
        }
        assert!(TokenStore::open(Some(dir)).unwrap().check(&token, None, NOW_S).is_ok());
    }

    #[test]
    fn what_has_expired_is_forgotten_so_that_the_list_stays_short() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        for n in 0..20 {
            let (_, claims) = store.issue(Permission::Listen, Some(NOW_S + n), Some(1)).unwrap();
            store.consume(&claims, None, NOW_S + n - 1).unwrap();
        }
        assert_eq!(dir.read(USES).unwrap().unwrap().iter().filter(|&&b| b == b'\n').count(), 1);
    }

    #[test]
    fn withdrawals_at_the_same_time_are_all_kept() {
        let (_folder, dir) = folder();
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let store = TokenStore::open(Some(dir.clone())).unwrap();
                scope.spawn(move || (0..10).for_each(|n| store.revoke(TokenId::new(worker * 10 + n)).unwrap()));
            }
        });
        assert_eq!(revoked(&dir.read(REVOKED).unwrap().unwrap()).len(), 80);
    }

    #[test]
    fn a_damaged_file_neither_opens_nor_locks_the_house() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let (token, _) = store.issue(Permission::Listen, None, None).unwrap();
        dir.write(KEY, b"short").unwrap();
        dir.write(USES, b"\xff nonsense\n0000000000000001 - x\n\n").unwrap();
        assert!(store.check(&token, None, NOW_S).is_ok());
        assert!(TokenStore::open(Some(dir)).is_err(), "a start says so");
    }

    #[test]
    fn a_use_is_written_and_read_alike() {
        for (by, expires_s) in [(None, None), (peer(1), Some(5)), (None, Some(u64::MAX))] {
            let used = Use { claims: TokenId::new(9), by, expires_s };
            assert_eq!(Use::parse(used.line().trim_end()), Some(used));
        }
    }
}
