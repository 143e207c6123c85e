//! Why a step failed, and the remedy: feature `hints`.

pub(crate) mod cause;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod explain;
