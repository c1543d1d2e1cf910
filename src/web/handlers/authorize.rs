//! Who may come in: what a request shows is held against what its wish needs. Asked by `conn-<n>` threads before a
//! WebSocket and by `http-<n>` threads before a handler; writes nothing but what the store must keep, and never logs a
//! token.
//!
//! Rooms and listening are open to everybody, unless the house is private; what changes the host needs an admin's token
//! always. A token that is shown must hold even where none is needed, so that nobody wonders why a link does nothing.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::access::token_store::{TokenError, TokenStore};
use crate::access::tokens::{Claims, Permission};
use crate::ids::names::RoomName;
use crate::ids::peer::PeerId;
use crate::net::rate_limiter::RateLimiter;
use crate::web::http::message::{Answer, ErrorCode, field};
use crate::web::http::origin::{self, Origin};
use crate::web::http::query::{Twice, parameter};

/// Wrong tokens from one address: so many at once, and so many a second for long. Nobody can guess one, but nobody need try.
const FAILURES: f64 = 10.0;
const FAILURES_PER_S: f64 = 0.2;

/// PeerEvent somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    /// To enter this room.
    Room(&'a RoomName),
    /// To listen, or to know what is on.
    Listen,
    /// To change the host.
    Admin,
}

/// PeerEvent a request shows of itself.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// Its header fields.
    pub headers: &'a [(String, String)],
    /// Its target's query.
    pub query: &'a str,
    /// From where.
    pub client: IpAddr,
}

/// The permission to what was wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    claims: Option<Claims>,
    private: bool,
}

impl Pass {
    /// It was an admin's token.
    pub fn is_host(&self) -> bool {
        matches!(&self.claims, Some(Claims { permission: Permission::Admin, .. }))
    }

    /// Whoever has it may listen too.
    pub fn may_listen(&self) -> bool {
        !self.private || self.claims.as_ref().is_some_and(|claims| suffices(&claims.permission, &Wish::Listen))
    }
}

/// The one gate of the house.
#[derive(Debug)]
pub struct Gate {
    private: bool,
    store: TokenStore,
    allowed: Vec<Origin>,
    /// Shared by all threads that answer; held for as long as a look into a table takes.
    failures: Mutex<RateLimiter>,
}

impl Gate {
    /// One that is open to everybody, or to those only who have a token; and to pages of these origins besides our own.
    pub fn new(private: bool, store: TokenStore, allowed: Vec<Origin>) -> Gate {
        Gate { private, store, allowed, failures: Mutex::new(RateLimiter::new(FAILURES_PER_S, FAILURES)) }
    }

    /// One that is open to everybody, with a key in memory.
    ///
    /// # Errors
    /// If there are no random numbers.
    pub fn open() -> io::Result<Gate> {
        Ok(Gate::new(false, TokenStore::open(None)?, vec![]))
    }

    /// Only those come in who have a token.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// The store about tokens.
    pub fn store(&self) -> &TokenStore {
        &self.store
    }

    /// Keeps other people's pages from acting in a visitor's name.
    ///
    /// # Errors
    /// The refusal.
    pub fn check_origin(&self, shown: &Shown<'_>, host: &str) -> Result<(), Answer> {
        if origin::may_act(field(shown.headers, "origin").as_deref(), host, &self.allowed) {
            return Ok(());
        }
        let message = "This page is of another site. If that site shall use this server, start it with --allow-origin.";
        Err(Answer::error(ErrorCode::ForeignOrigin, message))
    }

    /// The header fields that say which pages may read the answer.
    pub fn sharing(&self, path: &str, headers: &[(String, String)]) -> Vec<(&'static str, Cow<'static, str>)> {
        origin::sharing(path, field(headers, "origin").as_deref(), &self.allowed)
    }

    /// Whether a wish may be granted. `by` is who wants to come in, if that is known: a token that was used up by others
    /// still lets those back in whom it let in before.
    ///
    /// # Errors
    /// The refusal.
    pub fn check(&self, wish: &Wish<'_>, shown: &Shown<'_>, by: Option<PeerId>) -> Result<Pass, Answer> {
        let claims = match token(shown) {
            Ok(None) => None,
            Ok(Some(token)) => match self.store.check(&token, by, now_s()) {
                Ok(claims) => Some(claims),
                Err(void) => return Err(self.invalid(sentence(&void), shown.client)),
            },
            Err(why) => return Err(self.invalid(why, shown.client)),
        };
        let needed = self.private || *wish == Wish::Admin;
        match &claims {
            None if needed => {
                let message = "This needs a token; open the link you were invited with.";
                Err(challenge(Answer::error(ErrorCode::TokenRequired, message)))
            }
            Some(claims) if needed && !suffices(&claims.permission, wish) => {
                Err(Answer::error(ErrorCode::NotAllowed, "This token is for something else."))
            }
            _ => Ok(Pass { claims, private: self.private }),
        }
    }

