//! A request as it is written here, byte by byte: libraries that know what a URL is would tidy up `..` before anybody saw it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Time for each read and write.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Sends `head`, to which the end of the headers and the wish to close are added, and gives status and body of the answer.
pub fn ask(address: SocketAddr, config: Arc<ClientConfig>, head: &str) -> Result<(u16, String)> {
    let socket = TcpStream::connect_timeout(&address, TIME_MAX)?;
    socket.set_read_timeout(Some(TIME_MAX))?;
    socket.set_write_timeout(Some(TIME_MAX))?;
    let name = ServerName::from(address.ip());
    let mut stream = StreamOwned::new(ClientConnection::new(config, name)?, socket);
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    // Not every server says goodbye: what came counts.
    if let Err(error) = stream.read_to_end(&mut answer)
        && answer.is_empty()
    {
        return Err(error.into());
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    parsed(&text).with_context(|| format!("this is no answer: {text:?}"))
}

/// Status and body.
fn parsed(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::parsed;

    #[test]
    fn status_and_body_are_found() {
        let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parsed(answer), Some((404, "{}".to_owned())));
        assert_eq!(parsed("HTTP/1.1 404 Not Found"), None);
        assert_eq!(parsed("nonsense\r\n\r\n"), None);
    }
}
