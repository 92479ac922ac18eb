//! What the harness and a test machine's PID 1 agree on: [`spec`] says what a machine is, [`wire`] is the language of
//! the command channel. No I/O on anything but the stream that is handed in.

pub mod spec;
pub mod wire;
