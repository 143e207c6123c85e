//! What the library promises, by topic.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "calls that std does not have")]
#![allow(clippy::items_after_statements, reason = "the first statement of a test gives it its process")]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

#[cfg(target_arch = "x86_64")]
mod calls;
mod cause;
mod escape;
mod faults;
mod files;
mod inside;
mod jail;
mod roots;
mod seal;
#[cfg(target_env = "gnu")]
mod stacks;
#[cfg(target_arch = "x86_64")]
mod swaps;
mod user;
