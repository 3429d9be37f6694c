//! ringway-model
