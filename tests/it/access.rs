//! Who may come in.
