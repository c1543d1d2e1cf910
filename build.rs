//! Puts the pages into the binary: reads `www/`, compresses files that become smaller by it, and writes the table that
//! `src/web/handlers/assets.rs` includes. Also sets the commit and the target that `--version` shows. Runs at build time only. A
//! missing `www/` gives an empty table, a missing repository an empty commit.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

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
    fs::write(out.join("assets_table.rs"), table)?;
    origin(&here)
}

/// What `--version` shows: the commit and the target. A development build leaves the commit out; otherwise each commit would
/// rebuild everything.
fn origin(here: &Path) -> io::Result<()> {
    println!("cargo:rerun-if-env-changed=ROOMTONE_COMMIT");
    let given = std::env::var("ROOMTONE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = match given {
        None if variable("PROFILE")? == "release" => commit(here),
        given => given,
    };
    println!("cargo:rustc-env=ROOMTONE_COMMIT={}", commit.unwrap_or_default());
    println!("cargo:rustc-env=ROOMTONE_TARGET={}", variable("TARGET")?.to_string_lossy());
    Ok(())
}

/// None if this folder is not a repository's own, as in an unpacked archive.
fn commit(here: &Path) -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(here).args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    if Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()? != here.canonicalize().ok()? {
        return None;
    }
    // It grows with every commit and every change of branch.
    let log = here.join(git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    if log.exists() {
        println!("cargo:rerun-if-changed={}", log.display());
    }
    git(&["rev-parse", "--short=12", "HEAD"])
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
