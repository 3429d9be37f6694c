//! ringwayd

fn main() {}
