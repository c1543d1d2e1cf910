//! Authorization: compares the credentials of a request with the permission it needs. Called by `conn-<n>` threads,
//! once per request, before a handler; it writes only what the token store must keep, and never logs a token.
//!
//! Rooms and listening are open to all clients, unless the server is private; what changes the server needs an admin's
//! token always. A token that is presented must be valid even where none is needed: otherwise a link with an expired
//! token would work, but without the rights that its owner expects.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::access::tickets::{Presented, Ticket, Tickets, TooMany};
use crate::access::token_clock::{self, TokenClock};
use crate::access::token_store::{Reservation, TokenError, TokenStore};
use crate::access::tokens::{Claims, Permission};
use crate::ids::names::RoomName;
use crate::ids::peer::{PeerId, ResumeToken};
use crate::net::rate_limiter::RateLimiter;
use crate::net::subnet::AddressLimit;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::message::{Response, field};
use crate::web::http::query::{Ambiguous, parameter};

/// Invalid tokens from one address: so many at once, and so many a second on average. Guessing one is hopeless, and it
/// need not cost the server anything.
const FAILURES: f64 = 10.0;
const FAILURES_PER_S: f64 = 0.2;

/// When the log is told that the clock was set back. Clocks that are kept in time are set back by less.
const SET_BACK_REPORTED_S: u64 = 60;

/// What a request presents to be authorized.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Its header fields.
    pub headers: &'a [(String, String)],
    /// Its target's query.
    pub query: &'a str,
    /// Which address sent it.
    pub client: IpAddr,
}

impl Credentials<'_> {
    /// There is a token among them, be it valid or not.
    pub fn have_token(&self) -> bool {
        !matches!(token(self), Ok(None))
    }
}

/// The result of a request that was authorized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    claims: Option<Claims>,
    is_private: bool,
}

impl Authorization {
    /// The token was an admin's, who is a moderator in every room.
    pub fn is_admin(&self) -> bool {
        matches!(&self.claims, Some(Claims { permission: Permission::Admin, .. }))
    }

    /// The same token permits to listen too.
    pub fn may_listen(&self) -> bool {
        !self.is_private || self.claims.as_ref().is_some_and(|claims| includes(&claims.permission, &Permission::Listen))
    }
}

/// Decides which requests are permitted.
#[derive(Debug)]
pub struct Authorizer {
    is_private: bool,
    store: TokenStore,
    /// Shared by all connections' threads; held for one reading.
    clock: Mutex<TokenClock>,
    /// The log has been told that the clock was set back.
    is_set_back_known: AtomicBool,
    /// Shared by all connections' threads, as the next; held for one look-up.
    failures: Mutex<RateLimiter>,
    tickets: Mutex<Tickets>,
}

impl Authorizer {
    /// Of a server that is open to all clients, or, if it is private, only to those with a token.
    pub fn new(is_private: bool, store: TokenStore) -> Authorizer {
        Authorizer {
            is_private,
            store,
            clock: Mutex::new(TokenClock::new(Instant::now(), SystemTime::now())),
            is_set_back_known: AtomicBool::new(false),
            failures: Mutex::new(RateLimiter::new(FAILURES_PER_S, FAILURES)),
            tickets: Mutex::default(),
        }
    }

    /// Of a server that is open to all clients, with a signing key in memory.
    ///
    /// # Errors
    /// If there are no random numbers.
    pub fn open() -> io::Result<Authorizer> {
        Ok(Authorizer::new(false, TokenStore::open(None)?))
    }

    /// Rooms and listening need a token.
    pub fn is_private(&self) -> bool {
        self.is_private
    }

    /// The token store.
    pub fn store(&self) -> &TokenStore {
        &self.store
    }

