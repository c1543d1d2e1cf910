//! The log's file: written at its end, and rotated when it reaches a size. `app.log` becomes `app.log.1`, that one
//! `app.log.2`, and so on; the oldest is deleted.
//!
//! Used by the thread `log-file`. What is not a regular file (`/dev/null`, a named pipe) is never rotated.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Old files that are kept.
const KEPT: u32 = 3;

/// An open log file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size_bytes: u64,
    /// Larger than this it is not made, unless one line is larger. None if it is never rotated.
    max_bytes: Option<u64>,
}

impl LogFile {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: &Path, max_bytes: u64) -> io::Result<LogFile> {
        let file = open(path)?;
        let metadata = file.metadata()?;
        // Of a symbolic link the file is rotated, not the link.
        let path = path.canonicalize()?;
        let max_bytes = metadata.is_file().then_some(max_bytes);
        Ok(LogFile { path, file, size_bytes: metadata.len(), max_bytes })
    }

    /// Writes one line, into a new file if it does not fit into this one.
    ///
    /// # Errors
    /// The operating system's; the line is lost.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let size_bytes = self.size_bytes + line.len() as u64;
        if self.size_bytes > 0 && self.max_bytes.is_some_and(|max| size_bytes > max) {
            // Counted anew either way: without rotation the next attempt comes after another `max_bytes`.
            self.size_bytes = 0;
            match self.rotate() {
                Ok(file) => self.file = file,
                Err(error) => log::warn!("log file {}: not rotated: {error}", self.path.display()),
            }
        }
        self.size_bytes += line.len() as u64;
        self.file.write_all(line)
    }

    fn rotate(&self) -> io::Result<File> {
        for n in (1..KEPT).rev() {
            match fs::rename(self.numbered(n), self.numbered(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        open(&self.path)
    }

    fn numbered(&self, n: u32) -> PathBuf {
        let mut path = OsString::from(&self.path);
        path.push(format!(".{n}"));
        path.into()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_becomes_an_old_one_and_three_of_them_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        fs::write(&path, "before\n").unwrap();
        let mut log = LogFile::open(&path, 20).unwrap();
        for n in 0..11 {
            log.write(format!("line {n:02}\n").as_bytes()).unwrap();
        }
        log.write(b"a line that is longer than a file may be\n").unwrap();
        log.write(b"the last\n").unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("app.log"), "the last\n");
        assert_eq!(read("app.log.1"), "a line that is longer than a file may be\n");
        assert_eq!(read("app.log.2"), "line 09\nline 10\n");
        assert_eq!(read("app.log.3"), "line 07\nline 08\n");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
    }

    #[test]
    fn a_file_that_cannot_be_rotated_is_written_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let mut log = LogFile::open(&path, 10).unwrap();
        // A folder that is not empty cannot be replaced.
        fs::create_dir(folder.path().join("app.log.2")).unwrap();
        fs::create_dir_all(folder.path().join("app.log.3/x")).unwrap();
        for n in 0..5 {
            log.write(format!("line {n}\n").as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "line 0\nline 1\nline 2\nline 3\nline 4\n");
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_rotated_and_links_stay_links() {
        let null = LogFile::open(Path::new("/dev/null"), 1).unwrap();
        assert_eq!(null.max_bytes, None);
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut log = LogFile::open(&link, 5).unwrap();
        log.write(b"one\n").unwrap();
        log.write(b"two\n").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&link).unwrap(), "two\n");
        assert_eq!(fs::read_to_string(folder.path().join("real.1")).unwrap(), "one\n");
    }
}
