//! The kinds, each as Kubernetes or Istio defines it, field by field.
//!
//! A field that is known but that nothing reads is [`value::Unread`], so that a mistyped name is
//! told from one that is merely not used.

pub mod core;
pub mod networking;
pub mod security;
pub mod value;