    /// Compares the credentials with the permission that is needed. `by` is the peer that asks, if it is known: a token
    /// that was used up since still works for peers that have used it before.
    ///
    /// # Errors
    /// The response that refuses the request.
    pub fn authorize(
        &self,
        needed: &Permission,
        credentials: &Credentials<'_>,
        by: Option<PeerId>,
    ) -> Result<Authorization, Response> {
        match token(credentials) {
            Ok(token) => self.authorize_token(needed, token.as_deref(), credentials.client, by),
            Err(reason) => Err(self.invalid(reason, credentials.client)),
        }
    }

    /// The same, for a token that came in another way.
    ///
    /// # Errors
    /// The response that refuses the request.
    pub fn authorize_token(
        &self,
        needed: &Permission,
        token: Option<&str>,
        client: IpAddr,
        by: Option<PeerId>,
    ) -> Result<Authorization, Response> {
        let claims = match token.map(|token| self.store.check(token, by, self.now_s())).transpose() {
            Ok(claims) => claims,
            Err(error @ (TokenError::Undecided | TokenError::ClockNotSet)) => return Err(undecided(&error)),
            Err(error) => return Err(self.invalid(sentence(&error), client)),
        };
        let is_token_needed = self.is_private || *needed == Permission::Admin;
        match &claims {
            None if is_token_needed => {
                let message = "This needs a token; open the link you were invited with.";
                Err(challenge(Response::error(ErrorCode::TokenRequired, message)))
            }
            Some(claims) if is_token_needed && !includes(&claims.permission, needed) => {
                Err(Response::error(ErrorCode::NotAllowed, "This token is for something else."))
            }
            _ => Ok(Authorization { claims, is_private: self.is_private }),
        }
    }

    /// Counts one use of the token, if it has a number of uses. The use is released unless it is confirmed.
    ///
    /// # Errors
    /// The response that refuses the request, if the token was used up by others meanwhile.
    pub fn use_token(&self, authorization: &Authorization, by: Option<PeerId>) -> Result<TokenUse<'_>, Response> {
        let mut token_use = TokenUse { store: &self.store, unconfirmed: None };
        // An open server needs no token for this, so none is used.
        if let Some(claims) = authorization.claims.as_ref().filter(|_| self.is_private) {
            match self.store.reserve(claims, by, self.now_s()) {
                Ok(reservation) => token_use.unconfirmed = reservation,
                Err(error @ (TokenError::Undecided | TokenError::ClockNotSet)) => return Err(undecided(&error)),
                Err(TokenError::NotRecorded(error)) => {
                    log::error!("the use of a token cannot be recorded, so the token is refused: {error}");
                    return Err(Response::internal_error());
                }
                Err(error) => return Err(challenge(Response::error(ErrorCode::TokenInvalid, sentence(&error)))),
            }
        }
        Ok(token_use)
    }

    /// Seconds since 1970. A clock that is set back makes no expired token valid again.
    fn now_s(&self) -> u64 {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let now_s = self.clock.lock().unwrap_or_else(PoisonError::into_inner).now_s(now, wall);
        let set_back_s = now_s - token_clock::seconds(wall).min(now_s);
        if set_back_s >= SET_BACK_REPORTED_S && !self.is_set_back_known.swap(true, Ordering::Relaxed) {
            log::warn!("the clock was set back by {set_back_s} s; until a restart, links expire as if it had not been");
        }
        now_s
    }

    /// A ticket for a WebSocket, which stands for these credentials and this resume token. They were authorized.
    ///
    /// # Errors
    /// The response that refuses it.
    pub fn issue_ticket(
        &self,
        credentials: &Credentials<'_>,
        room: RoomName,
        resume: Option<ResumeToken>,
        limit: AddressLimit,
    ) -> Result<Ticket, Response> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            log::error!("no random numbers: {error}");
            Response::internal_error()
        })?;
        let ticket = Ticket::from_bytes(bytes);
        let token = token(credentials).ok().flatten().map(Cow::into_owned);
        let presented = Presented { room, token, resume };
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.issue(ticket, presented, credentials.client, limit, Instant::now()).map(|()| ticket).map_err(
            |TooMany| {
                let message = "As many tickets as one address may have are in use.";
                Response::error(ErrorCode::TooManyFromAddress, message).retry_after(1)
            },
        )
    }

    /// What the ticket stands for, which is used up by this, if it is for this room. No token comes beside it.
    ///
    /// # Errors
    /// The response that refuses the request.
    pub fn redeem_ticket(
        &self,
        ticket: Ticket,
        room: &RoomName,
        credentials: &Credentials<'_>,
    ) -> Result<Presented, Response> {
        let presented = self.tickets.lock().unwrap_or_else(PoisonError::into_inner).redeem(ticket, Instant::now());
        if credentials.have_token() {
            return Err(self.invalid("A ticket stands for a token: send one of them.", credentials.client));
        }
        presented.filter(|presented| presented.room == *room).ok_or_else(|| {
            let message = "This ticket was used, has expired, or is for another room; ask for another.";
            challenge(Response::error(ErrorCode::TicketInvalid, message))
        })
    }

    fn invalid(&self, reason: &'static str, client: IpAddr) -> Response {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.take(client, Instant::now()) {
            Ok(()) => challenge(Response::error(ErrorCode::TokenInvalid, reason)),
            Err(wait) => {
                let message = "Too many invalid tokens came from this address.";
                Response::error(ErrorCode::TooManyFailures, message).retry_after(whole_seconds(wait))
            }
        }
    }
}

