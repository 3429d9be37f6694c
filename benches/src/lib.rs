//! ringway-benches
