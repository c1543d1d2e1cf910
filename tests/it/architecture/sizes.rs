//! Keeps files small enough to be read at one sitting.

use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_LINES: usize = 500;
const MEDIAN_LINES: usize = 200;

const FOLDERS: &[&str] = &["src", "www", "tests", "benches", "examples"];
const EXTENSIONS: &[&str] = &["rs", "js", "mjs", "css", "html"];
/// What builds and package managers leave behind.
const SKIPPED: &[&str] = &["target", "node_modules", "corpus", "artifacts"];

#[test]
fn files_have_at_most_500_lines_and_half_of_them_at_most_200() {
    let mut files: Vec<(usize, PathBuf)> = vec![];
    for folder in FOLDERS {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    assert!(files.len() > 150, "only {} files were found", files.len());
    files.sort();
    let long: Vec<_> = files.iter().filter(|(lines, _)| *lines > LONGEST_LINES).collect();
    assert!(long.is_empty(), "{long:#?}");
    let (median, _) = files[files.len() / 2];
    assert!(median <= MEDIAN_LINES, "the median file has {median} lines");
}

fn collect(folder: &Path, files: &mut Vec<(usize, PathBuf)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if !SKIPPED.iter().any(|skipped| name == *skipped) {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|is| EXTENSIONS.iter().any(|extension| is == *extension)) {
            files.push((fs::read_to_string(&path).unwrap().lines().count(), path));
        }
    }
}
