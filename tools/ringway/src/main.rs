//! ringway

fn main() {}
