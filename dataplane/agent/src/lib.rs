//! ringway-agent
