//! The files of the token store: makes them, reads them strictly, and notices that one has changed. What cannot be read, or is
//! not wholly understood, is never guessed at: without it nobody can tell which tokens are valid.
//!
//! Called by the token store with its lock held, for a file system call or two. What a file means for a token is not known here.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use crate::access::tokens::{SigningKey, TokenId};
use crate::os::secret_file::FileStamp;
use crate::os::state_dir::StateDir;

/// 32 random bytes.
pub(crate) const KEY: &str = "key";
/// The id of a revoked token in each line.
pub(crate) const REVOKED: &str = "revoked";
/// A use of a token in each line; the format is that of [`TokenUses`](crate::access::token_uses::TokenUses).
pub(crate) const USES: &str = "uses";
/// An empty file, made when there were all of the others: since then, one that is missing has been lost.
const COMPLETE: &str = ".complete";

/// A file that cannot be used is looked at again after this, if it has not changed: an error of the disk may pass.
const RETRY: Duration = Duration::from_secs(1);

/// The bytes of a key.
pub(crate) type KeyBytes = [u8; SigningKey::BYTES];

/// Makes the files that there have never been: all of a new folder, or those that an older version made only when it needed
/// them. The folder is locked.
pub(crate) fn create_missing(dir: &StateDir) -> io::Result<()> {
    let is_complete = dir.owner_of(COMPLETE).is_some();
    if dir.owner_of(KEY).is_none() {
        // Without the old key no old token is valid, whatever else was lost.
        dir.write(KEY, &random_key()?)?;
    } else if is_complete {
        return Ok(());
    }
    for name in [REVOKED, USES] {
        if dir.owner_of(name).is_none() {
            dir.write(name, b"")?;
        }
    }
    if is_complete { Ok(()) } else { dir.write(COMPLETE, b"") }
}

/// Makes them all anew, whatever they were. The folder is locked.
pub(crate) fn replace_all(dir: &StateDir) -> io::Result<()> {
    let key = random_key()?;
    dir.write(KEY, &key)?;
    // These are about tokens of the old key, which are refused in any case.
    dir.write(REVOKED, b"")?;
    dir.write(USES, b"")?;
    dir.write(COMPLETE, b"")?;
    match dir.read(KEY)? {
        Some(bytes) if bytes == key => Ok(()),
        _ => Err(io::Error::other("key: it was written and is not there")),
    }
}

/// A file that has to be there, as `parse` understands it.
pub(crate) fn read<T>(dir: &StateDir, name: &str, parse: impl FnOnce(&[u8]) -> Option<T>) -> io::Result<T> {
    let named = |kind, what: &str| io::Error::new(kind, format!("{name}: {what}"));
    match dir.read(name) {
        Ok(Some(bytes)) => parse(&bytes).ok_or_else(|| named(io::ErrorKind::InvalidData, "it is damaged")),
        Ok(None) => Err(named(io::ErrorKind::NotFound, "it is gone")),
        Err(error) => Err(named(error.kind(), &error.to_string())),
    }
}

pub(crate) fn parse_key(bytes: &[u8]) -> Option<KeyBytes> {
    bytes.try_into().ok()
}

/// None if a line is no id: it may have been one.
pub(crate) fn parse_revoked(bytes: &[u8]) -> Option<HashSet<TokenId>> {
    let lines = std::str::from_utf8(bytes).ok()?.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(TokenId::parse).collect()
}

pub(crate) fn random_key() -> io::Result<KeyBytes> {
    let mut bytes = [0; SigningKey::BYTES];
    fill(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(format!("no random numbers: {error}")))
}

/// What a look at a file found.
pub(crate) enum Found<T> {
    /// What it was.
    Unchanged,
    /// New content.
    Content(T),
    /// It cannot be used; the log says why.
    Unusable,
}

/// One of the files, as of when it was last looked at.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    name: &'static str,
    stamp: FileStamp,
    /// Why it cannot be used, and since when that is known.
    problem: Option<(String, Instant)>,
}

