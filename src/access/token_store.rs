//! What became of tokens: the signing key, which tokens were revoked, and how often they were used. Kept in files of the state
//! folder, so that it outlives the process and another process can change it (`roomtone revoke`); without a folder it is in
//! memory. A file that has changed is read again when a token is checked: nothing is polled or watched.
//!
//! Called by threads that answer clients, one at a time: behind the lock are a few small files, and nothing that a client
//! could delay. What somebody may do with a permission is not decided here.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::access::token_uses::TokenUses;
use crate::access::tokens::{Claims, Permission, SigningKey, TokenId};
use crate::ids::peer::PeerId;
use crate::os::state_dir::{FileStamp, StateDir};

/// 32 random bytes.
const KEY: &str = "key";
/// The id of a revoked token in each line.
const REVOKED: &str = "revoked";
/// A use of a token in each line; the format is that of [`TokenUses`].
const USES: &str = "uses";

/// Why a token is refused.
#[derive(Debug)]
pub enum TokenError {
    /// It is not a token, or was not signed with this server's key.
    Invalid,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
    /// It was used as often as it may be.
    UsedUp,
    /// Its use must be recorded and cannot be, so nobody is admitted with it.
    NotRecorded(io::Error),
}

/// The store of tokens.
#[derive(Debug)]
pub struct TokenStore {
    dir: Option<StateDir>,
    tables: Mutex<Tables>,
}

/// The files in memory; without a folder, the only copy.
#[derive(Debug)]
struct Tables {
    key: Table<SigningKey>,
    revoked: Table<HashSet<TokenId>>,
    uses: Table<TokenUses>,
}

/// What a file contains, as of when it was last read.
#[derive(Clone, Debug)]
struct Table<T> {
    content: T,
    stamp: FileStamp,
}

impl TokenStore {
    /// Opens the store of a folder, and creates the key if there is none.
    ///
    /// # Errors
    /// If the files cannot be read or written, or there are no random numbers.
    pub fn open(dir: Option<StateDir>) -> io::Result<TokenStore> {
        let key = match &dir {
            None => random_key()?,
            Some(dir) => {
                let _lock = dir.lock()?;
                match dir.read(KEY)? {
                    Some(bytes) => bytes.try_into().map_err(|_| io::Error::other("the file `key` is not a key"))?,
                    None => replace_key(dir)?,
                }
            }
        };
        let tables = Tables {
            key: Table::unread(SigningKey::new(&key)),
            revoked: Table::unread(HashSet::new()),
            uses: Table::unread(TokenUses::default()),
        };
        Ok(TokenStore { dir, tables: Mutex::new(tables) })
    }

