//! Free ports for servers that cannot be told to take any.

use std::net::{Ipv4Addr, TcpListener};

/// A loopback port that nobody listens on. It lies below the range that the kernel gives to outgoing connections, so
/// that none of those takes it before the caller does.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = rand::random_range(10_000..30_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 10000 and 30000 was found on 127.0.0.1");
}
