//! `GET /api/access?room=NAME`, `?listen` or neither, which is an admin's permission: whether a request with these
//! credentials would be permitted. A page asks because browsers do not tell it why a WebSocket failed. `resume=TOKEN`
//! as for `/ws` lets a returning peer know, whose token others have used up since. Called on `conn-<n>` threads, after
//! the authorization, which is all that it answers with.

use serde_json::json;

use crate::web::handlers::authorize::{Authorization, Authorizer};
use crate::web::http::message::Response;

/// The response to a request that was authorized; a refusal is the authorizer's own.
pub(crate) fn granted(authorizer: &Authorizer, authorization: &Authorization) -> Response {
    Response::json(200, &json!({"private": authorizer.is_private(), "allowed": true, "host": authorization.is_admin()}))
}
