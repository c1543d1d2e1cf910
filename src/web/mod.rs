//! The door, HTTP and the pages.
