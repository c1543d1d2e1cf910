//! What became of tokens: the signing key, which tokens were revoked, and how often they were used. Kept in files of the state
//! folder, so that it outlives the process and another process can change it (`roomtone revoke`); without a folder it is in
//! memory. A file that has changed is read again when a token is checked: nothing is polled or watched. While a file cannot be
//! used, the answer to every token that depends on it is no.
//!
//! Called by threads that answer clients. A check never waits for a disk or for another process: behind its lock are a few small
//! files in the system's cache. Uses are written without that lock, by one thread at a time, for all that wait.

use std::collections::HashSet;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::access::token_clock::CLOCK_SET_SINCE_S;
use crate::access::token_files::{self, Found, KEY, KeyBytes, REVOKED, USES, WatchedFile};
use crate::access::token_uses::TokenUses;
use crate::access::tokens::{Claims, Permission, SigningKey, TokenId};
pub use crate::access::use_reservations::Reservation;
use crate::access::use_reservations::{self, Change, Outcome, Reserved, Ticket, UseReservations};
use crate::ids::peer::PeerId;
use crate::os::secret_file::FileStamp;
use crate::os::state_dir::StateDir;

/// How long a client waits while another process holds the folder's lock, which takes milliseconds.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);
/// How long a command waits for the same.
const COMMAND_PATIENCE: Duration = Duration::from_secs(10);

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
    /// A file that this depends on cannot be used; the log says why.
    Undecided,
    /// It expires, and nobody knows what time it is.
    ClockNotSet,
}

/// The store of tokens.
#[derive(Debug)]
pub struct TokenStore {
    dir: Option<StateDir>,
    tables: Mutex<Tables>,
    /// Signalled when [`Tables::is_writing`] becomes false.
    written: Condvar,
}

/// The files in memory; without a folder, the only copy. What is None cannot be decided at present.
#[derive(Debug)]
struct Tables {
    files: [WatchedFile; 3],
    key: Option<SigningKey>,
    /// Whose tokens `revoked` is about.
    key_bytes: KeyBytes,
    /// It only grows as long as the key is the same: a token that was revoked is never accepted again.
    revoked: HashSet<TokenId>,
    is_revoked_known: bool,
    uses: UseReservations,
    are_uses_known: bool,
    /// A thread is writing changes of `uses`; until it is done, nobody else reads the file.
    is_writing: bool,
}

impl TokenStore {
    /// Opens the store of a folder, and creates the files of a new one.
    ///
    /// # Errors
    /// If a file cannot be read, is damaged or lost, or cannot be written, or there are no random numbers.
    pub fn open(dir: Option<StateDir>) -> io::Result<TokenStore> {
        let mut tables = Tables::new(dir.is_none().then(token_files::random_key).transpose()?);
        if let Some(dir) = &dir {
            let lock = dir.lock(COMMAND_PATIENCE)?;
            token_files::create_missing(dir)?;
            drop(lock);
            tables.refresh(dir);
            if let Some(problem) = tables.files.iter().find_map(WatchedFile::problem) {
                return Err(io::Error::other(problem));
            }
        }
        Ok(TokenStore { dir, tables: Mutex::new(tables), written: Condvar::new() })
    }

    /// A new token and its claims.
    ///
    /// # Errors
    /// If there are no random numbers, or the token would be refused because a file cannot be used.
    pub fn issue(
        &self,
        permission: Permission,
        expires_s: Option<u64>,
        uses: Option<u32>,
    ) -> io::Result<(String, Claims)> {
        let mut bits = [0; 8];
        token_files::fill(&mut bits)?;
        let claims = Claims { id: TokenId::new(u64::from_be_bytes(bits)), permission, expires_s, uses };
        let tables = self.current_tables();
        let key = tables.key.as_ref().filter(|_| tables.is_revoked_known);
        let key = key.ok_or_else(|| io::Error::other("no token can be checked at present"))?;
        Ok((key.sign(&claims), claims))
    }