    /// Notes that somebody comes in, if their token counts that. It is taken back unless the entry is kept.
    ///
    /// # Errors
    /// The refusal, if somebody else has used the token up meanwhile.
    pub fn enter(&self, pass: &Pass, by: Option<PeerId>) -> Result<Entry<'_>, Answer> {
        let mut entry = Entry { store: &self.store, spent: None };
        // In an open house nobody needs a token to come in, so none is used.
        if let Some(claims) = pass.claims.as_ref().filter(|_| self.private) {
            match self.store.consume(claims, by, now_s()) {
                Ok(true) => entry.spent = Some((claims.clone(), by)),
                Ok(false) => {}
                Err(TokenError::NotRecorded(error)) => {
                    log::error!("an invitation cannot be noted as used, so nobody comes in with it: {error}");
                    return Err(Answer::error(ErrorCode::Internal, "Something went wrong here."));
                }
                Err(void) => return Err(challenge(Answer::error(ErrorCode::TokenInvalid, sentence(&void)))),
            }
        }
        Ok(entry)
    }

    fn invalid(&self, why: &'static str, client: IpAddr) -> Answer {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.take(client, Instant::now()) {
            Ok(()) => challenge(Answer::error(ErrorCode::TokenInvalid, why)),
            Err(wait) => {
                let message = "Too many tokens that do not hold came from this address.";
                Answer::error(ErrorCode::TooManyFailures, message).retry_after(whole_seconds(wait))
            }
        }
    }
}

/// Somebody on the way in.
#[derive(Debug)]
pub struct Entry<'a> {
    store: &'a TokenStore,
    spent: Option<(Claims, Option<PeerId>)>,
}

impl Entry<'_> {
    /// They are in.
    pub fn keep(&mut self) {
        self.spent = None;
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some((claims, by)) = self.spent.take() {
            self.store.release(&claims, by);
        }
    }
}

fn suffices(permission: &Permission, wish: &Wish<'_>) -> bool {
    match (permission, wish) {
        (Permission::Admin, _) | (Permission::Listen, Wish::Listen) => true,
        (Permission::Room(mine), Wish::Room(wanted)) => mine == *wanted,
        _ => false,
    }
}

/// RFC 6750 §2: in a header field, or, for those who cannot set one, in the query. Credentials of another scheme are
/// somebody else's: of a proxy in front, say.
fn token<'a>(shown: &Shown<'a>) -> Result<Option<Cow<'a, str>>, &'static str> {
    let in_field = field(shown.headers, "authorization").and_then(|value| match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
        None if value.eq_ignore_ascii_case("bearer") => Some(String::new()),
        _ => None,
    });
    let in_query = parameter(shown.query, "token").map_err(|Twice| "There are two tokens in the address.")?;
    match (in_field, in_query) {
        (Some(one), Some(other)) if one != other => Err("There are two tokens, and they differ."),
        (Some(token), _) => Ok(Some(Cow::Owned(token))),
        (None, token) => Ok(token.map(Cow::Borrowed)),
    }
}

fn sentence(void: &TokenError) -> &'static str {
    match void {
        TokenError::Invalid | TokenError::NotRecorded(_) => "This token is none of this server's, or was withdrawn.",
        TokenError::Expired => "This token has expired.",
        TokenError::Revoked => "This token was withdrawn.",
        TokenError::UsedUp => "This token was used as often as it may be.",
    }
}

/// RFC 9110 §11.6.1: a 401 says how to do better.
fn challenge(answer: Answer) -> Answer {
    answer.header("WWW-Authenticate", "Bearer")
}

fn whole_seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX).max(1)
}

