//! `through ADDRESS COMMAND…`: connects, gives the command the connection as its standard input and output, and ends when both it and
//! the other end have: what `kubectl cp` does with its tar. Everybody's netcat does that in another way, or not at all.

use std::io::{self, Read as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let address = words.next().context("which address?")?.into_string().ok().context("no address")?;
    let program = words.next().context("which command?")?;
    let mut stream = TcpStream::connect(&address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    let end = || io::Result::Ok(OwnedFd::from(stream.try_clone()?));
    let status = Command::new(program).args(words).stdin(end()?).stdout(end()?).status()?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    // The other end hears that no more comes; what it still says, such as the zeros after a tar, nobody wants.
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut [0; 4096])? > 0 {}
    Ok(ExitCode::SUCCESS)
}
