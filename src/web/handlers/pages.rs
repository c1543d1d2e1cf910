//! The pages: from inside the binary, or from a folder while somebody works on them. Called on `http-<n>` threads. It
//! lists no folders, follows no link out of the folder, and never compresses while somebody waits (`build.rs` did).

use std::borrow::Cow;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::ids::names::RoomName;
use crate::web::http::message::{Answer, ErrorCode, Request};

/// PeerEvent pages may do: load what this server serves, and nothing inline. A `<video>` may play what a page made (`blob:`);
/// `'self'` of `connect-src` includes this server's WebSocket (CSP 3 §6.7.2.8).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";
/// PeerEvent of the browser's host the pages may ask for, and what nobody may in their name.
const PERMISSIONS_POLICY: &str = "camera=(self), microphone=(self), display-capture=(self), screen-wake-lock=(self), \
    fullscreen=(self), autoplay=(self), speaker-selection=(self), accelerometer=(), geolocation=(), \
    gyroscope=(), hid=(), magnetometer=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()";
/// Of every page and of all that belongs to one.
const PAGE_FIELDS: [(&str, &str); 6] = [
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("Permissions-Policy", PERMISSIONS_POLICY),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
];

/// One file inside the binary.
#[derive(Debug)]
pub struct Asset {
    /// Path below `www/`, with `/`.
    pub name: &'static str,
    /// Names the content, in hexadecimal digits.
    pub tag: &'static str,
    /// As it is.
    pub raw: &'static [u8],
    /// Compressed, if that gains anything.
    pub gzip: Option<&'static [u8]>,
}

/// Where the pages are.
#[derive(Clone, Debug)]
pub enum Assets {
    /// In a table.
    Table(&'static [Asset]),
    /// In a folder, read anew for each request.
    Folder(PathBuf),
}

static EMBEDDED: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets_table.rs"));

impl Assets {
    /// The pages that are part of the binary.
    pub fn embedded() -> Self {
        Assets::Table(EMBEDDED)
    }

    /// Answers `GET` and `HEAD`; a path that leads nowhere is 404.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let found = candidates(&request.path).and_then(|names| names.iter().find_map(|name| self.find(name)));
        match found {
            Some(found) => found.answer(request),
            None => unknown_path(),
        }
    }

    /// Whether the path leads to a page.
    pub(crate) fn has(&self, path: &str) -> bool {
        candidates(path).is_some_and(|names| {
            names.iter().any(|name| match self {
                Assets::Table(table) => table.iter().any(|asset| asset.name == name),
                Assets::Folder(folder) => inside(folder, name).is_some(),
            })
        })
    }

    fn find(&self, name: &str) -> Option<Found> {
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

/// PeerEvent a path that leads nowhere is answered.
pub(crate) fn unknown_path() -> Answer {
    Answer::error(ErrorCode::UnknownPath, "Nothing is at this address.")
}

struct Found {
    content_type: &'static str,
    tag: String,
    raw: Cow<'static, [u8]>,
    gzip: Option<&'static [u8]>,
}

impl Found {
    fn answer(self, request: &Request) -> Answer {
        let gzip = self.gzip.filter(|_| accepts_gzip(request.header("accept-encoding").as_deref()));
        // Two representations of one content must not share a strong tag (RFC 9110 §8.8.3.3).
        let tag = if gzip.is_some() { format!("\"{}-gz\"", self.tag) } else { format!("\"{}\"", self.tag) };
        let fresh = request.header("if-none-match").is_some_and(|list| none_match_fails(&list, &tag));
        let answer = Answer::new(if fresh { 304 } else { 200 })
            .header("ETag", tag)
            .header("Vary", "Accept-Encoding")
            // Kept, but asked about each time: a new binary brings new pages.
            .header("Cache-Control", "no-cache");
        let answer = PAGE_FIELDS.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value));
        match (fresh, gzip) {
            (true, _) => answer,
            (false, Some(gzip)) => answer.header("Content-Encoding", "gzip").body(self.content_type, gzip),
            (false, None) => answer.body(self.content_type, self.raw),
        }
    }
}

