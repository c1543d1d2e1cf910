//! The pages: which file a path means, and the response that carries it. Called on `http-<n>` threads. Where the files
//! are says `assets`.

use crate::web::handlers::assets::{Assets, Found};
use crate::web::http::error_code::ErrorCode;
use crate::web::http::message::{Request, Response};
use crate::web::http::routes::Resource;

/// What pages may do: load what this server serves, and nothing inline. A `<video>` may play what a page made
/// (`blob:`); `'self'` of `connect-src` includes this server's WebSocket (CSP 3 §6.7.2.8).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";
/// Which features of the browser the pages may ask for, and which nothing embedded in them may use.
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

/// Answers `GET` and `HEAD`; a path without a file is 404.
pub(crate) fn page(assets: &Assets, resource: &Resource, request: &Request) -> Response {
    match file_names(resource).iter().find_map(|name| assets.find(name)) {
        Some(found) => found_file(found, request),
        None => unknown_path(),
    }
}

/// Whether there is a page at this path.
pub(crate) fn exists(assets: &Assets, resource: &Resource) -> bool {
    file_names(resource).iter().any(|name| assets.has(name))
}

/// The response to a path where nothing is.
pub(crate) fn unknown_path() -> Response {
    Response::error(ErrorCode::UnknownPath, "Nothing is at this address.")
}

fn found_file(found: Found, request: &Request) -> Response {
    let gzip = found.gzip.filter(|_| accepts_gzip(request.header("accept-encoding").as_deref()));
    // Two representations of one content must not share a strong tag (RFC 9110 §8.8.3.3).
    let tag = if gzip.is_some() { format!("\"{}-gz\"", found.tag) } else { format!("\"{}\"", found.tag) };
    let is_fresh = request.header("if-none-match").is_some_and(|list| none_match_fails(&list, &tag));
    let response = Response::new(if is_fresh { 304 } else { 200 })
        .header("ETag", tag)
        .header("Vary", "Accept-Encoding")
        // Kept by browsers, but revalidated each time: a new binary brings new pages.
        .header("Cache-Control", "no-cache");
    let response = PAGE_FIELDS.into_iter().fold(response, |response, (name, value)| response.header(name, value));
    match (is_fresh, gzip) {
        (true, _) => response,
        (false, Some(gzip)) => response.header("Content-Encoding", "gzip").body(found.content_type, gzip),
        (false, None) => response.body(found.content_type, found.raw),
    }
}

/// File names that a path may mean: `/` is `index.html`, `/listen` is `listen` or else `listen.html`, and every room's
/// link is the room's page. None at all if the path tries to leave the folder or names what is hidden.
fn file_names(resource: &Resource) -> Vec<String> {
    let name = match resource {
        Resource::RoomPage => return vec!["room.html".to_owned()],
        Resource::Page { name: Some(name) } if name.is_empty() => return vec!["index.html".to_owned()],
        Resource::Page { name: Some(name) } => name,
        _ => return vec![],
    };
    // A segment that begins with a dot is hidden, or `.`, or `..`; a colon is a drive or a stream on Windows.
    let is_visible = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && !segment.contains(['\\', ':'])
            && !segment.contains(char::is_control)
    };
    if name.split('/').all(is_visible) { vec![name.clone(), format!("{name}.html")] } else { vec![] }
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