    /// The claims of a token that is valid now. `peer` is the peer that wants to use it, if it has an id: it may have used
    /// it before.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn check(&self, token: &str, peer: Option<PeerId>, now_s: u64) -> Result<Claims, TokenError> {
        let tables = self.current_tables();
        let claims = tables.key.as_ref().ok_or(TokenError::Undecided)?.verify(token).ok_or(TokenError::Invalid)?;
        tables.check_claims(&claims, peer, now_s)?;
        Ok(claims)
    }

    /// Reserves a use, if the token counts its uses and this peer has not used it before; the reservation must be confirmed or
    /// released. When this returns, it is in the file.
    ///
    /// # Errors
    /// If the token was used up or revoked meanwhile, or the use cannot be written.
    pub fn reserve(
        &self,
        claims: &Claims,
        peer: Option<PeerId>,
        now_s: u64,
    ) -> Result<Option<Reservation>, TokenError> {
        if claims.uses.is_none() {
            return Ok(None);
        }
        let mut tables = self.current_tables();
        tables.check_claims(claims, peer, now_s)?;
        let (reservation, ticket) = match tables.uses.reserve(claims, peer, now_s) {
            None => return Err(TokenError::UsedUp),
            Some(Reserved::UsedBefore) => return Ok(None),
            Some(Reserved::Pending(reservation, ticket)) => (reservation, ticket),
        };
        match self.write_changes(tables, &ticket) {
            Outcome::Written => Ok(Some(reservation)),
            Outcome::UsedUp => Err(TokenError::UsedUp),
            Outcome::Failed(kind, why) => Err(TokenError::NotRecorded(io::Error::new(kind, why))),
        }
    }

    /// The client was admitted, so its use counts.
    pub fn confirm(&self, reservation: &Reservation) {
        self.tables().uses.confirm(reservation);
    }

    /// The client was not admitted, so its use does not count, unless another connection of the same peer has it too.
    pub fn release(&self, reservation: &Reservation) {
        let mut tables = self.tables();
        let Some(ticket) = tables.uses.release(reservation) else { return };
        if let Outcome::Failed(_, why) = self.write_changes(tables, &ticket) {
            log::warn!("a token counts as used although its client was not admitted: it cannot be written: {why}");
        }
    }

    /// Revokes a token. Other processes refuse it from their next check on: the file has been read back, and it belongs to the
    /// user that the key belongs to.
    ///
    /// # Errors
    /// If that cannot be written, or the list of revoked tokens cannot be read.
    pub fn revoke(&self, id: TokenId) -> io::Result<()> {
        let Some(dir) = &self.dir else {
            self.tables().revoked.insert(id);
            return Ok(());
        };
        let _lock = dir.lock(COMMAND_PATIENCE)?;
        let mut ids = token_files::read(dir, REVOKED, token_files::parse_revoked)?;
        ids.insert(id);
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        dir.write(REVOKED, lines.as_bytes())?;
        if !token_files::read(dir, REVOKED, token_files::parse_revoked)?.contains(&id) {
            return Err(io::Error::other("revoked: it was written and is not there"));
        }
        match (dir.owner_of(REVOKED), dir.owner_of(KEY)) {
            (Some(owner), Some(of_key)) if owner.user != of_key.user => {
                let message =
                    "revoked: it does not belong to the same user as the file key, so the server cannot read it";
                Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
            }
            _ => Ok(()),
        }
    }

    /// Revokes all tokens of a folder by replacing its key. It needs no file to be readable.
    ///
    /// # Errors
    /// If that cannot be written, or there are no random numbers.
    pub fn revoke_all(dir: &StateDir) -> io::Result<()> {
        let _lock = dir.lock(COMMAND_PATIENCE)?;
        token_files::replace_all(dir)
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

    /// Has the changes of the uses written, and returns what became of one of them. The first thread that comes writes them for
    /// all; those that come meanwhile are written together after that.
    fn write_changes<'a>(&'a self, mut tables: MutexGuard<'a, Tables>, ticket: &Ticket) -> Outcome {
        loop {
            if let Some(outcome) = ticket.get() {
                return outcome.clone();
            }
            if tables.is_writing {
                tables = self.written.wait(tables).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let taken = tables.uses.changes();
            let Some(dir) = &self.dir else {
                let mut uses = tables.uses.recorded().clone();
                let outcomes = use_reservations::apply(&mut uses, &taken);
                tables.uses.set_written(&taken, Ok((uses, outcomes)));
                continue;
            };
            tables.is_writing = true;
            drop(tables);
            let writing = Writing(self);
            let written = write_uses(dir, &taken);
            tables = self.tables();
            let written = written.map(|(uses, outcomes, stamp)| {
                tables.files[2].set_stamp(stamp);
                (uses, outcomes)
            });
            let failed = |error: io::Error| Outcome::Failed(error.kind(), error.to_string());
            tables.uses.set_written(&taken, written.map_err(failed));
            drop(tables);
            drop(writing);
            tables = self.tables();
        }
    }
}