/// File names that a path may mean: `/` is `index.html`, `/listen` is `listen` or else `listen.html`, and every room's link
/// is the room's page. None if the path tries to leave the folder or names what is hidden.
fn candidates(path: &str) -> Option<Vec<String>> {
    let decoded = percent_decoded(path.strip_prefix('/')?)?;
    if decoded.is_empty() {
        return Some(vec!["index.html".to_owned()]);
    }
    if decoded.strip_prefix("room/").and_then(RoomName::parse).is_some() {
        return Some(vec!["room.html".to_owned()]);
    }
    // A segment that begins with a dot is hidden, or `.`, or `..`; a colon is a drive or a stream on Windows.
    let decent = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && !segment.contains(['\\', ':'])
            && !segment.contains(char::is_control)
    };
    let clean = decoded.split('/').all(decent);
    clean.then(|| vec![decoded.clone(), format!("{decoded}.html")])
}

/// The file of that name, if it is really in the folder once all links are followed.
fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let path = folder.join(name).canonicalize().ok()?;
    (path.starts_with(&folder) && path.is_file()).then_some(path)
}

fn percent_decoded(path: &str) -> Option<String> {
    let mut bytes = path.bytes();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            digit(bytes.next())? * 16 + digit(bytes.next())?
        } else {
            byte
        });
    }
    String::from_utf8(decoded).ok()
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

/// RFC 9110 §12.5.3: gzip by name, or by `*`, unless its weight is 0.
fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let mut by_star = false;
    for coding in accept_encoding.unwrap_or_default().split(',') {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let wanted = weight.is_none_or(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0));
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return wanted,
            "*" => by_star = wanted,
            _ => {}
        }
    }
    by_star
}

