//! Name service switch: how a statically linked program looks up names of hosts and users. It uses the modules that are
//! linked into it, whatever the host's `/etc/nsswitch.conf` says. Called by `main` before anything else, while there is one
//! thread. It looks up nothing itself, and in a dynamically linked program it does nothing.

/// Keeps glibc from loading the host's look-up modules.
///
/// A static glibc still loads the modules that `nsswitch.conf` names (mdns4_minimal, myhostname, systemd, …), and they bring
/// the host's own glibc with them. Two copies of glibc in one process crash at the first look-up.
pub fn use_linked_modules() {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_feature = "crt-static"))]
    {
        use std::ffi::{CStr, c_char, c_int};
        unsafe extern "C" {
            /// Declared in glibc's nss.h.
            fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
        }
        /// `files` and `dns` are part of libc.a since glibc 2.34.
        const LINKED: [(&CStr, &CStr); 5] = [
            (c"hosts", c"files dns"),
            (c"passwd", c"files"),
            (c"group", c"files"),
            (c"services", c"files"),
            (c"protocols", c"files"),
        ];
        for (database, services) in LINKED {
            // SAFETY: both are C strings that last as long as the program, and no other thread looks anything up yet. It
            // fails only if the database is unknown, and an unknown database is not looked up either.
            unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
        }
    }
}