    /// A new token and its claims.
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
        Ok((self.current_tables().key.content.sign(&claims), claims))
    }

    /// The claims of a token that is valid now. `peer` is the peer that wants to use it, if it has an id: it may have used
    /// it before.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn check(&self, token: &str, peer: Option<PeerId>, now_s: u64) -> Result<Claims, TokenError> {
        let tables = self.current_tables();
        let claims = tables.key.content.verify(token).ok_or(TokenError::Invalid)?;
        if tables.revoked.content.contains(&claims.id) {
            return Err(TokenError::Revoked);
        }
        if claims.expires_s.is_some_and(|expires_s| expires_s <= now_s) {
            return Err(TokenError::Expired);
        }
        if tables.uses.content.is_used_up(&claims, peer) { Err(TokenError::UsedUp) } else { Ok(claims) }
    }

    /// Records a use, if the token counts its uses. True if it was not recorded before.
    ///
    /// # Errors
    /// If the token was used up meanwhile, or the use cannot be written.
    pub fn consume(&self, claims: &Claims, peer: Option<PeerId>, now_s: u64) -> Result<bool, TokenError> {
        if claims.uses.is_none() {
            return Ok(false);
        }
        self.update_uses(|uses| {
            if uses.is_used_up(claims, peer) { Err(TokenError::UsedUp) } else { Ok(uses.record(claims, peer, now_s)) }
        })
    }

    /// Takes back what [`TokenStore::consume`] recorded: the client was not admitted after all.
    pub fn release(&self, claims: &Claims, peer: Option<PeerId>) {
        if let Err(TokenError::NotRecorded(error)) = self.update_uses(|uses| Ok(uses.remove(claims, peer))) {
            log::warn!(
                "a token counts as used although its client was not admitted: the state folder cannot be written: {error}"
            );
        }
    }

    /// Revokes a token. Other processes refuse it from their next check on.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn revoke(&self, id: TokenId) -> io::Result<()> {
        let Some(dir) = &self.dir else {
            self.tables().revoked.content.insert(id);
            return Ok(());
        };
        let _lock = dir.lock()?;
        let mut ids = dir.read(REVOKED)?.map_or_else(HashSet::new, |bytes| parse_revoked(&bytes));
        ids.insert(id);
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        dir.write(REVOKED, lines.as_bytes())
    }

    /// Revokes all tokens by replacing the key.
    ///
    /// # Errors
    /// If that cannot be written, or there are no random numbers.
    pub fn revoke_all(&self) -> io::Result<()> {
        let Some(dir) = &self.dir else {
            self.tables().key.content = SigningKey::new(&random_key()?);
            return Ok(());
        };
        let _lock = dir.lock()?;
        replace_key(dir)?;
        // These are about tokens of the old key, which are refused in any case.
        dir.write(REVOKED, b"")?;
        dir.write(USES, b"")
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A thread that panicked with the lock held has left each table either as it was or wholly changed.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tables after reading the files that have changed.
    fn current_tables(&self) -> MutexGuard<'_, Tables> {
        let mut tables = self.tables();
        if let Some(dir) = &self.dir {
            tables.refresh(dir);
        }
        tables
    }

    /// Lets `update` change the uses, and writes them if it says that it did.
    fn update_uses(&self, update: impl FnOnce(&mut TokenUses) -> Result<bool, TokenError>) -> Result<bool, TokenError> {
        let mut tables = self.tables();
        let Some(dir) = &self.dir else { return update(&mut tables.uses.content) };
        let _lock = dir.lock().map_err(TokenError::NotRecorded)?;
        tables.refresh(dir);
        let before = tables.uses.clone();
        let changed = update(&mut tables.uses.content)?;
        if changed {
            if let Err(error) = dir.write(USES, tables.uses.content.to_lines().as_bytes()) {
                tables.uses = before;
                return Err(TokenError::NotRecorded(error));
            }
            tables.uses.stamp = FileStamp::of(&dir.file(USES));
        }
        Ok(changed)
    }
}

impl Tables {
    /// A table whose file cannot be read stays as it was: a disk error locks nobody out, and no token that was revoked
    /// before is accepted again.
    fn refresh(&mut self, dir: &StateDir) {
        self.key.refresh(dir, KEY, |bytes| {
            let bytes: [u8; SigningKey::BYTES] = bytes.try_into().ok()?;
            Some(SigningKey::new(&bytes))
        });
        self.revoked.refresh(dir, REVOKED, |bytes| Some(parse_revoked(bytes)));
        self.uses.refresh(dir, USES, |bytes| Some(TokenUses::parse(bytes)));
    }
}

impl<T> Table<T> {
    /// The stamp is of no file, so the file is read at the first check.
    fn unread(content: T) -> Table<T> {
        Table { content, stamp: FileStamp::default() }
    }

    /// Reads the file if it has changed.
    fn refresh(&mut self, dir: &StateDir, name: &str, parse: impl FnOnce(&[u8]) -> Option<T>) {
        // Taken before reading: a change during the read leads to another read at the next check.
        let stamp = FileStamp::of(&dir.file(name));
        if stamp == self.stamp {
            return;
        }
        let path = dir.file(name);
        match dir.read(name) {
            Ok(bytes) => match parse(&bytes.unwrap_or_default()) {
                Some(content) => self.content = content,
                None => log::error!("{}: the file is damaged; its previous content stays in effect", path.display()),
            },
            Err(error) => log::error!("{}: {error}; its previous content stays in effect", path.display()),
        }
        self.stamp = stamp;
    }
}

fn parse_revoked(bytes: &[u8]) -> HashSet<TokenId> {
    String::from_utf8_lossy(bytes).lines().filter_map(|line| TokenId::parse(line.trim())).collect()
}

