//! ringway-policy
