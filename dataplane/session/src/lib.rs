//! ringway-session
