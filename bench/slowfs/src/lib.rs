//! A slow file system.
