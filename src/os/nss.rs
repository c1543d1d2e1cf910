//! How a statically linked program looks up names of hosts and users: by what is linked into it, whatever the host's
//! `/etc/nsswitch.conf` says. Called by `main` before anything else, while there is one thread. It looks nothing up
//! itself, and in a program that is linked dynamically it does nothing.

/// Leaves the host's own look-up modules alone.
///
/// A static glibc still loads the modules that `nsswitch.conf` names (mdns4_minimal, myhostname, systemd, …), and they bring
/// the host's own glibc with them. Two of them in one process end in a crash at the first look-up.
pub fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_feature = "crt-static"))]
    {
        use std::ffi::{CStr, c_char, c_int};
        unsafe extern "C" {
            /// Declared in glibc's nss.h.
            fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
        }
        /// `files` and `dns` are part of libc.a since glibc 2.34.
        const OWN: [(&CStr, &CStr); 5] = [
            (c"hosts", c"files dns"),
            (c"passwd", c"files"),
            (c"group", c"files"),
            (c"services", c"files"),
            (c"protocols", c"files"),
        ];
        for (database, services) in OWN {
            // SAFETY: both are C strings that last as long as the program, and no other thread looks anything up yet. It
            // fails only if a database is unknown, which then is not looked up either.
            unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
        }
    }
}
