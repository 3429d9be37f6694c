//! ringway-api
