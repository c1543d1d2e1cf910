//! The only list of paths: what is at each, which methods it has, what a request must be permitted, which pages may
//! read the response, and who answers. Pure. It is asked once per request, on the thread of its connection; behind
//! tiny_http it only names the handler of a request that has been decided upon.

use crate::access::tokens::Permission;
use crate::ids::names::RoomName;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::message::Response;
use crate::web::http::query::parameter;
use crate::web::http::upgrade;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/ws`: rooms.
    WebSocket,
    /// `/healthz`
    Health,
    /// `/api/status`
    Status,
    /// `/metrics`: for Prometheus.
    Metrics,
    /// `/api/access`: whether a permission would be granted.
    Access,
    /// `/offer`: listening, as aiortc's examples do it.
    Offer,
    /// `/whep` and `/whep/{station}`: where offers of listeners go.
    Endpoint {
        /// None is the first station.
        station: Option<String>,
    },
    /// `/whep/{station}/{id}`: a listener's session.
    Session {
        /// The station that was offered to.
        station: String,
        /// The session's id, not yet read.
        id: String,
    },
    /// `/room/{name}`: the page of every room.
    RoomPage,
    /// `/room?name={name}`: what the form for a room's name asks without scripts.
    RoomForm,
    /// A page lies beside this path, at this relative reference. Pages name what belongs to them by relative references, so each
    /// lies at one depth.
    Moved {
        /// From this path, without a query.
        to: String,
    },
    /// Every other path: a page or a file of one, if there is a file of that name.
    Page {
        /// The path behind its first slash, percent-decoded; None if it cannot be decoded.
        name: Option<String>,
    },
    /// `*`: the server as a whole, for `OPTIONS` (RFC 9110 §9.3.7).
    Server,
    /// A path that the embedding program added; its place among them.
    Added(usize),
}

/// Which thread answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responder {
    /// The connection's own: for what stays open long, and for what needs no handler of its own.
    Connection,
    /// One behind tiny_http.
    Workers,
}

/// A path, looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What is there.
    pub resource: Resource,
    /// Methods that it has, as `Allow` lists them.
    pub methods: &'static str,
    /// Pages of every origin may read the responses: players live elsewhere, and there is no cookie that could be
    /// abused. For near clients there are conditions, see `origin_policy`.
    pub is_open_to_all_origins: bool,
    /// Only pages of this server and of allowed origins may act here: what a page can do in a visitor's name with a
    /// simple request or a WebSocket, neither of which browsers ask about before (Fetch §3.2.2).
    pub checks_origin: bool,
    /// A request without TLS is redirected, because browsers give camera and microphone to secure pages only (W3C
    /// Secure Contexts §3.1).
    pub redirects_to_https: bool,
    /// Who answers.
    pub responder: Responder,
}

const READ: &str = "GET, HEAD, OPTIONS";
const ROOM_PAGES: &str = "/room/";

/// A listener's session as a reference from the path of the endpoint that made it (RFC 9110 §10.2.2): a proxy may serve this host
/// below a path that nobody here knows of.
pub fn session_reference(endpoint: &str, station: &str, id: impl std::fmt::Display) -> String {
    match endpoint.split('/').skip(1).collect::<Vec<_>>().as_slice() {
        [_] => format!("whep/{station}/{id}"),
        [_, _] => format!("{station}/{id}"),
        _ => id.to_string(),
    }
}

/// Looks up a path, which is a target without its query.
pub fn find(path: &str) -> Route {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["ws"] => Route { checks_origin: true, ..on_connection(Resource::WebSocket, "GET") },
        ["healthz"] => behind(Resource::Health, READ),
        ["api", "status"] => behind(Resource::Status, READ),
        ["metrics"] => behind(Resource::Metrics, READ),
        ["api", "access"] => on_connection(Resource::Access, "GET, HEAD, POST, OPTIONS"),
        ["offer"] => Route { checks_origin: true, ..behind(Resource::Offer, "POST, OPTIONS") },
        ["whep"] | ["whep", ""] => whep(Resource::Endpoint { station: None }, "GET, HEAD, POST, OPTIONS"),
        ["whep", station] | ["whep", station, ""] => {
            whep(Resource::Endpoint { station: Some((*station).to_owned()) }, "GET, HEAD, POST, OPTIONS")
        }
        ["whep", station, id] => {
            let session = Resource::Session { station: (*station).to_owned(), id: (*id).to_owned() };
            whep(session, "GET, HEAD, PATCH, DELETE, OPTIONS")
        }
        ["room" | "room.html"] => on_connection(Resource::RoomForm, READ),
        ["room", name, ""] if RoomName::parse(name).is_some() => moved(format!("../{name}")),
        ["listen", ""] => moved("../listen".into()),
        _ if path == "*" => behind(Resource::Server, "GET, HEAD, POST, PATCH, DELETE, OPTIONS"),
        _ => Route {
            is_open_to_all_origins: path.starts_with("/whep/"),
            redirects_to_https: path.starts_with(ROOM_PAGES),
            ..behind(page(path), READ)
        },
    }
}

/// A path that the embedding program added. It takes what listening takes.
pub fn added(nth: usize) -> Route {
    on_connection(Resource::Added(nth), READ)
}

fn behind(resource: Resource, methods: &'static str) -> Route {
    Route {
        resource,
        methods,
        is_open_to_all_origins: false,
        checks_origin: false,
        redirects_to_https: false,
        responder: Responder::Workers,
    }
}

/// A page that lies at another path, by a relative reference.
pub fn moved(to: String) -> Route {
    on_connection(Resource::Moved { to }, READ)
}

fn on_connection(resource: Resource, methods: &'static str) -> Route {
    Route { responder: Responder::Connection, ..behind(resource, methods) }
}

fn whep(resource: Resource, methods: &'static str) -> Route {
    Route { is_open_to_all_origins: true, ..behind(resource, methods) }
}

fn page(path: &str) -> Resource {
    let room = path.strip_prefix(ROOM_PAGES).and_then(percent_decoded);
    let is_room = room.as_deref().and_then(RoomName::parse).is_some();
    if is_room { Resource::RoomPage } else { Resource::Page { name: path.strip_prefix('/').and_then(percent_decoded) } }
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

impl Route {
    /// Whether the resource has this method.
    pub fn has(&self, method: &str) -> bool {
        self.methods.split(", ").any(|one| one == method)
    }

    /// The response to a method that the resource does not have (RFC 9110 §15.5.6).
    pub fn method_not_allowed(&self) -> Response {
        let message = format!("This method cannot be used here, but {} can.", self.methods);
        Response::error(ErrorCode::MethodNotAllowed, message).header("Allow", self.methods)
    }

    /// What a request of this method, which the resource has, must be permitted; None if it needs no permission. Pages
    /// are open, since all that they show comes from other resources. So is a listener's session: its id is 128 random
    /// bits that only the listener got.
    ///
    /// # Errors
    /// The response, if the query does not say what to permit.
    pub fn permission(&self, method: &str, query: &str) -> Result<Option<Permission>, Response> {
        Ok(match self.resource {
            _ if method == "OPTIONS" => None,
            Resource::WebSocket => Some(Permission::Room(upgrade::room(query)?.unwrap_or_default())),
            Resource::Access => Some(asked_permission(query)?),
            Resource::Status | Resource::Metrics | Resource::Offer | Resource::Endpoint { .. } | Resource::Added(_) => {
                Some(Permission::Listen)
            }
            Resource::Health
            | Resource::Session { .. }
            | Resource::RoomPage
            | Resource::RoomForm
            | Resource::Moved { .. }
            | Resource::Page { .. }
            | Resource::Server => None,
        })
    }

    /// Whether a request that succeeds is a use of its token, of which a token may have a number only.
    pub fn uses_token(&self, method: &str) -> bool {
        match self.resource {
            Resource::WebSocket | Resource::Offer => true,
            Resource::Endpoint { .. } => method == "POST",
            _ => false,
        }
    }
}

/// What `/api/access` asks about: `?room=NAME`, `?listen`, or neither, which is everything.
fn asked_permission(query: &str) -> Result<Permission, Response> {
    match (upgrade::room(query)?, parameter(query, "listen")) {
        (Some(room), Ok(None)) => Ok(Permission::Room(room)),
        (None, Ok(Some(_))) => Ok(Permission::Listen),
        (None, Ok(None)) => Ok(Permission::Admin),
        _ => Err(Response::error(ErrorCode::BadRequest, "Ask about a room or about listening, not about both.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "BREW"];

    /// Which permission, by its first letter, each of `METHODS` needs; `-` is none, `.` is 405.
    fn needed(path: &str) -> String {
        let (path, query) = crate::web::http::message::split_target(path);
        let route = find(path);
        let letter = |method| match route.permission(method, query).unwrap() {
            _ if !route.has(method) => '.',
            None => '-',
            Some(Permission::Room(_)) => 'r',
            Some(Permission::Listen) => 'l',
            Some(Permission::Admin) => 'a',
        };
        METHODS.into_iter().map(letter).collect()
    }

    #[test]
    fn every_path_and_method_needs_its_permission() {
        for (path, permissions) in [
            ("/ws", "r......."),
            ("/ws?room=kitchen", "r......."),
            ("/healthz", "--...-.."),
            ("/metrics", "ll...-.."),
            ("/api/status", "ll...-.."),
            ("/api/access", "aaa..-.."),
            ("/api/access?listen", "lll..-.."),
            ("/api/access?room=a", "rrr..-.."),
            ("/offer", "..l..-.."),
            ("/whep", "lll..-.."),
            ("/whep/main", "lll..-.."),
            ("/whep/main/0", "--.---.."),
            ("/room/kitchen", "--...-.."),
            ("/", "--...-.."),
            ("/nothing/here", "--...-.."),
            ("/whep/main/0/more", "--...-.."),
            ("/ws/", "--...-.."),
        ] {
            assert_eq!(needed(path), permissions, "{path}");
        }
    }

    #[test]
    fn every_path_has_its_properties() {
        // Open to all origins, checks the origin, redirects to https, is answered on the connection.
        for (path, properties) in [
            ("/ws", ".o.c"),
            ("/healthz", "...."),
            ("/metrics", "...."),
            ("/api/status", "...."),
            ("/api/access", "...c"),
            ("/offer", ".o.."),
            ("/whep", "a..."),
            ("/whep/main", "a..."),
            ("/whep/main/0", "a..."),
            ("/whep/main/0/more", "a..."),
            ("/whepx", "...."),
            ("/room/kitchen", "..h."),
            ("/room/", "..h."),
            ("/room/a/b", "..h."),
            ("/room%2Fkitchen", "...."),
            ("/room", "...c"),
            ("/listen/", "...c"),
            ("/", "...."),
            ("*", "...."),
        ] {
            let route = find(path);
            let flags = [
                (route.is_open_to_all_origins, 'a'),
                (route.checks_origin, 'o'),
                (route.redirects_to_https, 'h'),
                (route.responder == Responder::Connection, 'c'),
            ];
            let flags: String = flags.into_iter().map(|(is_set, letter)| if is_set { letter } else { '.' }).collect();
            assert_eq!(flags, properties, "{path}");
        }
    }

    #[test]
    fn a_path_is_a_session_a_room_or_the_name_of_a_file() {
        let page = |name: Option<&str>| Resource::Page { name: name.map(str::to_owned) };
        assert_eq!(find("/whep/a/b").resource, Resource::Session { station: "a".into(), id: "b".into() });
        for (endpoint, reference) in [("/whep", "whep/a/b"), ("/whep/", "a/b"), ("/whep/a", "a/b"), ("/whep/a/", "b")] {
            assert_eq!(session_reference(endpoint, "a", "b"), reference, "{endpoint}");
        }
        assert_eq!(find("/whep/"), find("/whep"));
        assert_eq!(find("/whep/main/"), find("/whep/main"));
        assert_eq!(find("/room/A-b_c.d").resource, Resource::RoomPage);
        assert_eq!(find("/room/b%2Ed").resource, Resource::RoomPage);
        assert_eq!(find("/room%2Fkitchen").resource, page(Some("room/kitchen")));
        assert_eq!(find("/room/a%2fb").resource, page(Some("room/a/b")));
        assert_eq!(find("/room/a.b/").resource, Resource::Moved { to: "../a.b".into() });
        assert_eq!(find("/room/a%20b/").resource, page(Some("room/a b/")));
        assert_eq!((find("/room").resource, find("/room.html").resource), (Resource::RoomForm, Resource::RoomForm));
        assert_eq!(find("/").resource, page(Some("")));
        assert_eq!(find("/img/a%20b.png").resource, page(Some("img/a b.png")));
        for undecodable in ["/%zz", "/%", "/%ff"] {
            assert_eq!(find(undecodable).resource, page(None), "{undecodable}");
        }
    }

    #[test]
    fn a_query_that_names_no_permission_is_refused() {
        for (path, query) in [("/ws", "room=a%20b"), ("/api/access", "room=a&listen"), ("/api/access", "listen&listen")]
        {
            assert_eq!(find(path).permission("GET", query).unwrap_err().status, 400, "{path}?{query}");
        }
    }

    #[test]
    fn only_joining_and_listening_use_a_token_up() {
        let uses = |path, method| find(path).uses_token(method);
        assert!(uses("/ws", "GET") && uses("/offer", "POST") && uses("/whep/main", "POST"));
        assert!(!uses("/whep", "GET") && !uses("/api/status", "GET") && !uses("/api/access", "GET"));
    }
}
