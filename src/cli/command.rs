//! What a command line asks for, as plain data. Made by `flags` and `subcommands`, carried out by `main`.

use std::time::Duration;

use crate::access::tokens::{Permission, TokenId};
use crate::config::{Config, StateChoice};
use crate::web::http::base_url::BaseUrl;

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub enum Command {
    /// Serve.
    Serve(Config),
    /// Print this text.
    Print(String),
    /// List the capture devices.
    ListDevices {
        /// As JSON rather than a table.
        json: bool,
    },
    /// Make a link.
    Invite(Invitation),
    /// Revoke links.
    Revoke(Revocation),
}

/// A link to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// What it permits.
    pub permission: Permission,
    /// How long it is valid; without limit if None.
    pub expires_in: Option<Duration>,
    /// How many times it may be used; without limit if None.
    pub uses: Option<u32>,
    /// The address of the pages; the one that the server wrote to the state folder if None.
    pub url: Option<BaseUrl>,
    /// Where the server's key is.
    pub state_dir: StateChoice,
}

/// What to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// This link; all of them if None.
    pub id: Option<TokenId>,
    /// The address of the pages, for the new admin link.
    pub url: Option<BaseUrl>,
    /// Where the server's key is.
    pub state_dir: StateChoice,
}
