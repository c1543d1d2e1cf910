//! Puts the pages into the binary: reads `www/`, lets each page load with few requests, compresses files that become smaller
//! by it, and writes the table that `src/web/handlers/assets.rs` includes. Also sets the commit and the target that
//! `--version` shows. Runs at build time only. A missing `www/` gives an empty table, a missing repository an empty commit.

use std::collections::{BTreeMap, BTreeSet};
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

    let mut assets = BTreeMap::new();
    for (name, path) in &files {
        println!("cargo:rerun-if-changed={}", path.display());
        assets.insert(name.clone(), fs::read(path)?);
    }
    join_files(&mut assets)?;

    let mut table = String::from("&[\n");
    for (nth, (name, raw)) in assets.iter().enumerate() {
        let (raw_path, gzip_path) = (out.join(format!("{nth}.raw")), out.join(format!("{nth}.gz")));
        fs::write(&raw_path, raw)?;
        let gzip = compress(raw)?;
        // Pictures and fonts are compressed already; less than a tenth is not worth a second copy.
        let gzip_row = if gzip.len() * 10 < raw.len() * 9 {
            fs::write(&gzip_path, gzip)?;
            format!("Some(include_bytes!({gzip_path:?}))")
        } else {
            "None".to_owned()
        };
        table += &format!(
            "    Asset {{ name: {name:?}, tag: \"{:016x}\", raw: include_bytes!({raw_path:?}), gzip: {gzip_row} }},\n",
            hash(raw)
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

/// Lets each page load with three requests: its style sheets become one, and its modules too. So do the modules of each script
/// that the browser runs on a thread of its own; it keeps its name, which ends with `Worker.js` or `Worklet.js`. Pages from a
/// folder (`--www`) are served as they are.
fn join_files(assets: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    let (mut joined, mut threads) = (BTreeSet::new(), BTreeMap::new());
    let pages: Vec<String> = assets.keys().filter(|name| name.ends_with(".html")).cloned().collect();
    for page in pages {
        let (style, script) = (page.replace(".html", ".page.css"), page.replace(".html", ".page.js"));
        let (mut html, mut styles, mut modules) = (String::new(), String::new(), Modules::default());
        // Where `www` is, seen from the page's address.
        let root = between(text(assets, &page)?, " data-root=\"", "\"")
            .unwrap_or_default()
            .trim_start_matches("./")
            .to_owned();
        for line in text(assets, &page)?.lines() {
            if let Some(name) = between(line, &format!("<link rel=\"stylesheet\" href=\"{root}"), "\"") {
                if styles.is_empty() {
                    html += &format!("  <link rel=\"stylesheet\" href=\"{root}{style}\">\n");
                }
                styles += text(assets, name)?;
                joined.insert(name.to_owned());
            } else if let Some(name) = between(line, &format!("<script type=\"module\" src=\"{root}"), "\"") {
                modules.add(assets, name)?;
                html += &format!("  <script type=\"module\" src=\"{root}{script}\"></script>\n");
            } else {
                html += &format!("{line}\n");
            }
        }
        joined.extend(modules.order);
        assets.insert(page, html.into_bytes());
        assets.insert(style, styles.into_bytes());
        assets.insert(script, modules.code.into_bytes());
    }
    let is_thread = |name: &&String| name.ends_with("Worker.js") || name.ends_with("Worklet.js");
    for script in assets.keys().filter(is_thread).cloned().collect::<Vec<_>>() {
        let mut modules = Modules::default();
        modules.add(assets, &script)?;
        joined.extend(modules.order.into_iter().filter(|name| *name != script));
        threads.insert(script, modules.code.into_bytes());
    }
    assets.retain(|name, _| !joined.contains(name));
    assets.extend(threads);
    Ok(())
}

/// Modules, each as a function that is called once and returns the exports: `const module3 = (() => { … })();`. The modules that it
/// imports stand before it. Imports and exports take the forms below and no others, and no module imports itself in a circle.
#[derive(Default)]
struct Modules {
    order: Vec<String>,
    pending: Vec<String>,
    code: String,
}

impl Modules {
    /// Returns the module's number; adds it if it is not there yet.
    fn add(&mut self, assets: &BTreeMap<String, Vec<u8>>, name: &str) -> io::Result<usize> {
        if let Some(nth) = self.order.iter().position(|one| one == name) {
            return Ok(nth);
        }
        if self.pending.iter().any(|one| one == name) {
            return Err(io::Error::other(format!("www/{name} imports itself in a circle")));
        }
        self.pending.push(name.to_owned());
        let (mut body, mut exports) = (String::new(), vec![]);
        let mut lines = text(assets, name)?.lines();
        while let Some(line) = lines.next() {
            let mut line = line.to_owned();
            while line.starts_with("import ") && !line.ends_with(';') {
                line += lines.next().unwrap_or(";");
            }
            let wrong = || io::Error::other(format!("www/{name}: this form is unknown to build.rs: {line}"));
            if line.starts_with("import ") {
                let names = between(&line, "import {", "} from \"").ok_or_else(wrong)?;
                let path = between(&line, "} from \"", "\";").ok_or_else(wrong)?;
                let nth = self.add(assets, &resolve(name, path))?;
                body += &format!("const {{{names}}} = module{nth};\n");
            } else if let Some(declaration) = line.strip_prefix("export ") {
                let kinds = ["async function ", "function ", "class ", "const "];
                let rest = kinds.iter().find_map(|kind| declaration.strip_prefix(kind)).ok_or_else(wrong)?;
                exports.push(
                    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().ok_or_else(wrong)?.to_owned(),
                );
                body += &format!("{declaration}\n");
            } else {
                body += &format!("{line}\n");
            }
        }
        let nth = self.order.len();
        self.order.push(name.to_owned());
        self.code +=
            &format!("// {name}\nconst module{nth} = (() => {{\n{body}return {{ {} }};\n}})();\n", exports.join(", "));
        Ok(nth)
    }
}

/// The name of the file that a relative path in another file means.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn text<'a>(assets: &'a BTreeMap<String, Vec<u8>>, name: &str) -> io::Result<&'a str> {
    let bytes = assets.get(name).ok_or_else(|| io::Error::other(format!("www/{name} is missing")))?;
    str::from_utf8(bytes).map_err(|error| io::Error::other(format!("www/{name}: {error}")))
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    line.split_once(before)?.1.split_once(after).map(|(found, _)| found)
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
