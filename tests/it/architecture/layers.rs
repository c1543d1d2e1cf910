//! Keeps the order that the picture in `src/lib.rs` shows, and keeps pure files pure.
//!
//! The picture is the only list: its lines from top to bottom, and the files of a line from left to right. A file imports
//! only from files to its right and from lines below.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// What no pure file may contain outside its tests: clocks, threads, channels, sockets, files, the environment.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::thread",
    "crossbeam",
    "Socket::",
    "TcpStream",
    "std::fs",
    "std::env",
    "Mutex",
    "getrandom",
];

struct File {
    /// Position in the picture, from the top: line, then place in the line.
    place: (usize, usize),
    is_pure: bool,
}

/// The files of the picture by module path: `web::http::head`.
fn picture() -> HashMap<String, File> {
    let lib = fs::read_to_string(source_folder().join("lib.rs")).unwrap();
    let block = lib.split("//! ```text\n").nth(1).unwrap().split("//! ```").next().unwrap();
    let mut files = HashMap::new();
    for (line, text) in block.lines().map(|line| line.trim_start_matches("//!").trim_start_matches(' ')).enumerate() {
        // `folder  first · second`; a folder of its own name has only the name. What is indented further is prose.
        if block.lines().nth(line).unwrap().starts_with("//!   ") || text.is_empty() {
            continue;
        }
        let (folder, names) = text.split_once("  ").unwrap_or((text, ""));
        let module = folder.replace('/', "::");
        let names: Vec<&str> = names.split('·').map(str::trim).filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            files.insert(module.clone(), File { place: (line, 0), is_pure: false });
        }
        for (n, name) in names.iter().enumerate() {
            let bare = name.trim_end_matches('*').replace('/', "::");
            // `config` in the folder `config` is `config.rs` beside it, if there is such a file.
            let is_own = bare == module && source_folder().join(format!("{folder}.rs")).is_file();
            let path = if is_own { bare } else { format!("{module}::{bare}") };
            let doubled = files.insert(path.clone(), File { place: (line, n), is_pure: name.ends_with('*') });
            assert!(doubled.is_none(), "{path} is twice in the picture");
        }
    }
    files
}

#[test]
fn the_picture_shows_every_file_once_and_nothing_else() {
    let picture = picture();
    let sources = sources();
    for (module, _) in &sources {
        assert!(picture.contains_key(module), "{module} is missing in the picture of src/lib.rs");
    }
    for module in picture.keys().filter(|module| *module != "main") {
        assert!(
            sources.iter().any(|(path, _)| path == module),
            "{module} is in the picture, but there is no such file"
        );
    }
}

#[test]
fn the_readme_shows_the_same_layers() {
    let mut layers: Vec<_> = picture().into_iter().map(|(path, file)| (file.place, path)).collect();
    layers.sort();
    let mut expected: Vec<&str> = layers.iter().map(|(_, path)| path.split("::").next().unwrap()).collect();
    let mut seen = std::collections::HashSet::new();
    expected.retain(|folder| seen.insert(*folder));
    let readme = fs::read_to_string(source_folder().join("../README.md")).unwrap();
    let table = readme.split("| folder, from the top layer down |").nth(1).expect("a table of folders");
    let rows = table.split("\n\n").next().unwrap();
    let shown: Vec<&str> = rows.split("`src/").skip(1).map(|rest| rest.split(['`', '.']).next().unwrap()).collect();
    assert_eq!(shown, expected);
}

