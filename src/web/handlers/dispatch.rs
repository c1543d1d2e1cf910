//! What is decided about a request before its handler, and which handler it is. `respond` runs on the `conn-<n>`
//! thread, once for each request, and `handle` on an `http-<n>` thread, for requests that are passed on. It reads and
//! writes no socket; a WebSocket's handshake is not among these requests, since it has no response of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::access::tokens::Permission;
use crate::observe::sentence::sentence;
use crate::web::handlers::authorize::{Authorization, Credentials};
use crate::web::handlers::context::Context;
use crate::web::handlers::{access, origin_check, pages, status, whep};
use crate::web::http::base_url::BaseUrl;
use crate::web::http::message::{Request, Response, split_target};
use crate::web::http::origin_policy::{Initiator, Verdict};
use crate::web::http::routes::{self, Resource, Responder, Route};
use crate::web::http::{redirect, upgrade};

/// Answers a request that arrived whole, on the thread of its connection. `pass_on` has one of the `http-<n>` threads
/// answer.
pub(crate) fn respond(
    context: &Context,
    route: &Route,
    request: &Request,
    verdict: Verdict,
    pass_on: impl FnOnce() -> Response,
) -> Response {
    let response = decide(context, route, request, verdict, pass_on);
    context.origins.keep_from_other_origins(verdict, response)
}

fn decide(
    context: &Context,
    route: &Route,
    request: &Request,
    verdict: Verdict,
    pass_on: impl FnOnce() -> Response,
) -> Response {
    if verdict.initiator == Initiator::Misdirected && !is_for_everyone(route) {
        return context.origins.misdirected(&request.method, &request.host, &request.headers);
    }
    let method = request.method.as_str();
    let is_fetch = matches!(method, "GET" | "HEAD");
    let is_page = matches!(route.resource, Resource::Page { .. } | Resource::RoomPage);
    let is_plain = context.tls.is_some() && !request.client.is_secure;
    if is_plain
        && route.redirects_to_https
        && let Some(response) = redirect::to_https(request)
    {
        return response;
    }
    if is_page && !is_fetch && !pages::exists(&context.assets, &route.resource) {
        return pages::unknown_path();
    }
    if !route.has(method) {
        return route.method_not_allowed();
    }
    if method == "OPTIONS" {
        return options(context, route, request, verdict);
    }
    authorized(context, route, request, verdict, |authorization| match &route.resource {
        _ if route.responder == Responder::Workers => pass_on(),
        Resource::Moved { to } => redirect::to(with_query(to, request.query())),
        Resource::RoomForm => room_form(request),
        Resource::Access => authorization.map_or_else(|| not_here(route), |it| access::granted(context, request, it)),
        Resource::Added(nth) => guarded(|| (context.added[*nth].handler)(request)),
        _ => not_here(route),
    })
    .unwrap_or_else(|refusal| refusal)
}

/// What a target leads to. A proxy may pass it on with the path of the public URL in front: where nothing is at the whole path, that
/// is taken off. So the pages are found whether or not the proxy takes it off.
pub(crate) fn find(context: &Context, target: &mut String) -> Route {
    let path = split_target(target).0;
    let route = context.route(path);
    let base = context.public_url.as_ref().map_or("", BaseUrl::path);
    let Some(rest) = path.strip_prefix(base).filter(|_| !base.is_empty()) else { return route };
    let is_known = match &route.resource {
        Resource::Page { .. } => pages::exists(&context.assets, &route.resource),
        _ => true,
    };
    if is_known || !(rest.is_empty() || rest.starts_with('/')) {
        return route;
    }
    if rest.is_empty() {
        return routes::moved(format!("{}/", path.rsplit('/').next().unwrap_or_default()));
    }
    let route = context.route(rest);
    target.drain(..base.len());
    route
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

fn room_form(request: &Request) -> Response {
    match upgrade::room_in(request.query(), "name") {
        Ok(name) => redirect::to(format!("room/{}", name.unwrap_or_default())),
        Err(response) => response,
    }
}

/// Has `answer` answer the request if it is permitted. If that counts as a use of its token, the use is confirmed once
/// the request has succeeded.
fn authorized(
    context: &Context,
    route: &Route,
    request: &Request,
    verdict: Verdict,
    answer: impl FnOnce(Option<&Authorization>) -> Response,
) -> Result<Response, Response> {
    let method = request.method.as_str();
    let credentials = credentials(request);
    let needs_token = verdict.needs_token() && !is_for_everyone(route);
    if origin_check::is_refused(verdict, route.checks_origin) || (needs_token && !credentials.have_token()) {
        return Err(context.origins.foreign(verdict, &request.headers));
    }
    let needed = route.permission(method, credentials.query)?.or(needs_token.then_some(Permission::Listen));
    let Some(needed) = needed else { return Ok(answer(None)) };
    let by = match route.resource {
        Resource::Access => access::resume(request)?.map(|token| token.id()),
        _ => None,
    };
    let authorization = context.authorizer.authorize(&needed, &credentials, by)?;
    if !route.uses_token(method) {
        return Ok(answer(Some(&authorization)));
    }
    let mut token_use = context.authorizer.use_token(&authorization, by)?;
    let response = answer(Some(&authorization));
    if response.status < 300 {
        token_use.confirm();
    }
    Ok(response)
}

fn credentials(request: &Request) -> Credentials<'_> {
    Credentials { headers: &request.headers, query: request.query(), client: request.client.address.ip() }
}

