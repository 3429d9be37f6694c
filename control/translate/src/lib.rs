//! ringway-translate