#[test]
fn every_file_imports_only_from_what_the_picture_shows_below_it() {
    let picture = picture();
    let mut wrong = vec![];
    for (module, text) in sources() {
        let Some(file) = picture.get(&module) else { continue };
        for import in imports(&module, &text) {
            match owner(&picture, &import) {
                Some((other, _)) if other == module => {}
                Some((_, below)) if below.place > file.place => {}
                // `super` in a module in braces is the file itself.
                None if text.contains("\nmod ") && import.starts_with(parent(&module)) => {}
                _ => wrong.push(format!("{module} imports {import}")),
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_files_touch_no_clock_thread_channel_socket_or_file() {
    let picture = picture();
    assert!(picture.values().filter(|file| file.is_pure).count() > 15, "the marks of pure files are not found");
    for (module, text) in sources() {
        if picture.get(&module).is_some_and(|file| file.is_pure) {
            let code = code(&text);
            for word in IMPURE {
                assert!(!code.contains(word), "{module} is marked as pure and has {word}");
            }
        }
    }
}

#[test]
fn a_folders_own_file_only_lists_its_parts() {
    for path in rust_files() {
        if path.ends_with("mod.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = code(&text);
            let odd = code.lines().find(|line| {
                let line = line.trim();
                !(line.is_empty() || line.starts_with('#') || line.ends_with(';') && line.contains("mod "))
            });
            assert_eq!(odd, None, "{} does more than list", path.display());
        }
    }
}

/// The module whose file holds what `path` names, and its place.
fn owner<'a>(picture: &'a HashMap<String, File>, path: &str) -> Option<(&'a str, &'a File)> {
    let mut path = path;
    loop {
        if let Some((module, file)) = picture.get_key_value(path) {
            return Some((module, file));
        }
        path = path.rsplit_once("::")?.0;
    }
}

/// What a file names of this crate, outside its tests: in `use` trees and in the midst of code, from the crate's root.
fn imports(module: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = vec![];
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' {
                continue;
            }
            let mut rest = &code[at..];
            let mut base: Vec<&str> = vec![];
            if let Some(tail) = rest.strip_prefix("crate::") {
                rest = tail;
            } else {
                base = module.split("::").collect();
                while let Some(tail) = rest.strip_prefix("super::") {
                    base.pop();
                    rest = tail;
                }
            }
            expand(&base.join("::"), rest, &mut found);
        }
    }
    found.retain(|path| !path.is_empty() && *path != parent(module));
    found
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

/// `a::{b, c::{self, d}}` as `a::b`, `a::c`, `a::c::d`, each behind `base`.
fn expand(base: &str, tree: &str, found: &mut Vec<String>) {
    let join = |name: &str| if base.is_empty() { name.to_owned() } else { format!("{base}::{name}") };
    if let Some(inner) = tree.strip_prefix('{') {
        for part in split_braces(inner) {
            expand(base, part.trim(), found);
        }
        return;
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    let (name, rest) = tree.split_at(end);
    let path = if name == "self" || name.is_empty() { base.to_owned() } else { join(name) };
    match rest.strip_prefix("::") {
        Some(rest) => expand(&path, rest, found),
        None => found.push(path),
    }
}

/// The parts of a list in braces, up to the brace that closes it.
fn split_braces(inner: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, vec![]);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&inner[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Without comments and without the tests, which may look where they like.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap().split("#[cfg(all(test").next().unwrap();
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Every file of the library as (module path, text), folders' own `mod.rs` left out: they only list.
fn sources() -> Vec<(String, String)> {
    let root = source_folder();
    let files = rust_files().into_iter().filter(|path| {
        !["mod.rs", "lib.rs", "main.rs"].contains(&path.file_name().unwrap().to_str().unwrap()) //
    });
    let sources: Vec<_> = files
        .map(|path| {
            let module = path.strip_prefix(&root).unwrap().with_extension("");
            let module = module.to_str().unwrap().replace(std::path::MAIN_SEPARATOR, "::");
            (module, fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

fn source_folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files() -> Vec<std::path::PathBuf> {
    let mut files = vec![];
    let mut folders = vec![source_folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
                _ => {}
            }
        }
    }
    files
}

#[test]
fn import_trees_are_read_whole() {
    let text = "use crate::a::{self, b::{C, d::E}, f};\nfn x() { super::super::g::h(); crate::i::J::k() }\n\
                // crate::comment::only\n#[cfg(test)]\nmod tests { use crate::tests_only::Z; }";
    let mut found = imports("m::n::o", text);
    found.sort();
    assert_eq!(found, ["a", "a::b::C", "a::b::d::E", "a::f", "i::J::k", "m::g::h"]);
}