/// Held while uses are written; when it is dropped, also by a panic, the next thread may write.
struct Writing<'a>(&'a TokenStore);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.tables().is_writing = false;
        self.0.written.notify_all();
    }
}

/// Changes the file, which other processes may have changed too.
fn write_uses(dir: &StateDir, changes: &[Change]) -> io::Result<(TokenUses, Vec<Outcome>, FileStamp)> {
    let _lock = dir.lock(CLIENT_PATIENCE)?;
    let mut uses = token_files::read(dir, USES, TokenUses::parse)?;
    let outcomes = use_reservations::apply(&mut uses, changes);
    dir.write(USES, uses.to_lines().as_bytes())?;
    Ok((uses, outcomes, FileStamp::of(&dir.file(USES))))
}

impl Tables {
    /// With this key and nothing revoked or used; without one, nothing is known yet.
    fn new(key: Option<KeyBytes>) -> Tables {
        Tables {
            files: [KEY, REVOKED, USES].map(WatchedFile::new),
            key: key.as_ref().map(SigningKey::new),
            key_bytes: key.unwrap_or_default(),
            revoked: HashSet::new(),
            is_revoked_known: key.is_some(),
            uses: UseReservations::default(),
            are_uses_known: key.is_some(),
            is_writing: false,
        }
    }

    fn check_claims(&self, claims: &Claims, peer: Option<PeerId>, now_s: u64) -> Result<(), TokenError> {
        if self.revoked.contains(&claims.id) {
            return Err(TokenError::Revoked);
        }
        if !self.is_revoked_known {
            return Err(TokenError::Undecided);
        }
        match claims.expires_s {
            Some(_) if now_s < CLOCK_SET_SINCE_S => return Err(TokenError::ClockNotSet),
            Some(expires_s) if expires_s <= now_s => return Err(TokenError::Expired),
            _ => {}
        }
        match claims.uses {
            Some(_) if !self.are_uses_known => Err(TokenError::Undecided),
            _ if self.uses.is_used_up(claims, peer) => Err(TokenError::UsedUp),
            _ => Ok(()),
        }
    }

    /// Reads the files that have changed.
    fn refresh(&mut self, dir: &StateDir) {
        let now = Instant::now();
        let [key, revoked, uses] = &mut self.files;
        match key.look(dir, now, token_files::parse_key) {
            Found::Unchanged => {}
            Found::Unusable => self.key = None,
            Found::Content(bytes) => {
                if bytes != self.key_bytes {
                    self.revoked.clear();
                }
                (self.key, self.key_bytes) = (Some(SigningKey::new(&bytes)), bytes);
            }
        }
        match revoked.look(dir, now, token_files::parse_revoked) {
            Found::Unchanged => {}
            Found::Unusable => self.is_revoked_known = false,
            Found::Content(ids) => {
                self.revoked.extend(ids);
                self.is_revoked_known = true;
            }
        }
        if self.is_writing {
            return;
        }
        match uses.look(dir, now, TokenUses::parse) {
            Found::Unchanged => {}
            Found::Unusable => self.are_uses_known = false,
            Found::Content(recorded) => {
                self.uses.set_recorded(recorded);
                self.are_uses_known = true;
            }
        }
    }
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

    fn use_up(store: &TokenStore, claims: &Claims, peer: Option<PeerId>) -> bool {
        store.reserve(claims, peer, NOW_S).unwrap().inspect(|it| store.confirm(it)).is_some()
    }

    #[test]
    fn a_token_is_valid_for_every_process_of_the_folder_until_any_of_them_revokes_it() {
        let (_folder, dir) = folder();
        let (server, other_process) =
            (TokenStore::open(Some(dir.clone())).unwrap(), TokenStore::open(Some(dir.clone())).unwrap());
        let (token, claims) = other_process.issue(Permission::Listen, None, None).unwrap();
        let (other, _) = other_process.issue(Permission::Listen, None, None).unwrap();
        assert_eq!(server.check(&token, None, NOW_S).unwrap(), claims);
        other_process.revoke(claims.id).unwrap();
        assert!(matches!(server.check(&token, None, NOW_S), Err(TokenError::Revoked)));
        assert!(server.check(&other, None, NOW_S).is_ok());
        TokenStore::revoke_all(&dir).unwrap();
        assert!(matches!(server.check(&other, None, NOW_S), Err(TokenError::Invalid)));
        assert!(server.check(&other_process.issue(Permission::Listen, None, None).unwrap().0, None, NOW_S).is_ok());
    }

