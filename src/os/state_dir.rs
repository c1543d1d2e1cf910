//! The state folder: the few files that must outlive a process, which are keys, the self-signed certificate and the admin
//! link. Called at start and, rarely, by threads that answer clients. It caches nothing and knows no file's content.
//!
//! Who can write to the folder decides who may come in, so it is checked when it is opened, and every file's owner when it is
//! read. A process of root writes for the folder's owner, who could not read root's files.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::os::secret_file::{self, Links, MAX_BYTES, Owner};

/// Between two attempts to take a lock that another process holds. The system can wait for a lock only without limit.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// A folder that only its owner can read.
#[derive(Clone, Debug)]
pub struct StateDir {
    /// Where it is, without symbolic links.
    path: PathBuf,
    owner: Owner,
    /// Keeps the folder that was checked, whatever is put at its path later. Only for root in another user's folder, see
    /// [`StateDir::file`].
    pinned: Option<Arc<PinnedFolder>>,
}

/// An open folder, and a path that leads to it as long as it is open.
#[derive(Debug)]
struct PinnedFolder {
    path: PathBuf,
    _file: File,
}

impl StateDir {
    /// Creates the folder if there is none, and checks that this process can write to it and strangers cannot.
    ///
    /// # Errors
    /// The operating system's, or what is wrong with the folder, to be read by a person.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<StateDir> {
        let named = path.into();
        create_folder(&named)?;
        // Folders above may be closed to this user, as those of systemd's dynamic users are.
        let path = if cfg!(unix) { named.canonicalize().or_else(|_| std::path::absolute(&named))? } else { named };
        let is_root = secret_file::effective_user() == Owner::ROOT_USER;
        let mut dir = StateDir { owner: Owner::of(&fs::metadata(&path)?), path, pinned: None };
        if is_root && dir.owner.user != Owner::ROOT_USER {
            dir.pinned = pin(&dir.path)?.map(Arc::new);
            dir.owner = Owner::of(&fs::metadata(dir.file("."))?);
        }
        #[cfg(unix)]
        dir.check_permissions()?;
        let (probe, _) = dir.create_unfinished("probe")?;
        fs::remove_file(probe)?;
        Ok(dir)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it, whether the file exists or not.
    ///
    /// Root works for another user here, who could meanwhile put a link to `/etc` at the folder's path, so root reaches the
    /// files through the open folder (proc(5)).
    pub fn file(&self, name: &str) -> PathBuf {
        self.pinned.as_ref().map_or(&self.path, |pinned| &pinned.path).join(name)
    }

