//! Files of the state folder with any bytes in them: nothing panics, and no token is accepted that was revoked or used up.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::SystemTime;

use roomtone::access::links;
use roomtone::access::token_store::TokenStore;
use roomtone::access::tokens::{Permission, TokenId};
use roomtone::os::state_dir::StateDir;
use roomtone::web::transport::certificate::Certificate;
use roomtone::web::transport::own_certificate::{self, CERT_FILE, KEY_FILE};
use roomtone::web::transport::tls::Tls;

const NAMES: [&str; 8] = ["key", "revoked", "uses", "address", "admin-link", KEY_FILE, CERT_FILE, ".complete"];
/// Between two files of an input. Each begins with a byte that selects its name.
const SEPARATOR: &[u8] = b"\n%%\n";
const NOW_S: u64 = 1_800_000_000;

/// A whole folder, and what is known of its tokens.
struct Intact {
    files: Vec<Vec<u8>>,
    revoked: (String, TokenId),
    spent: (String, TokenId),
    valid: (String, TokenId),
}

/// A folder of this process, which is removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(std::env::temp_dir().join(format!("roomtone-fuzz-{}", std::process::id())));
        let _ = fs::remove_dir_all(&folder.0);
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn intact() -> &'static Intact {
    static INTACT: OnceLock<Intact> = OnceLock::new();
    INTACT.get_or_init(|| {
        let folder = Folder::new();
        let dir = StateDir::open(&folder.0).expect("a temporary folder");
        let store = TokenStore::open(Some(dir.clone())).expect("a new store");
        let issue = |uses| store.issue(Permission::Listen, None, uses).expect("a token");
        let (revoked, spent, valid) = (issue(None), issue(Some(1)), issue(None));
        store.revoke(revoked.1.id).expect("it can be written");
        let reservation = store.reserve(&spent.1, None, NOW_S).ok().flatten().expect("a use");
        store.confirm(&reservation);
        links::store_base_url(&dir, "https://192.0.2.1:8088").expect("it can be written");
        links::admin_link(Some(&dir), &store, "https://192.0.2.1:8088", NOW_S).expect("it can be written");
        own_certificate::make(&["localhost".into()], Some(&dir), SystemTime::now()).expect("a certificate");
        let files = NAMES.iter().map(|name| fs::read(dir.file(name)).expect("it was written")).collect();
        let named = |(token, claims): (String, roomtone::access::tokens::Claims)| (token, claims.id);
        Intact { files, revoked: named(revoked), spent: named(spent), valid: named(valid) }
    })
}

/// The files of an input, after what stands for parts of the intact ones is replaced: a name in capitals stands for a file's
/// bytes or a token's id.
fn replaced(bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let intact = intact();
    let id = |id: TokenId| id.to_string().into_bytes();
    let mut stands_for: Vec<(&[u8], Vec<u8>)> = vec![
        (b"REVOKED_ID", id(intact.revoked.1)),
        (b"SPENT_ID", id(intact.spent.1)),
        (b"VALID_ID", id(intact.valid.1)),
    ];
    let whole: [&[u8]; 8] = [b"KEY", b"REVOKED", b"USES", b"ADDRESS", b"LINK", b"PAIR", b"CERT", b"COMPLETE"];
    stands_for.extend(whole.into_iter().zip(intact.files.iter().cloned()));
    split(bytes)
        .filter_map(|file| file.split_first())
        .map(|(name, content)| {
            let content = stands_for.iter().fold(content.to_vec(), |text, (from, to)| substitute(&text, from, to));
            (usize::from(*name) % NAMES.len(), content)
        })
        .collect()
}

fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let at = bytes.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
        let (file, rest) = at.map_or((bytes, &b""[..]), |at| (&bytes[..at], &bytes[at + SEPARATOR.len()..]));
        bytes = rest;
        (!file.is_empty()).then_some(file)
    })
}