/// A use of a token, released when this is dropped, unless it was confirmed.
#[derive(Debug)]
pub struct TokenUse<'a> {
    store: &'a TokenStore,
    unconfirmed: Option<Reservation>,
}

impl TokenUse<'_> {
    /// The request had success, so that the use counts.
    pub fn confirm(&mut self) {
        if let Some(reservation) = self.unconfirmed.take() {
            self.store.confirm(&reservation);
        }
    }
}

impl Drop for TokenUse<'_> {
    fn drop(&mut self) {
        if let Some(reservation) = self.unconfirmed.take() {
            self.store.release(&reservation);
        }
    }
}

/// An admin may do everything.
fn includes(granted: &Permission, needed: &Permission) -> bool {
    *granted == Permission::Admin || granted == needed
}

/// RFC 6750 §2: in a header field, or, for clients that cannot set one, in the query. Credentials of another scheme are
/// not for this server, but for a proxy in front of it, say.
fn token<'a>(credentials: &Credentials<'a>) -> Result<Option<Cow<'a, str>>, &'static str> {
    let in_field = field(credentials.headers, "authorization").and_then(|value| match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
        None if value.eq_ignore_ascii_case("bearer") => Some(String::new()),
        _ => None,
    });
    let in_query = parameter(credentials.query, "token").map_err(|Ambiguous| "There are two tokens in the address.")?;
    match (in_field, in_query) {
        (Some(one), Some(other)) if one != other => Err("There are two tokens, and they differ."),
        (Some(token), _) => Ok(Some(Cow::Owned(token))),
        (None, token) => Ok(token.map(Cow::Borrowed)),
    }
}

fn sentence(error: &TokenError) -> &'static str {
    match error {
        TokenError::Invalid | TokenError::NotRecorded(_) => "This token is not one of this server's, or was revoked.",
        TokenError::Expired => "This token has expired.",
        TokenError::Revoked => "This token was revoked.",
        TokenError::UsedUp => "This token was used as often as it may be.",
        TokenError::Undecided => "This server cannot check tokens at present; its log says why.",
        TokenError::ClockNotSet => "This server's clock is not set, so it cannot tell whether this token has expired.",
    }
}

/// The client's token may be valid, so it is neither counted as a failure nor called invalid, which would make a page forget it.
fn undecided(error: &TokenError) -> Response {
    Response::error(ErrorCode::Internal, sentence(error))
}