/// RFC 9110 §13.1.2, weak comparison: whether the client has this representation already.
fn none_match_fails(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::web::handlers::assets::Asset;
    use crate::web::http::client_address::Client;
    use crate::web::http::routes;

    static TABLE: &[Asset] = &[
        Asset { name: "index.html", tag: "aa", raw: b"<p>index", gzip: Some(b"GZIP") },
        Asset { name: "listen.html", tag: "bb", raw: b"<p>listen", gzip: None },
        Asset { name: "img/a b.png", tag: "cc", raw: b"png", gzip: None },
        Asset { name: "room.html", tag: "dd", raw: b"<p>room", gzip: None },
    ];

    fn ask(assets: &Assets, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = Request {
            method: "GET".into(),
            target: path.into(),
            host: String::new(),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            body: Vec::new(),
            client: Client { address: "127.0.0.1:1".parse().unwrap(), is_secure: false },
            prefix: String::new(),
        };
        page(assets, &routes::find(request.path()).resource, &request)
    }

    fn body(assets: &Assets, path: &str) -> Vec<u8> {
        ask(assets, path, &[]).body.bytes().to_vec()
    }

    #[test]
    fn a_clean_url_finds_its_page() {
        let table = Assets::Table(TABLE);
        assert_eq!(body(&table, "/"), b"<p>index");
        assert_eq!(body(&table, "/listen"), b"<p>listen");
        assert_eq!(body(&table, "/listen.html"), b"<p>listen");
        assert_eq!(ask(&table, "/img/a%20b.png", &[]).find("content-type"), Some("image/png"));
        assert_eq!(ask(&table, "/nothing", &[]).status, 404);
        let has = |path| exists(&table, &routes::find(path).resource);
        assert!(has("/listen") && !has("/nothing"));
    }

    #[test]
    fn every_room_link_and_no_other_path_is_the_room_page() {
        let table = Assets::Table(TABLE);
        for name in ["kitchen", "a", "A-b_c.d", &"x".repeat(64)] {
            assert_eq!(body(&table, &format!("/room/{name}")), b"<p>room", "{name}");
        }
        for name in ["", "a/b", "a%2fb", "a b", "\u{e4}", &"x".repeat(65)] {
            assert_eq!(ask(&table, &format!("/room/{name}"), &[]).status, 404, "{name}");
        }
    }

    #[test]
    fn gzip_is_sent_only_to_clients_that_accept_it_and_has_a_tag_of_its_own() {
        let table = Assets::Table(TABLE);
        for accepts in ["gzip", "br, GZIP;q=0.5", "*", "deflate;q=1, *;q=0.1"] {
            let response = ask(&table, "/", &[("Accept-Encoding", accepts)]);
            assert_eq!(
                (response.body.bytes(), response.find("etag")),
                (b"GZIP".as_slice(), Some("\"aa-gz\"")),
                "{accepts}"
            );
            assert_eq!(response.find("content-encoding"), Some("gzip"));
        }
        for refuses in ["", "br", "gzip;q=0", "gzip; q=0.000", "*, gzip;q=0", "*;q=0"] {
            let response = ask(&table, "/", &[("Accept-Encoding", refuses)]);
            assert_eq!(
                (response.body.bytes(), response.find("etag")),
                (b"<p>index".as_slice(), Some("\"aa\"")),
                "{refuses}"
            );
            assert_eq!(response.find("vary"), Some("Accept-Encoding"));
        }
    }

    #[test]
    fn a_representation_that_the_client_has_is_not_sent_again() {
        let table = Assets::Table(TABLE);
        for known in ["\"aa\"", "W/\"aa\"", "\"x\", \"aa\"", "*"] {
            let response = ask(&table, "/", &[("If-None-Match", known)]);
            assert_eq!(
                (response.status, response.body.bytes().len(), response.find("etag")),
                (304, 0, Some("\"aa\"")),
                "{known}"
            );
        }
        assert_eq!(ask(&table, "/", &[("If-None-Match", "\"aa-gz\"")]).status, 200);
    }

    #[test]
    fn a_page_forbids_what_it_does_not_need() {
        for path in ["/", "/room/kitchen", "/img/a%20b.png"] {
            let response = ask(&Assets::Table(TABLE), path, &[]);
            let policy: Vec<&str> = response.find("content-security-policy").unwrap().split("; ").collect();
            for needed in ["default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
                assert!(policy.contains(&needed), "{policy:?}");
            }
            assert!(!policy.iter().any(|part| part.contains("unsafe") || part.contains('*')), "{policy:?}");
            let permissions: Vec<&str> = response.find("permissions-policy").unwrap().split(", ").collect();
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
            assert_eq!(response.find("referrer-policy"), Some("no-referrer"));
            assert_eq!(response.find("cross-origin-opener-policy"), Some("same-origin"));
            assert_eq!(response.find("cross-origin-resource-policy"), Some("same-origin"));
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
        let response = ask(&folder, "/listen", &[]);
        assert_eq!(
            (response.body.bytes(), response.find("content-type")),
            (b"page".as_slice(), Some("text/html; charset=utf-8"))
        );
        let tag = response.find("etag").unwrap().to_owned();
        assert_eq!(ask(&folder, "/listen", &[("If-None-Match", &tag)]).status, 304);
        assert_eq!(body(&folder, "/sub/x.js"), b"script");

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
