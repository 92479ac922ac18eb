//! interim
#![allow(dead_code)]
mod imports;
