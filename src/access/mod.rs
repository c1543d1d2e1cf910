//! Who may do what: links that carry a signed right, and the books about them in the state folder.
//!
//! | file | what it is |
//! |---|---|
//! | `capability` | a right as a token: signing, reading, nothing else; pure |
//! | `books` | the key, what was withdrawn and what was used, kept over restarts |
//! | `links` | tokens as links to send around, the admin link among them |

pub mod books;
pub mod capability;
pub mod links;
