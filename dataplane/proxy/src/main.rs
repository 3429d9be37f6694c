//! ringway-proxy

fn main() {}
