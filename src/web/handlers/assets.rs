//! The files of the pages: inside the binary, or in a folder while they are being worked on. Read on `http-<n>` threads
//! and, to tell whether there is a file, on `conn-<n>` threads. It lists no folders, follows no link out of the folder,
//! and never compresses while a client waits (`build.rs` did). Which path means which file says `pages`.

use std::borrow::Cow;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// One file inside the binary.
#[derive(Debug)]
pub struct Asset {
    /// Path below `www/`, with `/`.
    pub name: &'static str,
    /// Names the content, in hexadecimal digits.
    pub tag: &'static str,
    /// As it is.
    pub raw: &'static [u8],
    /// Compressed, if that makes it smaller.
    pub gzip: Option<&'static [u8]>,
}

/// Where the files are.
#[derive(Clone, Debug)]
pub enum Assets {
    /// In a table.
    Table(&'static [Asset]),
    /// In a folder, read again for each request.
    Folder(PathBuf),
}

/// A file that was found.
pub(crate) struct Found {
    /// By its name's extension.
    pub content_type: &'static str,
    /// Names the content, in hexadecimal digits.
    pub tag: String,
    /// As it is.
    pub raw: Cow<'static, [u8]>,
    /// Compressed, if that makes it smaller.
    pub gzip: Option<&'static [u8]>,
}

static EMBEDDED: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets_table.rs"));

impl Assets {
    /// The files that are part of the binary.
    pub fn embedded() -> Self {
        Assets::Table(EMBEDDED)
    }

    /// Whether there is a file of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Assets::Table(table) => table.iter().any(|asset| asset.name == name),
            Assets::Folder(folder) => inside(folder, name).is_some(),
        }
    }

    /// The file of that name, a path below the folder with `/`.
    pub(crate) fn find(&self, name: &str) -> Option<Found> {
        match self {
            Assets::Table(table) => table.iter().find(|asset| asset.name == name).map(|asset| Found {
                content_type: content_type(asset.name),
                tag: asset.tag.to_owned(),
                raw: Cow::Borrowed(asset.raw),
                gzip: asset.gzip,
            }),
            Assets::Folder(folder) => {
                let path = inside(folder, name)?;
                let raw =
                    fs::read(&path).map_err(|error| log::warn!("cannot read {}: {error}", path.display())).ok()?;
                let mut hasher = DefaultHasher::new();
                raw.hash(&mut hasher);
                let tag = format!("{:016x}", hasher.finish());
                Some(Found { content_type: content_type(name), tag, raw: Cow::Owned(raw), gzip: None })
            }
        }
    }
}

/// The file of that name, if it is really in the folder once all links are followed.
fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let path = folder.join(name).canonicalize().ok()?;
    (path.starts_with(&folder) && path.is_file()).then_some(path)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => "text/plain; charset=utf-8",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