/// RFC 9110 §11.6.1: a 401 names the scheme of the credentials that are needed.
fn challenge(response: Response) -> Response {
    response.header("WWW-Authenticate", "Bearer")
}

fn whole_seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn authorizer(is_private: bool) -> Authorizer {
        Authorizer::new(is_private, TokenStore::open(None).unwrap())
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn code(response: &Response) -> String {
        let body: serde_json::Value = serde_json::from_slice(response.body.bytes()).unwrap();
        body["error"]["code"].as_str().unwrap().to_owned()
    }

    fn asked(
        authorizer: &Authorizer,
        needed: &Permission,
        fields: &[(&str, &str)],
        query: &str,
    ) -> Result<Authorization, String> {
        let headers: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let credentials = Credentials { headers: &headers, query, client: CLIENT };
        authorizer.authorize(needed, &credentials, None).map_err(|response| code(&response))
    }

    fn with(authorizer: &Authorizer, needed: &Permission, token: &str) -> Result<Authorization, String> {
        asked(authorizer, needed, &[("Authorization", &format!("Bearer {token}"))], "")
    }

    fn refused(code: &str) -> Result<Authorization, String> {
        Err(code.to_owned())
    }

    #[test]
    fn an_open_server_needs_a_token_only_for_what_would_change_it() {
        let authorizer = authorizer(false);
        let kitchen = room("kitchen");
        for needed in [Permission::Room(kitchen.clone()), Permission::Listen] {
            assert!(!asked(&authorizer, &needed, &[], "").unwrap().is_admin());
        }
        assert_eq!(asked(&authorizer, &Permission::Admin, &[], ""), refused("token-required"));
        // A token for something else does no harm where none is needed, an invalid one does.
        let (listen, _) = authorizer.store.issue(Permission::Listen, None, None).unwrap();
        assert!(with(&authorizer, &Permission::Room(kitchen.clone()), &listen).is_ok());
        assert_eq!(with(&authorizer, &Permission::Admin, &listen), refused("not-allowed"));
        assert_eq!(with(&authorizer, &Permission::Listen, "a.b"), refused("token-invalid"));
        let (admin, _) = authorizer.store.issue(Permission::Admin, None, None).unwrap();
        assert!(with(&authorizer, &Permission::Room(kitchen.clone()), &admin).unwrap().is_admin());
    }

    #[test]
    fn on_a_private_server_each_token_permits_only_what_it_is_for() {
        let authorizer = authorizer(true);
        let (kitchen, hall) = (room("kitchen"), room("hall"));
        let all =
            [Permission::Room(kitchen.clone()), Permission::Room(hall.clone()), Permission::Listen, Permission::Admin];
        for (permission, permits, may_listen) in [
            (Permission::Room(kitchen.clone()), [true, false, false, false], false),
            (Permission::Listen, [false, false, true, false], true),
            (Permission::Admin, [true; 4], true),
        ] {
            let (token, _) = authorizer.store.issue(permission.clone(), None, None).unwrap();
            for (needed, permits) in all.iter().zip(permits) {
                match with(&authorizer, needed, &token) {
                    Ok(authorization) => {
                        assert!(permits, "{permission:?} permits {needed:?}");
                        assert_eq!(
                            (authorization.may_listen(), authorization.is_admin()),
                            (may_listen, permission == Permission::Admin)
                        );
                    }
                    Err(code) => assert!(!permits && code == "not-allowed", "{permission:?}, {needed:?}: {code}"),
                }
            }
        }
        for needed in &all {
            assert_eq!(asked(&authorizer, needed, &[], ""), refused("token-required"));
        }
    }

    #[test]
    fn a_token_is_in_the_field_or_in_the_query_and_two_must_agree() {
        let authorizer = authorizer(true);
        let (token, _) = authorizer.store.issue(Permission::Listen, None, None).unwrap();
        let (bearer, query) = (format!("bearer  {token}"), format!("x=y&token={token}"));
        let ask = |fields: &[(&str, &str)], query: &str| asked(&authorizer, &Permission::Listen, fields, query);
        assert!(ask(&[("authorization", &bearer)], "").is_ok());
        assert!(ask(&[], &query).is_ok());
        assert!(ask(&[("Authorization", &bearer)], &query).is_ok());
        assert!(ask(&[("Authorization", "Basic YTpi")], &query).is_ok());
        assert_eq!(ask(&[("Authorization", "Basic YTpi")], ""), refused("token-required"));
        assert_eq!(ask(&[("Authorization", &bearer)], "token=a.b"), refused("token-invalid"));
        assert_eq!(ask(&[("Authorization", &bearer), ("Authorization", &bearer)], ""), refused("token-invalid"));
        assert_eq!(ask(&[], &format!("{query}&{query}")), refused("token-invalid"));
        assert_eq!(ask(&[], "token="), refused("token-invalid"));
        assert_eq!(ask(&[("Authorization", "Bearer")], ""), refused("token-invalid"));
    }

    #[test]
    fn too_many_invalid_tokens_are_answered_429_but_a_valid_one_always_passes() {
        let authorizer = authorizer(true);
        let codes: Vec<_> = (0..11).map(|_| with(&authorizer, &Permission::Listen, "a.b").unwrap_err()).collect();
        assert_eq!((codes[9].as_str(), codes[10].as_str()), ("token-invalid", "too-many-failures"));
        let (token, _) = authorizer.store.issue(Permission::Listen, None, None).unwrap();
        assert!(with(&authorizer, &Permission::Listen, &token).is_ok());
        assert_eq!(
            asked(&authorizer, &Permission::Listen, &[], ""),
            refused("token-required"),
            "a request without a token has not failed"
        );
        let credentials = Credentials { headers: &[], query: "token=x", client: CLIENT };
        let response = authorizer.authorize(&Permission::Listen, &credentials, None).unwrap_err();
        let seconds: u32 = response.find("retry-after").unwrap().parse().unwrap();
        assert!(response.status == 429 && (1..=5).contains(&seconds), "{response:?}");
        let elsewhere = Credentials { client: IpAddr::from([192, 0, 2, 2]), ..credentials };
        let response = authorizer.authorize(&Permission::Listen, &elsewhere, None).unwrap_err();
        assert_eq!((response.status, response.find("www-authenticate")), (401, Some("Bearer")));
    }

    #[test]
    fn a_use_of_a_token_counts_once_it_is_confirmed() {
        let authorizer = authorizer(true);
        let (token, _) = authorizer.store.issue(Permission::Listen, None, Some(1)).unwrap();
        let authorization = with(&authorizer, &Permission::Listen, &token).unwrap();
        let token_use = authorizer.use_token(&authorization, None).unwrap();
        assert_eq!(
            with(&authorizer, &Permission::Listen, &token),
            refused("token-invalid"),
            "while a use is not confirmed"
        );
        assert_eq!(authorizer.use_token(&authorization, None).unwrap_err().status, 401);
        drop(token_use);
        let peer = Some(ResumeToken::from_bytes([1; 32]).id());
        let mut token_use =
            authorizer.use_token(&with(&authorizer, &Permission::Listen, &token).unwrap(), peer).unwrap();
        token_use.confirm();
        drop(token_use);
        assert_eq!(with(&authorizer, &Permission::Listen, &token), refused("token-invalid"));
        let query = format!("token={token}");
        let credentials = Credentials { headers: &[], query: &query, client: CLIENT };
        let back = authorizer.authorize(&Permission::Listen, &credentials, peer).unwrap();
        drop(authorizer.use_token(&back, peer).unwrap());
        assert!(
            authorizer.authorize(&Permission::Listen, &credentials, peer).is_ok(),
            "returning without success takes nothing away"
        );
    }
}