    #[test]
    fn without_a_folder_tokens_are_revoked_and_counted_in_memory() {
        let store = TokenStore::open(None).unwrap();
        let (token, claims) = store.issue(Permission::Admin, None, Some(1)).unwrap();
        assert!(use_up(&store, &claims, None));
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::UsedUp)));
        let (token, claims) = store.issue(Permission::Admin, None, None).unwrap();
        store.revoke(claims.id).unwrap();
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::Revoked)));
    }

    #[test]
    fn a_token_expires_to_the_second_and_not_before_the_clock_is_set() {
        let store = TokenStore::open(None).unwrap();
        let (token, _) = store.issue(Permission::Listen, Some(NOW_S), None).unwrap();
        assert!(store.check(&token, None, NOW_S - 1).is_ok());
        assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::Expired)));
        assert!(matches!(store.check(&token, None, 60), Err(TokenError::ClockNotSet)));
        let (unlimited, _) = store.issue(Permission::Listen, None, None).unwrap();
        assert!(store.check(&unlimited, None, 60).is_ok());
    }

    #[test]
    fn uses_are_counted_by_peer_and_survive_a_restart() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let (token, claims) = store.issue(Permission::Listen, None, Some(2)).unwrap();
        assert!(use_up(&store, &claims, peer(1)));
        assert!(!use_up(&store, &claims, peer(1)), "a peer that comes back is not counted again");
        assert!(use_up(&store, &claims, peer(2)));
        let after = TokenStore::open(Some(dir)).unwrap();
        for store in [store, after] {
            assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::UsedUp)));
            assert!(matches!(store.reserve(&claims, peer(3), NOW_S), Err(TokenError::UsedUp)));
            assert!(store.check(&token, peer(2), NOW_S).is_ok());
            assert!(!use_up(&store, &claims, peer(2)));
        }
    }

    #[test]
    fn a_released_use_does_not_count() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let (token, claims) = store.issue(Permission::Listen, None, Some(1)).unwrap();
        for peer in [None, peer(1)] {
            let reservation = store.reserve(&claims, peer, NOW_S).unwrap().unwrap();
            store.release(&reservation);
        }
        assert!(TokenStore::open(Some(dir)).unwrap().check(&token, None, NOW_S).is_ok());
    }

    #[test]
    fn a_token_for_one_use_is_used_once_however_many_threads_and_processes_try() {
        let (_folder, dir) = folder();
        let stores = [(); 2].map(|()| TokenStore::open(Some(dir.clone())).unwrap());
        let (_, claims) = stores[0].issue(Permission::Listen, None, Some(3)).unwrap();
        let used = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let (store, claims, used) = (&stores[worker % 2], &claims, &used);
                scope.spawn(move || {
                    for _ in 0..4 {
                        if let Ok(Some(_)) = store.reserve(claims, None, NOW_S) {
                            used.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(used.into_inner(), 3);
        assert_eq!(TokenUses::parse(&dir.read(USES).unwrap().unwrap()).unwrap().to_lines().lines().count(), 3);
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
        assert_eq!(token_files::parse_revoked(&dir.read(REVOKED).unwrap().unwrap()).unwrap().len(), 80);
    }

    #[test]
    fn checks_do_not_wait_while_a_use_is_being_written() {
        let (_folder, dir) = folder();
        let store = TokenStore::open(Some(dir.clone())).unwrap();
        let (token, claims) = store.issue(Permission::Listen, None, Some(1)).unwrap();
        let held = dir.lock(COMMAND_PATIENCE).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| store.reserve(&claims, None, NOW_S));
            while !store.tables().is_writing {
                std::thread::yield_now();
            }
            let started = Instant::now();
            assert!(matches!(store.check(&token, None, NOW_S), Err(TokenError::UsedUp)), "it is reserved");
            assert!(started.elapsed() < CLIENT_PATIENCE / 4);
            // The lock is held for longer than a client waits.
            assert!(matches!(waiting.join().unwrap(), Err(TokenError::NotRecorded(_))));
        });
        drop(held);
        assert!(store.check(&token, None, NOW_S).is_ok() && use_up(&store, &claims, None));
    }
}
