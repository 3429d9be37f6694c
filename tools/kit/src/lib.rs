//! ringway-kit
