//! `/api/access?room=NAME`, `?listen` or neither, which is an admin's permission: whether a request with these credentials
//! would be permitted. A page asks because browsers do not tell it why a WebSocket failed. Called on `conn-<n>` threads,
//! after the authorization, which is all that it answers with.
//!
//! `POST` with a room also gives a ticket for the room's WebSocket, so that no token need be in its URL. The body may hold
//! the resume token of a returning peer, which is let know, too, whose access token others have used up since.

use serde::Deserialize;
use serde_json::json;

use crate::ids::peer::ResumeToken;
use crate::net::subnet::AddressLimit;
use crate::web::handlers::authorize::{Authorization, Credentials};
use crate::web::handlers::context::Context;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::message::{Request, Response};
use crate::web::http::upgrade;

/// The response to a request that was authorized; a refusal is the authorizer's own.
pub(crate) fn granted(context: &Context, request: &Request, authorization: &Authorization) -> Response {
    let authorizer = &context.authorizer;
    let mut answer = json!({"private": authorizer.is_private(), "allowed": true, "host": authorization.is_admin()});
    if request.method == "POST" {
        match ticket(context, request) {
            Ok(ticket) => answer["ticket"] = ticket.into(),
            Err(refusal) => return refusal,
        }
    }
    Response::json(200, &answer)
}

fn ticket(context: &Context, request: &Request) -> Result<String, Response> {
    let (query, client) = (request.query(), request.client.address.ip());
    let message = "A ticket is for a room: /api/access?room=NAME.";
    let room = upgrade::room(query)?.ok_or_else(|| Response::error(ErrorCode::BadRequest, message))?;
    let credentials = Credentials { headers: &request.headers, query, client };
    // A ticket is a connection that is about to be opened, so there may be as many.
    let limits = &context.limits;
    let limit = AddressLimit { max_per_address: limits.max_connections_per_address, total: limits.max_connections };
    let ticket = context.authorizer.issue_ticket(&credentials, room, resume(request)?, limit)?;
    Ok(ticket.to_text())
}

/// The resume token of the peer that asks: in the body, or, of a `GET`, in the query.
///
/// # Errors
/// The response, if that is no token or the body is something else.
pub(crate) fn resume(request: &Request) -> Result<Option<ResumeToken>, Response> {
    /// Other members are ignored.
    #[derive(Deserialize)]
    struct Asked {
        resume: Option<String>,
    }

    if request.method != "POST" {
        return upgrade::resume(request.query());
    }
    if request.media_type() != "application/json" {
        let response = Response::error(ErrorCode::WrongType, "A body has the Content-Type application/json here.");
        return Err(response.header("Accept-Post", "application/json"));
    }
    let asked: Asked = serde_json::from_slice(&request.body)
        .map_err(|_| Response::error(ErrorCode::BadJson, "{\"resume\": TOKEN} or {} was expected."))?;
    asked.resume.map(|token| ResumeToken::parse(&token).ok_or_else(upgrade::bad_resume)).transpose()
}
