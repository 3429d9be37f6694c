//! ringway-source
