//! ringway-upstream