fn replace_key(dir: &StateDir) -> io::Result<[u8; SigningKey::BYTES]> {
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
    fn a_token_is_valid_for_every_process_of_the_folder_until_any_of_them_revokes_it() {
        let (_folder, dir) = folder();
        let (server, other_process) =
            (TokenStore::open(Some(dir.clone())).unwrap(), TokenStore::open(Some(dir)).unwrap());
        let (token, claims) = other_process.issue(Permission::Listen, None, None).unwrap();
        let (other, _) = other_process.issue(Permission::Listen, None, None).unwrap();
        assert_eq!(server.check(&token, None, NOW_S).unwrap(), claims);
        other_process.revoke(claims.id).unwrap();
        assert!(matches!(server.check(&token, None, NOW_S), Err(TokenError::Revoked)));
        assert!(server.check(&other, None, NOW_S).is_ok());
        other_process.revoke_all().unwrap();
        assert!(matches!(server.check(&other, None, NOW_S), Err(TokenError::Invalid)));
        assert!(server.check(&other_process.issue(Permission::Listen, None, None).unwrap().0, None, NOW_S).is_ok());
    }

    #[test]
    fn without_a_folder_tokens_are_revoked_and_counted_in_memory() {
        let store = TokenStore::open(None).unwrap();
        let (token, claims) = store.issue(Permission::Admin, None, Some(1)).unwrap();
        assert!(store.consume(&claims, None, NOW_S).unwrap());
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::UsedUp)));
        let (token, claims) = store.issue(Permission::Admin, None, None).unwrap();
        store.revoke(claims.id).unwrap();
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::Revoked)));
        let (token, _) = store.issue(Permission::Admin, None, None).unwrap();
        store.revoke_all().unwrap();
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::Invalid)));
    }

    #[test]
    fn a_token_expires_to_the_second() {
        let store = TokenStore::open(None).unwrap();
        let (token, _) = store.issue(Permission::Listen, Some(NOW_S), None).unwrap();
        assert!(store.check(&token, None, NOW_S - 1).is_ok());
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::Expired)));
    }

    #[test]
    fn uses_are_counted_by_peer_and_survive_a_restart() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let (token, claims) = store.issue(Permission::Listen, None, Some(2)).unwrap();
        assert!(store.consume(&claims, peer(1), NOW_S).unwrap());
        assert!(!store.consume(&claims, peer(1), NOW_S).unwrap(), "a peer that comes back is not counted again");
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
    fn a_released_use_does_not_count() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let (token, claims) = store.issue(Permission::Listen, None, Some(1)).unwrap();
        for peer in [None, peer(1)] {
            store.consume(&claims, peer, NOW_S).unwrap();
            store.release(&claims, peer);
        }
        assert!(TokenStore::open(Some(dir)).unwrap().check(&token, None, NOW_S).is_ok());
    }

    #[test]
    fn a_use_that_cannot_be_written_does_not_count() {
        let (folder, dir) = folder();
        let store = TokenStore::open(Some(dir)).unwrap();
        let (token, claims) = store.issue(Permission::Listen, None, Some(1)).unwrap();
        // A folder in the place of the file can neither be read nor replaced.
        std::fs::create_dir_all(folder.path().join(USES).join("inside")).unwrap();
        assert!(matches!(store.consume(&claims, None, NOW_S), Err(TokenError::NotRecorded(_))));
        assert!(store.check(&token, None, NOW_S).is_ok());
    }

    #[test]
    fn uses_of_expired_tokens_are_removed_from_the_file() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        for n in 0..20 {
            let (_, claims) = store.issue(Permission::Listen, Some(NOW_S + n), Some(1)).unwrap();
            store.consume(&claims, None, NOW_S + n - 1).unwrap();
        }
        assert_eq!(dir.read(USES).unwrap().unwrap().iter().filter(|&&b| b == b'\n').count(), 1);
    }

    #[test]
    fn concurrent_revocations_are_all_kept() {
        let (_folder, dir) = folder();
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let store = TokenStore::open(Some(dir.clone())).unwrap();
                scope.spawn(move || (0..10).for_each(|n| store.revoke(TokenId::new(worker * 10 + n)).unwrap()));
            }
        });
        assert_eq!(parse_revoked(&dir.read(REVOKED).unwrap().unwrap()).len(), 80);
    }

    #[test]
    fn a_damaged_file_neither_admits_nor_locks_out_anybody() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let (token, _) = store.issue(Permission::Listen, None, None).unwrap();
        dir.write(KEY, b"short").unwrap();
        dir.write(USES, b"\xff nonsense\n0000000000000001 - x\n\n").unwrap();
        assert!(store.check(&token, None, NOW_S).is_ok());
        assert!(TokenStore::open(Some(dir)).is_err(), "a start fails");
    }
}
