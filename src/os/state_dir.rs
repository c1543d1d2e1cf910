//! The state folder: the few files that must outlive a process, which are keys, the self-signed certificate and the admin
//! link. Called at start and, rarely, by threads that answer clients. It caches nothing and knows no file's content.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// No file of this program is longer; a larger one was put there by mistake and is not read.
const MAX_BYTES: u64 = 1024 * 1024;

/// A folder that only its owner can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Creates the folder if there is none, and checks that it can be written.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<StateDir> {
        let path = path.into();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        let dir = StateDir { path };
        let probe = dir.path.join(format!(".probe-{}", std::process::id()));
        secret_file(&probe)?;
        fs::remove_file(probe)?;
        Ok(dir)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it, whether the file exists or not.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file's bytes; None if there is no such file.
    ///
    /// # Errors
    /// The operating system's, or that the file is larger than 1 MiB.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        read(&self.file(name))
    }

    /// Keeps other processes and other threads from changing the folder's files until the lock is dropped; waits while
    /// another one holds it. Reading needs no lock, since files are replaced as a whole.
    ///
    /// # Errors
    /// The operating system's.
    pub fn lock(&self) -> io::Result<Lock> {
        let file = secret_options().truncate(false).open(self.file(".lock"))?;
        match file.lock() {
            // A file system without locks: the last writer wins there, as with every other program.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Lock(file)),
            locked => locked.map(|()| Lock(file)),
        }
    }

    /// Replaces a file's content, as a whole or not at all; only the owner can read it.
    ///
    /// # Errors
    /// The operating system's; the file is unchanged then.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.file(&format!(".{name}-{}", std::process::id()));
        let written = secret_file(&unfinished)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&unfinished, self.file(name)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }
}

/// The right to change the folder, see [`StateDir::lock`].
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing the file is what unlocks it")] File);

/// A file's bytes; None if there is no such file.
///
/// # Errors
/// The operating system's, or that the file is larger than 1 MiB.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(Some(bytes))
}

/// Tells whether a file is still the one that was read: compared when it matters, so that nothing has to watch the file. It
/// is the time of the last change, the length, and on Unix the inode number: a file that replaced it a moment later may
/// have the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStamp(Option<(SystemTime, u64, u64)>);

impl FileStamp {
    /// Of the file as it is now; a missing file has a stamp too.
    pub fn of(path: &Path) -> FileStamp {
        #[cfg(unix)]
        let inode = |it: &fs::Metadata| std::os::unix::fs::MetadataExt::ino(it);
        #[cfg(not(unix))]
        let inode = |_: &fs::Metadata| 0;
        FileStamp(fs::metadata(path).ok().and_then(|it| Some((it.modified().ok()?, it.len(), inode(&it)))))
    }
}

fn secret_file(path: &Path) -> io::Result<File> {
    secret_options().truncate(true).open(path)
}

fn secret_options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_stamp_changes_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let absent = FileStamp::of(&path);
        fs::write(&path, "a").unwrap();
        let first = FileStamp::of(&path);
        fs::write(&path, "ab").unwrap();
        assert!(absent != first && first != FileStamp::of(&path) && FileStamp::of(&path) == FileStamp::of(&path));
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, vec![0; MAX_BYTES as usize + 1]).unwrap();
        assert!(read(&path).is_err());
    }
}
