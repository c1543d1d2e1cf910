//! Applies the origin policy to requests, and writes the refusals that follow from it. Called by `conn-<n>` threads, once
//! per request. The first refusal of each kind is logged with the flag that permits it, because the person who has to
//! set that flag does not see what the browser was told.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::net::authority::Authority;
use crate::net::nearness::Nearness;
use crate::web::handlers::authorize::Credentials;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::message::{Response, field};
use crate::web::http::origin::Origin;
use crate::web::http::origin_policy::{Asked, Initiator, OriginPolicy, Verdict};
use crate::web::transport::tls::Tls;

/// Nothing is loaded, sent or framed.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The longest name that DNS has, in characters (RFC 1035 §2.3.4): nothing longer is written into a page or the log.
const NAME_CHARS: usize = 253;
/// The longest name that the sentence of an error quotes.
const QUOTED_CHARS: usize = 40;

/// Keeps pages of other sites from using the place of their visitors.
#[derive(Debug)]
pub struct OriginCheck {
    policy: OriginPolicy,
    nearness: Nearness,
    has_logged_host: AtomicBool,
    has_logged_origin: AtomicBool,
}

impl OriginCheck {
    /// By this policy, for the networks that this host is in.
    pub fn new(policy: OriginPolicy) -> OriginCheck {
        OriginCheck {
            policy,
            nearness: Nearness::of_this_host(),
            has_logged_host: AtomicBool::new(false),
            has_logged_origin: AtomicBool::new(false),
        }
    }

    /// Whether a host that was not looked up is this server's own.
    pub(crate) fn has_name(&self, host: &str) -> bool {
        Authority::parse(host).is_some() && self.policy.has_name(host)
    }

    /// Who has a request sent.
    pub(crate) fn judge(&self, credentials: &Credentials<'_>, host: &str, tls: Option<&Tls>) -> Verdict {
        let value = |name| field(credentials.headers, name);
        let (origin, site, mode) = (value("origin"), value("sec-fetch-site"), value("sec-fetch-mode"));
        let is_near = self.nearness.is_near(credentials.client, Instant::now());
        let name = Authority::parse(host).map(|authority| authority.host);
        self.policy.judge(&Asked {
            is_near,
            host,
            is_certified: is_near && tls.zip(name).is_some_and(|(tls, name)| tls.is_for(name.name())),
            origin: origin.as_deref(),
            fetch_site: site.as_deref(),
            fetch_mode: mode.as_deref(),
        })
    }

    /// The header fields that say which pages of other origins may read the response. `is_open`: the route is open to all.
    pub(crate) fn response_fields(
        &self,
        verdict: Verdict,
        is_open: bool,
        credentials: &Credentials<'_>,
    ) -> Vec<(&'static str, Cow<'static, str>)> {
        let origin = field(credentials.headers, "origin");
        // A preflight has no token itself, but names the field that will hold it.
        let announced = field(credentials.headers, "access-control-request-headers").unwrap_or_default();
        let announces_token = announced.split(',').any(|name| name.trim().eq_ignore_ascii_case("authorization"));
        let shows_token = announces_token || credentials.have_token();
        self.policy.response_fields(verdict, is_open, origin.as_deref(), shows_token)
    }

    /// Logs that a page of another origin was refused. Of a preflight that is all: what the browser is told of it are the
    /// fields that are missing.
    pub(crate) fn log_foreign(&self, headers: &[(String, String)]) {
        let origin = field(headers, "origin").as_deref().and_then(Origin::parse);
        let origin = origin.map(|origin| origin.to_string()).filter(|origin| origin.len() <= NAME_CHARS);
        let named = origin.unwrap_or_else(|| "ORIGIN".to_owned());
        first_of(&self.has_logged_origin, || {
            log::warn!(
                "origin {named}: a page of it was refused; if you trust that site, start with --allow-origin {named}"
            );
        });
    }

    /// The response to a page of another origin.
    pub(crate) fn foreign(&self, verdict: Verdict, headers: &[(String, String)]) -> Response {
        self.log_foreign(headers);
        let to_do = if verdict.is_near { ", or give it a token" } else { "" };
        let message = format!(
            "This page belongs to another site. To let that site use this server, start it with --allow-origin{to_do}."
        );
        Response::error(ErrorCode::ForeignOrigin, message)
    }

    /// The response to a request for a host that this server does not know as its own: a page for a person, who typed
    /// that name or followed a link, and JSON for everything else.
    pub(crate) fn misdirected(&self, method: &str, host: &str, headers: &[(String, String)]) -> Response {
        // An authority has no character that would need to be escaped in HTML.
        let host = Authority::parse(host).map(|authority| authority.host.name().to_owned());
        let named = host.filter(|name| name.len() <= NAME_CHARS).unwrap_or_else(|| "NAME".to_owned());
        first_of(&self.has_logged_host, || {
            log::warn!(
                "host {named}: not known as a name of this server; if it is one, start with --allow-host {named}"
            );
        });
        let is_fetch = matches!(method, "GET" | "HEAD");
        let is_wanted_as_page = field(headers, "accept").is_some_and(|types| types.contains("text/html"));
        if is_fetch && is_wanted_as_page {
            let page = include_str!("misdirected.html").replace("{host}", &named).into_bytes();
            let response = Response::new(ErrorCode::Misdirected.status_and_code().0);
            return response
                .body("text/html; charset=utf-8", page)
                .header("Content-Security-Policy", PAGE_POLICY)
                .header("Cache-Control", "no-store");
        }
        let quoted = if named.len() <= QUOTED_CHARS { &named } else { "NAME" };
        let message = format!(
            "This is no known name of this server. Open it by its address, or start it with --allow-host {quoted}; \
             behind a reverse proxy, with --trust-proxy and --public-url."
        );
        Response::error(ErrorCode::Misdirected, message)
    }

    /// Pages of other origins cannot load the response even without reading it, as pictures and sound are loaded (Fetch
    /// §3.7): how large it is and how long it takes may tell something too.
    pub(crate) fn keep_from_other_origins(&self, verdict: Verdict, response: Response) -> Response {
        const NAME: &str = "Cross-Origin-Resource-Policy";
        let is_kept = verdict.is_near && !self.policy.allows_all_origins && response.find(NAME).is_none();
        if is_kept { response.header(NAME, "same-origin") } else { response }
    }
}

/// Pages can cause any number of refusals, so that the log has one line of each kind.
fn first_of(has_logged: &AtomicBool, write: impl FnOnce()) {
    if !has_logged.swap(true, Ordering::Relaxed) {
        write();
    }
}

/// Whether the request is a page's and is refused for that alone, wherever its client is.
pub(crate) fn is_refused(verdict: Verdict, checks_origin: bool) -> bool {
    checks_origin && verdict.initiator == Initiator::Foreign
}