/// RFC 9110 §13.1.2, weak comparison: the client has it already.
fn none_match_fails(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    static TABLE: &[Asset] = &[
        Asset { name: "index.html", tag: "aa", raw: b"<p>index", gzip: Some(b"GZIP") },
        Asset { name: "listen.html", tag: "bb", raw: b"<p>listen", gzip: None },
        Asset { name: "img/a b.png", tag: "cc", raw: b"png", gzip: None },
        Asset { name: "room.html", tag: "dd", raw: b"<p>room", gzip: None },
    ];

    fn ask(assets: &Assets, path: &str, headers: &[(&str, &str)]) -> Answer {
        assets.answer(&Request {
            method: "GET".into(),
            path: path.into(),
            query: String::new(),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            body: Vec::new(),
            client: "127.0.0.1:1".parse().unwrap(),
            secure: false,
        })
    }

    #[test]
    fn a_clean_url_finds_its_page() {
        let table = Assets::Table(TABLE);
        assert_eq!(&*ask(&table, "/", &[]).body, b"<p>index");
        assert_eq!(&*ask(&table, "/listen", &[]).body, b"<p>listen");
        assert_eq!(&*ask(&table, "/listen.html", &[]).body, b"<p>listen");
        assert_eq!(ask(&table, "/img/a%20b.png", &[]).find("content-type"), Some("image/png"));
        assert_eq!(ask(&table, "/nothing", &[]).status, 404);
        assert!(table.has("/listen") && !table.has("/nothing"));
    }

    #[test]
    fn every_rooms_link_is_the_rooms_page_and_no_other_path_is() {
        let table = Assets::Table(TABLE);
        for name in ["kitchen", "a", "A-b_c.d", &"x".repeat(64)] {
            assert_eq!(&*ask(&table, &format!("/room/{name}"), &[]).body, b"<p>room", "{name}");
        }
        for name in ["", "a/b", "a%2fb", "a b", "\u{e4}", &"x".repeat(65)] {
            assert_eq!(ask(&table, &format!("/room/{name}"), &[]).status, 404, "{name}");
        }
    }

    #[test]
    fn gzip_is_sent_only_to_those_who_accept_it_and_has_a_tag_of_its_own() {
        let table = Assets::Table(TABLE);
        for accepts in ["gzip", "br, GZIP;q=0.5", "*", "deflate;q=1, *;q=0.1"] {
            let answer = ask(&table, "/", &[("Accept-Encoding", accepts)]);
            assert_eq!((&*answer.body, answer.find("etag")), (b"GZIP".as_slice(), Some("\"aa-gz\"")), "{accepts}");
            assert_eq!(answer.find("content-encoding"), Some("gzip"));
        }
        for refuses in ["", "br", "gzip;q=0", "gzip; q=0.000", "*, gzip;q=0", "*;q=0"] {
            let answer = ask(&table, "/", &[("Accept-Encoding", refuses)]);
            assert_eq!((&*answer.body, answer.find("etag")), (b"<p>index".as_slice(), Some("\"aa\"")), "{refuses}");
            assert_eq!(answer.find("vary"), Some("Accept-Encoding"));
        }
    }

    #[test]
    fn what_the_client_has_already_is_not_sent_again() {
        let table = Assets::Table(TABLE);
        for known in ["\"aa\"", "W/\"aa\"", "\"x\", \"aa\"", "*"] {
            let answer = ask(&table, "/", &[("If-None-Match", known)]);
            assert_eq!((answer.status, answer.body.len(), answer.find("etag")), (304, 0, Some("\"aa\"")), "{known}");
        }
        assert_eq!(ask(&table, "/", &[("If-None-Match", "\"aa-gz\"")]).status, 200);
    }

    #[test]
    fn a_page_forbids_what_it_does_not_need() {
        for path in ["/", "/room/kitchen", "/img/a%20b.png"] {
            let page = ask(&Assets::Table(TABLE), path, &[]);
            let policy: Vec<&str> = page.find("content-security-policy").unwrap().split("; ").collect();
            for needed in ["default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
                assert!(policy.contains(&needed), "{policy:?}");
            }
            assert!(!policy.iter().any(|part| part.contains("unsafe") || part.contains('*')), "{policy:?}");
            let permissions: Vec<&str> = page.find("permissions-policy").unwrap().split(", ").collect();
            let own: Vec<&str> = permissions.iter().filter_map(|part| part.strip_suffix("=(self)")).collect();
            let needed = [
                "camera",
                "microphone",
                "display-capture",
                "screen-wake-lock",
                "fullscreen",
                "autoplay",
                "speaker-selection",
            ];
            assert_eq!(own, needed);
            assert!(
                permissions.iter().all(|part| part.ends_with("=(self)") || part.ends_with("=()")),
                "{permissions:?}"
            );
            assert_eq!(page.find("referrer-policy"), Some("no-referrer"));
            assert_eq!(page.find("cross-origin-opener-policy"), Some("same-origin"));
            assert_eq!(page.find("cross-origin-resource-policy"), Some("same-origin"));
        }
    }

    #[test]
    fn a_folder_is_served_by_the_same_rules_and_never_left() {
        let outer = tempfile::tempdir().unwrap();
        let www = outer.path().join("www");
        fs::create_dir_all(www.join("sub")).unwrap();
        fs::write(outer.path().join("secret.txt"), "secret").unwrap();
        fs::write(www.join(".hidden"), "secret").unwrap();
        fs::write(www.join("listen.html"), "page").unwrap();
        fs::write(www.join("sub/x.js"), "script").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outer.path().join("secret.txt"), www.join("link.txt")).unwrap();

        let folder = Assets::Folder(www.clone());
        let page = ask(&folder, "/listen", &[]);
        assert_eq!((&*page.body, page.find("content-type")), (b"page".as_slice(), Some("text/html; charset=utf-8")));
        let tag = page.find("etag").unwrap().to_owned();
        assert_eq!(ask(&folder, "/listen", &[("If-None-Match", &tag)]).status, 304);
        assert_eq!(&*ask(&folder, "/sub/x.js", &[]).body, b"script");

        let absolute = format!("/{}", outer.path().join("secret.txt").display());
        let ways_out = [
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/sub/../../secret.txt",
            "/..%2fsecret.txt",
            "/..%5csecret.txt",
            "/sub/%2E%2E/%2E%2E/secret.txt",
            "/link.txt",
            "/.hidden",
            "/listen.html%00",
            "/sub",
            "/sub/",
            "//listen.html",
            "/%zz",
            "/%",
            "/%ff",
            &absolute,
        ];
        for path in ways_out {
            assert_eq!(ask(&folder, path, &[]).status, 404, "{path}");
        }
    }
}
