//! What is made once and kept in the cache, keyed by what it is made of: programs, the machines' disk image, container
//! images. Everything is built under a temporary name and renamed when it is whole.

pub mod cache;
pub mod container_image;
pub mod machine_image;
pub mod own;
pub mod packages;
pub mod programs;
pub mod sidecars;