fn substitute(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match text.windows(from.len()).position(|window| window == from) {
        None => text.to_vec(),
        Some(at) => [&text[..at], to, &text[at + from.len()..]].concat(),
    }
}

/// The words of each line that is not empty.
fn lines(bytes: &[u8]) -> Vec<Vec<&str>> {
    let text = std::str::from_utf8(bytes).unwrap_or("not text");
    text.lines().map(|line| line.split_whitespace().collect()).filter(|words: &Vec<_>| !words.is_empty()).collect()
}

pub fn state_files(bytes: &[u8]) {
    let intact = intact();
    let folder = Folder::new();
    let dir = StateDir::open(&folder.0).expect("a temporary folder");
    for (name, content) in NAMES.iter().zip(&intact.files) {
        fs::write(dir.file(name), content).expect("it can be written");
    }
    let running = TokenStore::open(Some(dir.clone())).expect("the folder is whole");
    assert!(running.check(&intact.valid.0, None, NOW_S).is_ok());
    for (name, content) in replaced(bytes) {
        // As a person would do it, or a disk: not as the program does.
        let path = dir.file(NAMES[name]);
        fs::remove_file(&path).expect("it is there");
        fs::write(path, content).expect("it can be written");
    }
    let now = |name: &str| fs::read(dir.file(name)).expect("it is there");
    let (revoked, uses) = (now("revoked"), now("uses"));
    let listed: Option<Vec<TokenId>> =
        lines(&revoked).into_iter().map(|words| TokenId::parse(words[0]).filter(|_| words.len() == 1)).collect();
    let is_listed = |id: TokenId| listed.as_ref().is_none_or(|ids| ids.contains(&id));
    let spent_id = intact.spent.1.to_string();
    let may_be_spent = lines(&uses).iter().any(|words| words[0] == spent_id || words.len() != 3);

    assert!(running.check(&intact.revoked.0, None, NOW_S).is_err(), "once revoked, always revoked");
    let restarted = TokenStore::open(Some(dir.clone()));
    assert!(listed.is_some() || restarted.is_err(), "a start with a list that is not understood");
    for store in [Some(&running), restarted.as_ref().ok()].into_iter().flatten() {
        for (token, id) in [&intact.revoked, &intact.spent, &intact.valid] {
            let accepted = store.check(token, None, NOW_S).is_ok();
            assert!(!accepted || now("key") == intact.files[0], "the key is another one");
            assert!(!accepted || !is_listed(*id), "{id} may be revoked");
        }
        assert!(!may_be_spent || store.check(&intact.spent.0, None, NOW_S).is_err(), "a use may be recorded");
        let base = links::stored_base_url(&dir);
        assert!(base.starts_with("http") && base.bytes().all(|b| b.is_ascii_graphic()), "{base}");
        if let Ok(link) = links::admin_link(Some(&dir), store, &base, NOW_S) {
            let (_, token) = link.split_once("#t=").expect("a link has a token");
            let permission = store.check(token, None, NOW_S).map(|claims| claims.permission);
            assert!(permission.is_ok_and(|it| it == Permission::Admin), "the admin link works or is not made");
        }
    }
    let _ = Certificate::parse(&now(CERT_FILE), &now(KEY_FILE));
    let kept = own_certificate::kept(&dir, SystemTime::now());
    let tls = Tls::self_signed(Some(dir.clone())).expect("a certificate that cannot be used is made anew");
    assert!(kept.is_none_or(|kept| kept.fingerprint() == tls.fingerprint()));

    TokenStore::revoke_all(&dir).expect("it needs nothing of what was there");
    let repaired = TokenStore::open(Some(dir)).expect("it repairs the folder");
    for (token, _) in [&intact.revoked, &intact.spent, &intact.valid] {
        assert!(repaired.check(token, None, NOW_S).is_err() && running.check(token, None, NOW_S).is_err());
    }
}