/// Whether the origin policy does not apply: load balancers check the health by an address and a `Host` of their own, and
/// `ok` tells a page no more than an open port does.
fn is_for_everyone(route: &Route) -> bool {
    route.resource == Resource::Health
}

/// Which methods there are, for a person (RFC 9110 §9.3.7) or a browser's preflight (Fetch §4.8).
fn options(context: &Context, route: &Route, request: &Request, verdict: Verdict) -> Response {
    let response = Response::new(204)
        .header("Allow", route.methods)
        .header("Access-Control-Allow-Methods", route.methods)
        .header("Access-Control-Allow-Headers", "content-type, if-match, authorization")
        // As long as browsers keep it at the most: Chromium 2 h, Firefox a day.
        .header("Access-Control-Max-Age", "86400");
    match route.resource {
        Resource::Endpoint { .. } => {
            let response = response.header("Accept-Post", whep::SDP);
            // A TURN server's password is for those who may listen. Preflights have no token, and are answered all the same.
            let credentials = credentials(request);
            let is_foreign = verdict.needs_token() && !credentials.have_token();
            if is_foreign {
                context.origins.log_foreign(&request.headers);
            }
            let may_listen =
                !is_foreign && context.authorizer.authorize(&Permission::Listen, &credentials, None).is_ok();
            if may_listen { whep::with_ice_servers(context, response) } else { response }
        }
        Resource::Access | Resource::Offer => response.header("Accept-Post", "application/json"),
        Resource::Session { .. } => response.header("Accept-Patch", whep::FRAGMENT),
        _ => response,
    }
}

/// Answers a request that was passed on: it is permitted, and its resource has its method.
pub(crate) fn handle(context: &Context, request: &Request) -> Response {
    guarded(|| {
        let route = routes::find(request.path());
        match (&route.resource, request.method.as_str()) {
            (Resource::Health, _) => status::health(context, request),
            (Resource::Status, _) => status::status(context, request),
            (Resource::Metrics, _) => status::metrics(context, request),
            (Resource::Offer, _) => whep::offer_as_json(context, request),
            (Resource::Endpoint { station }, "POST") => whep::admit(context, request, station.as_deref()),
            (Resource::Endpoint { station }, _) => whep::endpoint(context, station.as_deref()),
            (Resource::Session { station, id }, "PATCH") => whep::patch(context, request, station, id),
            (Resource::Session { station, id }, "DELETE") => whep::close(context, station, id),
            (Resource::Session { station, id }, _) => whep::session(context, station, id),
            (Resource::RoomPage | Resource::Page { .. }, _) => pages::page(&context.assets, &route.resource, request),
            (Resource::Server, _) => pages::unknown_path(),
            (
                Resource::WebSocket
                | Resource::Access
                | Resource::RoomForm
                | Resource::Moved { .. }
                | Resource::Added(_),
                _,
            ) => not_here(&route),
        }
    })
}

fn not_here(route: &Route) -> Response {
    log::error!("bug: {:?} is answered on another thread", route.resource);
    Response::internal_error()
}

/// A bug in a handler costs one response, not the thread.
fn guarded(handler: impl FnOnce() -> Response) -> Response {
    catch_unwind(AssertUnwindSafe(handler)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        log::error!("bug: a handler panicked: {}", sentence(&message));
        Response::internal_error()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_handler_answers_500() {
        let response = guarded(|| panic!("by intent, in a test"));
        assert_eq!(response.status, 500);
        assert!(String::from_utf8_lossy(response.body.bytes()).contains("\"internal\""));
    }
}
