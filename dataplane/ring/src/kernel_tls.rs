//! TLS in the kernel (kTLS): whether there is any.
//!
//! Nothing more is built: the kernels that this project is tested on have none, and keys that are
//! handed to a kernel in a wrong layout would show on the wire only.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use crate::sys;

/// Asks the kernel by putting TLS on top of a connection to ourselves (`TCP_ULP`).
///
/// # Errors
/// Why it cannot: in words, for the log.
pub fn probe() -> Result<(), String> {
    let asked = listener().and_then(|(listener, client)| {
        let (_server, _) = listener.accept()?;
        sys::set_upper_protocol(client.as_fd(), "tls")
    });
    match asked {
        Ok(()) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            Err("this kernel has no TLS (CONFIG_TLS, or its module is not there)".to_owned())
        }
        Err(why) => Err(format!("the kernel refuses TLS on a socket: {why}")),
    }
}

fn listener() -> io::Result<(TcpListener, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((listener, client))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What the kernel says for itself, by another way: the protocols that it has, or can load.
    fn kernel_has_it() -> bool {
        let list = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").unwrap_or_default();
        let loaded = || list.split_ascii_whitespace().any(|name| name == "tls");
        // Where it is a module, asking for it has loaded it.
        let _ = probe();
        loaded() || fs::exists("/proc/net/tls_stat").unwrap_or(false)
    }

    #[test]
    fn the_probe_says_what_the_kernel_says() {
        match probe() {
            Ok(()) => assert!(kernel_has_it()),
            Err(why) => {
                assert!(!kernel_has_it(), "{why}");
                assert!(why.contains("CONFIG_TLS"), "{why}");
            }
        }
    }

    #[test]
    fn a_protocol_that_nobody_has_is_not_found() {
        let (_listener, client) = listener().unwrap();
        let error = sys::set_upper_protocol(client.as_fd(), "no-such-thing").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