/// Seconds since 1970; a clock before that lets nothing expire.
fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::peer::ResumeToken;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn gate(private: bool) -> Gate {
        Gate::new(private, TokenStore::open(None).unwrap(), vec![])
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn code(answer: &Answer) -> String {
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        body["error"]["code"].as_str().unwrap().to_owned()
    }

    fn asked(gate: &Gate, wish: &Wish<'_>, fields: &[(&str, &str)], query: &str) -> Result<Pass, String> {
        let headers: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let shown = Shown { headers: &headers, query, client: CLIENT };
        gate.check(wish, &shown, None).map_err(|answer| code(&answer))
    }

    fn with(gate: &Gate, wish: &Wish<'_>, token: &str) -> Result<Pass, String> {
        asked(gate, wish, &[("Authorization", &format!("Bearer {token}"))], "")
    }

    fn refused(word: &str) -> Result<Pass, String> {
        Err(word.to_owned())
    }

    #[test]
    fn an_open_house_asks_for_a_token_only_where_the_host_would_change() {
        let gate = gate(false);
        let kitchen = room("kitchen");
        for wish in [Wish::Room(&kitchen), Wish::Listen] {
            assert!(!asked(&gate, &wish, &[], "").unwrap().is_host());
        }
        assert_eq!(asked(&gate, &Wish::Admin, &[], ""), refused("token-required"));
        // A token for something else does no harm where none is needed, one that does not hold does.
        let (listen, _) = gate.store.issue(Permission::Listen, None, None).unwrap();
        assert!(with(&gate, &Wish::Room(&kitchen), &listen).is_ok());
        assert_eq!(with(&gate, &Wish::Admin, &listen), refused("not-allowed"));
        assert_eq!(with(&gate, &Wish::Listen, "a.b"), refused("token-invalid"));
        let (admin, _) = gate.store.issue(Permission::Admin, None, None).unwrap();
        assert!(with(&gate, &Wish::Room(&kitchen), &admin).unwrap().is_host());
    }

    #[test]
    fn in_a_private_house_each_token_opens_its_own_door() {
        let gate = gate(true);
        let (kitchen, hall) = (room("kitchen"), room("hall"));
        let wishes = [Wish::Room(&kitchen), Wish::Room(&hall), Wish::Listen, Wish::Admin];
        for (permission, opens, listens) in [
            (Permission::Room(kitchen.clone()), [true, false, false, false], false),
            (Permission::Listen, [false, false, true, false], true),
            (Permission::Admin, [true; 4], true),
        ] {
            let (token, _) = gate.store.issue(permission.clone(), None, None).unwrap();
            for (wish, opens) in wishes.iter().zip(opens) {
                match with(&gate, wish, &token) {
                    Ok(pass) => {
                        assert!(opens, "{permission:?} opens {wish:?}");
                        assert_eq!((pass.may_listen(), pass.is_host()), (listens, permission == Permission::Admin));
                    }
                    Err(word) => assert!(!opens && word == "not-allowed", "{permission:?}, {wish:?}: {word}"),
                }
            }
        }
        for wish in &wishes {
            assert_eq!(asked(&gate, wish, &[], ""), refused("token-required"));
        }
    }

    #[test]
    fn a_token_is_in_the_field_or_in_the_query_and_two_must_agree() {
        let gate = gate(true);
        let (token, _) = gate.store.issue(Permission::Listen, None, None).unwrap();
        let (bearer, query) = (format!("bearer  {token}"), format!("x=y&token={token}"));
        let ask = |fields: &[(&str, &str)], query: &str| asked(&gate, &Wish::Listen, fields, query);
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
    fn who_fails_too_often_is_told_to_wait_but_a_good_token_always_passes() {
        let gate = gate(true);
        let words: Vec<_> = (0..11).map(|_| with(&gate, &Wish::Listen, "a.b").unwrap_err()).collect();
        assert_eq!((words[9].as_str(), words[10].as_str()), ("token-invalid", "too-many-failures"));
        let (token, _) = gate.store.issue(Permission::Listen, None, None).unwrap();
        assert!(with(&gate, &Wish::Listen, &token).is_ok());
        assert_eq!(asked(&gate, &Wish::Listen, &[], ""), refused("token-required"), "who shows none has not failed");
        let shown = Shown { headers: &[], query: "token=x", client: CLIENT };
        let answer = gate.check(&Wish::Listen, &shown, None).unwrap_err();
        let seconds: u32 = answer.find("retry-after").unwrap().parse().unwrap();
        assert!(answer.status == 429 && (1..=5).contains(&seconds), "{answer:?}");
        let elsewhere = Shown { client: IpAddr::from([192, 0, 2, 2]), ..shown };
        let answer = gate.check(&Wish::Listen, &elsewhere, None).unwrap_err();
        assert_eq!((answer.status, answer.find("www-authenticate")), (401, Some("Bearer")));
    }

    #[test]
    fn a_use_counts_once_somebody_is_in() {
        let gate = gate(true);
        let (token, _) = gate.store.issue(Permission::Listen, None, Some(1)).unwrap();
        let pass = with(&gate, &Wish::Listen, &token).unwrap();
        let entry = gate.enter(&pass, None).unwrap();
        assert_eq!(with(&gate, &Wish::Listen, &token), refused("token-invalid"), "while one is on the way in");
        assert_eq!(gate.enter(&pass, None).unwrap_err().status, 401);
        drop(entry);
        let peer = Some(ResumeToken::from_bytes([1; 32]).id());
        let mut entry = gate.enter(&with(&gate, &Wish::Listen, &token).unwrap(), peer).unwrap();
        entry.keep();
        drop(entry);
        assert_eq!(with(&gate, &Wish::Listen, &token), refused("token-invalid"));
        let query = format!("token={token}");
        let shown = Shown { headers: &[], query: &query, client: CLIENT };
        let back = gate.check(&Wish::Listen, &shown, peer).unwrap();
        drop(gate.enter(&back, peer).unwrap());
        assert!(gate.check(&Wish::Listen, &shown, peer).is_ok(), "coming back in vain takes nothing away");
    }
}
