//! Puts the pages into the binary: walks `www/`, compresses what gains by it, and writes the table that
//! `src/web/assets.rs` includes. Runs at build time only; a missing `www/` makes an empty table.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> io::Result<()> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=www");

    let mut files = BTreeMap::new();
    walk(&here.join("www"), "", &mut files)?;

    let mut table = String::from("&[\n");
    for (nth, (name, path)) in files.iter().enumerate() {
        println!("cargo:rerun-if-changed={}", path.display());
        let raw = fs::read(path)?;
        let gzip = compress(&raw)?;
        let gzip_path = out.join(format!("{nth}.gz"));
        // Pictures and fonts are compressed already; less than a tenth is not worth a second copy.
        let gzip_row = if gzip.len() * 10 < raw.len() * 9 {
            fs::write(&gzip_path, gzip)?;
            format!("Some(include_bytes!({gzip_path:?}))")
        } else {
            "None".to_owned()
        };
        table += &format!(
            "    Asset {{ name: {name:?}, tag: \"{:016x}\", raw: include_bytes!({path:?}), gzip: {gzip_row} }},\n",
            hash(&raw)
        );
    }
    table += "]\n";
    fs::write(out.join("assets_table.rs"), table)
}

fn variable(name: &str) -> io::Result<std::ffi::OsString> {
    std::env::var_os(name).ok_or_else(|| io::Error::other(format!("cargo did not set {name}")))
}

/// Collects files by the name they are asked for: relative to `www`, with `/`. Names that begin with a dot stay out.
fn walk(folder: &Path, prefix: &str, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if prefix.is_empty() && error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| {
            io::Error::other(format!("{name:?} in {} has a name that no URL can say", folder.display())) //
        })?;
        if name.starts_with('.') {
            continue;
        }
        if entry.path().is_dir() {
            println!("cargo:rerun-if-changed={}", entry.path().display());
            walk(&entry.path(), &format!("{prefix}{name}/"), files)?;
        } else {
            files.insert(format!("{prefix}{name}"), entry.path());
        }
    }
    Ok(())
}

fn compress(raw: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(raw)?;
    encoder.finish()
}

/// Names a file's content; the same function as in `assets.rs`, though nothing depends on that.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
