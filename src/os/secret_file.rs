//! One file that is private to its owner: reads it without following links and without ever blocking, creates it for its
//! owner, and tells whether it has changed. Called at start and by threads that answer clients. It knows no folder and no
//! content.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

/// No file of this program is longer; a larger one was put there by mistake and is not read.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Whether a file may be reached through a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// For files that a person names: certificates are often links to the latest one.
    Follow,
    /// For files that only this program writes: a link would lead out of their folder.
    Refuse,
}

/// The user and group that a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's id.
    pub user: u32,
    /// The group's id.
    pub group: u32,
}

impl Owner {
    /// The user `root`.
    pub const ROOT_USER: u32 = 0;

    /// Of a file or folder. Without Unix's owners all files have the same one.
    pub fn of(metadata: &Metadata) -> Owner {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Owner { user: metadata.uid(), group: metadata.gid() }
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            Owner { user: Owner::ROOT_USER, group: 0 }
        }
    }
}

/// The user that this process acts as.
pub fn effective_user() -> u32 {
    // SAFETY: it has no arguments and cannot fail.
    #[cfg(unix)]
    return unsafe { libc::geteuid() };
    #[cfg(not(unix))]
    Owner::ROOT_USER
}

/// A regular file's bytes and its metadata; None if there is no such file. What is no regular file is not waited for: a named
/// pipe would block its reader.
///
/// # Errors
/// The operating system's, or that it is no regular file or larger than 1 MiB.
pub fn read(path: &Path, links: Links) -> io::Result<Option<(Vec<u8>, Metadata)>> {
    let mut options = OpenOptions::new();
    set_flags(options.read(true), links);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(link_or(error, links)),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let too_large = || io::Error::other("it is larger than 1 MiB");
    if metadata.len() > MAX_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    // It may have grown meanwhile.
    if bytes.len() as u64 > MAX_BYTES { Err(too_large()) } else { Ok(Some((bytes, metadata))) }
}

/// A new empty file for its owner only. It never opens one that is there already.
///
/// # Errors
/// The operating system's.
pub fn create(path: &Path) -> io::Result<File> {
    open_for_owner(path, OpenOptions::new().write(true).create_new(true))
}

/// A file to lock, which is created if there is none; true if it was.
///
/// # Errors
/// The operating system's, or that it is no regular file.
pub fn open_lock(path: &Path) -> io::Result<(File, bool)> {
    match create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => return created.map(|file| (file, true)),
    }
    let file = open_for_owner(path, OpenOptions::new().write(true))?;
    if file.metadata()?.is_file() { Ok((file, false)) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Whether a file is root's and has no other name, so that root can give it away here and gives nothing else away.
///
/// # Errors
/// The operating system's.
pub fn is_only_name_of_roots(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    #[cfg(unix)]
    let has_one_name = std::os::unix::fs::MetadataExt::nlink(&metadata) == 1;
    #[cfg(not(unix))]
    let has_one_name = false;
    Ok(has_one_name && Owner::of(&metadata).user == Owner::ROOT_USER)
}

fn open_for_owner(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    set_flags(options, Links::Refuse);
    options.open(path).map_err(|error| link_or(error, Links::Refuse))
}

fn set_flags(options: &mut OpenOptions, links: Links) {
    #[cfg(unix)]
    {
        let no_follow = if links == Links::Refuse { libc::O_NOFOLLOW } else { 0 };
        // A pipe or a device neither blocks here nor becomes this process's terminal.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY | no_follow;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags);
    }
    #[cfg(not(unix))]
    let _ = (options, links);
}

/// The system's own message speaks of "too many levels".
fn link_or(error: io::Error, links: Links) -> io::Error {
    #[cfg(unix)]
    if links == Links::Refuse && error.raw_os_error() == Some(libc::ELOOP) {
        return io::Error::other("it is a symbolic link");
    }
    let _ = links;
    error
}

/// Tells whether a file is still the one that was read: compared when it matters, so that nothing has to watch the file. On
/// Unix it is the inode and the time of its last change, of content or of permissions, which no program can set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileStamp {
    /// Of no file that was looked at.
    #[default]
    Unknown,
    /// There is no such file.
    Missing,
    /// Modification time, length, and on Unix inode and time of change in seconds and nanoseconds.
    Of(Option<SystemTime>, u64, [i64; 3]),
}

impl FileStamp {
    /// Of the file as it is now.
    pub fn of(path: &Path) -> FileStamp {
        match std::fs::metadata(path) {
            Ok(metadata) => FileStamp::of_metadata(&metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => FileStamp::Missing,
            Err(_) => FileStamp::Unknown,
        }
    }

    fn of_metadata(metadata: &Metadata) -> FileStamp {
        #[cfg(unix)]
        let change = {
            use std::os::unix::fs::MetadataExt;
            [metadata.ino().cast_signed(), metadata.ctime(), metadata.ctime_nsec()]
        };
        #[cfg(not(unix))]
        let change = [0; 3];
        FileStamp::Of(metadata.modified().ok(), metadata.len(), change)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_stamp_changes_with_the_file_and_with_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(FileStamp::of(&path), FileStamp::Missing);
        fs::write(&path, "a").unwrap();
        let first = FileStamp::of(&path);
        fs::write(&path, "ab").unwrap();
        let second = FileStamp::of(&path);
        assert!(first != FileStamp::Missing && first != second && second == FileStamp::of(&path));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::thread::sleep(std::time::Duration::from_millis(20));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
            assert_ne!(FileStamp::of(&path), second);
        }
    }

    #[test]
    fn only_a_regular_file_of_a_sensible_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let refusal = |name: &str| read(&path(name), Links::Refuse).unwrap_err().to_string();
        assert!(read(&path("none"), Links::Refuse).unwrap().is_none());
        // A sparse file takes no space, and reading it would take all memory.
        File::create(path("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(refusal("huge"), "it is larger than 1 MiB");
        fs::create_dir(path("folder")).unwrap();
        assert!(!refusal("folder").is_empty());
        #[cfg(unix)]
        {
            fs::write(path("file"), "x").unwrap();
            std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
            assert_eq!(refusal("link"), "it is a symbolic link");
            assert_eq!(read(&path("link"), Links::Follow).unwrap().unwrap().0, b"x");
            assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
            assert_eq!(refusal("pipe"), "it is not a regular file");
            assert!(open_lock(&path("pipe")).is_err(), "nobody reads from it");
            assert!(create(&path("link")).is_err() && open_lock(&path("link")).is_err());
        }
        #[cfg(target_os = "linux")]
        assert!(read(Path::new("/dev/zero"), Links::Follow).is_err());
    }
}