impl WatchedFile {
    /// Not looked at yet.
    pub fn new(name: &'static str) -> WatchedFile {
        WatchedFile { name, stamp: FileStamp::Unknown, problem: None }
    }

    /// Why it cannot be used.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_ref().map(|(problem, _)| problem.as_str())
    }

    /// This process has written it.
    pub fn set_stamp(&mut self, stamp: FileStamp) {
        self.stamp = stamp;
    }

    /// Reads the file if it has changed, or could not be used a while ago.
    pub fn look<T>(&mut self, dir: &StateDir, now: Instant, parse: impl FnOnce(&[u8]) -> Option<T>) -> Found<T> {
        // Taken before reading: a change during the read leads to another read at the next look.
        let stamp = FileStamp::of(&dir.file(self.name));
        let is_same = stamp == self.stamp;
        match &self.problem {
            None if is_same && stamp != FileStamp::Unknown => return Found::Unchanged,
            Some((_, since)) if is_same && now.saturating_duration_since(*since) < RETRY => return Found::Unusable,
            _ => {}
        }
        self.stamp = stamp;
        match read(dir, self.name, parse) {
            Ok(content) => {
                if self.problem.take().is_some() {
                    log::info!("{}: it can be used again", dir.path().join(self.name).display());
                }
                Found::Content(content)
            }
            Err(error) => {
                let problem = error.to_string();
                if self.problem() != Some(&problem) {
                    let path = dir.path().display();
                    log::error!("{path}: {problem}; tokens that depend on it are refused until it is repaired");
                }
                self.problem = Some((problem, now));
                Found::Unusable
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_revoked_ids_is_understood_wholly_or_not_at_all() {
        let ids = parse_revoked(b"0000000000000001\n  0000000000000002 \n\n").unwrap();
        assert_eq!(ids.len(), 2);
        assert_eq!(parse_revoked(b"").map(|ids| ids.len()), Some(0));
        for bad in
            [&b"0000000000000001\n00000000"[..], b"x", b"\xff", b"\0\0\0\0", b"0000000000000001 0000000000000002"]
        {
            assert_eq!(parse_revoked(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_old_folder_is_completed_once_and_what_is_lost_after_that_stays_lost() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path()).unwrap();
        dir.write(KEY, &[7; 32]).unwrap();
        create_missing(&dir).unwrap();
        assert_eq!((dir.read(KEY).unwrap().unwrap(), dir.read(REVOKED).unwrap().unwrap()), (vec![7; 32], vec![]));
        std::fs::remove_file(dir.file(REVOKED)).unwrap();
        create_missing(&dir).unwrap();
        assert!(read(&dir, REVOKED, parse_revoked).unwrap_err().to_string().contains("gone"));
        replace_all(&dir).unwrap();
        assert_ne!(read(&dir, KEY, parse_key).unwrap(), [7; 32]);
        assert!(read(&dir, REVOKED, parse_revoked).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_looked_at_again_when_it_changes_or_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path()).unwrap();
        let (mut file, now) = (WatchedFile::new(KEY), Instant::now());
        let mut reads = 0;
        let mut look = |file: &mut WatchedFile, now| {
            let parse = |bytes: &[u8]| {
                reads += 1;
                parse_key(bytes)
            };
            (matches!(file.look(&dir, now, parse), Found::Content(_)), reads)
        };
        dir.write(KEY, b"short").unwrap();
        assert_eq!(look(&mut file, now), (false, 1));
        assert_eq!(look(&mut file, now + RETRY / 2), (false, 1));
        assert_eq!(look(&mut file, now + RETRY * 2), (false, 2));
        assert_eq!(file.problem(), Some("key: it is damaged"));
        dir.write(KEY, &[1; 32]).unwrap();
        assert_eq!(look(&mut file, now + RETRY * 2), (true, 3));
        assert_eq!(look(&mut file, now + RETRY * 9), (false, 3), "unchanged");
        assert_eq!(file.problem(), None);
    }
}
