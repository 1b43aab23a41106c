//! What the tests of this folder share: objects out of YAML, and dumps that people can read.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod certificates;
pub mod dump;
pub mod input;
pub mod status;