    /// A file's bytes; None if there is no such file.
    ///
    /// # Errors
    /// The operating system's; or that it is no regular file, larger than 1 MiB, or another user's.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some((bytes, metadata)) = secret_file::read(&self.file(name), Links::Refuse)? else { return Ok(None) };
        let user = Owner::of(&metadata).user;
        if ![Owner::ROOT_USER, self.owner.user, secret_file::effective_user()].contains(&user) {
            return Err(io::Error::other(format!("it belongs to another user ({user})")));
        }
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::mode(&metadata) & 0o002 != 0 {
            return Err(io::Error::other("every user may write to it"));
        }
        Ok(Some(bytes))
    }

    /// Who owns a file; None if there is no such file.
    pub fn owner_of(&self, name: &str) -> Option<Owner> {
        fs::symlink_metadata(self.file(name)).ok().map(|metadata| Owner::of(&metadata))
    }

    /// Whether only root can use the folder.
    pub fn owner_is_root(&self) -> bool {
        cfg!(unix) && self.owner.user == Owner::ROOT_USER
    }

    /// Keeps other processes and other threads from changing the folder's files until the lock is dropped; waits while
    /// another one holds it, but not longer than `patience`. Reading needs no lock, since files are replaced as a whole.
    ///
    /// # Errors
    /// The operating system's, or that the lock is still held.
    pub fn lock(&self, patience: Duration) -> io::Result<Lock> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!(".lock: {error}"));
        let (file, is_new) = secret_file::open_lock(&self.file(".lock")).map_err(named)?;
        // An empty file that a process of root has left would keep the folder's owner out for ever.
        if is_new || secret_file::is_only_name_of_roots(&file)? {
            self.give_to_owner(&file, None).map_err(named)?;
        }
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_RETRY),
                Err(TryLockError::WouldBlock) => {
                    let message =
                        format!("another process has held the lock .lock for {} s; end it", patience.as_secs());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
                // A file system without locks: the last writer wins there, as with every other program.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(Lock(file)),
                Err(TryLockError::Error(error)) => return Err(named(error)),
            }
        }
    }

    /// Replaces a file's content, as a whole or not at all, and durably; only the owner can read it.
    ///
    /// # Errors
    /// The operating system's, with the file's name; the file is unchanged then. Or that no reader would take so much.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        if bytes.len() as u64 > MAX_BYTES {
            return Err(named(io::Error::other("it would be larger than 1 MiB")));
        }
        let (unfinished, mut file) = self.create_unfinished(name).map_err(named)?;
        let written = self
            .give_to_owner(&file, self.owner_of(name))
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&unfinished, self.file(name)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written.and_then(|()| self.sync()).map_err(named)
    }

    /// A file of its own for what is to become the file `name`.
    fn create_unfinished(&self, name: &str) -> io::Result<(PathBuf, File)> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(format!("no random numbers: {error}")))?;
        let path = self.file(&format!(".{name}-{:016x}", u64::from_be_bytes(bytes)));
        let file = secret_file::create(&path)?;
        Ok((path, file))
    }

    /// What root writes belongs to the folder's owner. In a folder of root's own that another user's server may write to, a
    /// file keeps the owner that it had.
    fn give_to_owner(&self, file: &File, previous: Option<Owner>) -> io::Result<()> {
        #[cfg(unix)]
        if secret_file::effective_user() == Owner::ROOT_USER {
            let owner = if self.owner.user == Owner::ROOT_USER { previous.unwrap_or(self.owner) } else { self.owner };
            if owner.user != Owner::ROOT_USER {
                return std::os::unix::fs::fchown(file, Some(owner.user), Some(owner.group));
            }
        }
        let _ = (file, previous);
        Ok(())
    }

    /// Makes a rename durable. Some file systems cannot, and need not.
    fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        match File::open(self.file("")).and_then(|folder| folder.sync_all()) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                return Err(error);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether only this user and root can write to the folder. Members of a group lose that right; where every user had it,
    /// nobody can tell what they did, so a person has to look.
    #[cfg(unix)]
    fn check_permissions(&self) -> io::Result<()> {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let user = secret_file::effective_user();
        if ![user, Owner::ROOT_USER].contains(&self.owner.user) && user != Owner::ROOT_USER {
            let message = format!("the folder belongs to another user ({}), so run this as that user", self.owner.user);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        let mode = fs::metadata(self.file("."))?.mode();
        if mode & 0o002 != 0 {
            let message = "every user may write to this folder; look what is in it, then run `chmod go-w` on it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        // A folder of root's that a group may write to is how root lets a server of that group in.
        if mode & 0o020 != 0 && (self.owner.user == user && user != Owner::ROOT_USER) {
            fs::set_permissions(&self.path, fs::Permissions::from_mode(mode & 0o7755))?;
            log::warn!("{}: its group could write to it, and no longer can", self.path.display());
        }
        for above in self.path.ancestors().skip(1) {
            // In a sticky folder, as /tmp is, only an owner can replace a folder (inode(7)).
            let is_replaceable = fs::metadata(above).is_ok_and(|it| it.mode() & 0o1002 == 0o002);
            if is_replaceable {
                let (above, path) = (above.display(), self.path.display());
                log::warn!("{above}: every user may write to it, and so can replace {path}; run `chmod o-w {above}`");
            }
        }
        Ok(())
    }
}

/// The right to change the folder, see [`StateDir::lock`].
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing the file is what unlocks it")] File);

fn create_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if secret_file::effective_user() == Owner::ROOT_USER && !path.exists() {
        let absolute = std::path::absolute(path)?;
        let above = absolute.ancestors().find_map(|above| fs::metadata(above).ok());
        let user = above.map_or(Owner::ROOT_USER, |above| Owner::of(&above).user);
        if user != Owner::ROOT_USER {
            // That user could not read it, and to give it away by its path is not safe.
            let message = format!("there is no such folder, and the user {user} must create it, not root");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// None where an open folder has no path.
fn pin(path: &Path) -> io::Result<Option<PinnedFolder>> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let file = File::open(path)?;
        let pinned = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        match fs::read_link(&pinned) {
            // Without /proc, the path has to do.
            Err(_) => Ok(None),
            Ok(opened) if opened == path => Ok(Some(PinnedFolder { path: pinned, _file: file })),
            Ok(_) => Err(io::Error::other("the folder was replaced while it was opened")),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_written_file_is_read_back_and_private_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path().join("a/b")).unwrap();
        assert_eq!(dir.read("key").unwrap(), None);
        dir.write("key", b"one").unwrap();
        dir.write("key", b"two").unwrap();
        assert_eq!(dir.read("key").unwrap().as_deref(), Some(b"two".as_slice()));
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["key"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(dir.path()), mode(&dir.file("key"))), (0o700, 0o600));
        }
    }

    #[test]
    fn nothing_is_written_that_could_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path()).unwrap();
        dir.write("uses", b"before").unwrap();
        let error = dir.write("uses", &vec![b'x'; MAX_BYTES as usize + 1]).unwrap_err();
        assert_eq!(error.to_string(), "uses: it would be larger than 1 MiB");
        assert_eq!(dir.read("uses").unwrap().unwrap(), b"before");
    }

    #[test]
    fn a_lock_that_is_held_is_not_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::open(folder.path()).unwrap();
        let held = dir.lock(PATIENCE).unwrap();
        let error = dir.lock(Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        drop(held);
        dir.lock(PATIENCE).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_every_user_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for (mode, is_usable) in [(0o777, false), (0o1777, false), (0o755, true), (0o700, true)] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            let opened = StateDir::open(folder.path());
            assert_eq!(opened.is_ok(), is_usable, "{mode:o}: {opened:?}");
        }
        let dir = StateDir::open(folder.path()).unwrap();
        dir.write("key", b"x").unwrap();
        fs::set_permissions(dir.file("key"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(dir.read("key").unwrap_err().to_string().contains("every user"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_a_file_leads_nowhere() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = elsewhere.path().join("target");
        fs::write(&target, "precious").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        // The folder itself may be reached through a link, as systemd's are.
        let dir = StateDir::open(&link).unwrap();
        for name in ["revoked", ".lock"] {
            std::os::unix::fs::symlink(&target, dir.file(name)).unwrap();
        }
        assert!(dir.read("revoked").is_err() && dir.lock(PATIENCE).is_err());
        dir.write("revoked", b"new").unwrap();
        assert_eq!(
            (fs::read(&target).unwrap(), dir.read("revoked").unwrap().unwrap()),
            (b"precious".into(), b"new".into())
        );
    }
}
