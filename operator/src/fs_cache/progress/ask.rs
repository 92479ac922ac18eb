//! One question to one mover. Its pod is the workspace's: whatever answers there gets little time and little room.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use workspacefs_api::mover::Progress;

/// For how long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Many times what a mover says.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// The pod has no address that is one.
    #[error("the pod has a malformed address")]
    Address,
    /// The network's trouble.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("no answer within {PATIENCE:?}")]
    Late,
    /// It is no mover that answers.
    #[error("the answer is not HTTP with status 200")]
    Refused,
    /// Nor one that we understand.
    #[error("the answer is not understood")]
    Json(#[from] serde_json::Error),
}

/// How far the mover at that address is.
///
/// # Errors
/// [`AskError`].
pub async fn progress(address: &str, port: u16) -> Result<Progress, AskError> {
    let address: IpAddr = address.parse().map_err(|_| AskError::Address)?;
    timeout(PATIENCE, request(address, port)).await.unwrap_or(Err(AskError::Late))
}

async fn request(address: IpAddr, port: u16) -> Result<Progress, AskError> {
    let mut stream = TcpStream::connect((address, port)).await?;
    // Of version 1.0, so that the answer comes in one piece and ends with the connection.
    stream.write_all(b"GET /progress HTTP/1.0\r\nHost: mover\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Result<Progress, AskError> {
    const END: &[u8] = b"\r\n\r\n";
    let is_good = answer.starts_with(b"HTTP/1.0 200 ") || answer.starts_with(b"HTTP/1.1 200 ");
    let head = answer.windows(END.len()).position(|bytes| bytes == END).filter(|_| is_good);
    let body = head.and_then(|head| answer.get(head + END.len()..)).ok_or(AskError::Refused)?;
    Ok(serde_json::from_slice(body)?)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Json, Router};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_mover_is_understood() {
        let said = Progress { generation: 3, files_done: 7, eta_seconds: Some(9), ..Progress::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = said.clone();
        let router = Router::new().route("/progress", get(async move || Json(answer)));
        let served = tokio::spawn(async move { axum::serve(listener, router).await });
        assert_eq!(progress("127.0.0.1", port).await.unwrap(), said);
        served.abort();
    }

    #[tokio::test]
    async fn whatever_else_answers_is_not_read_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let flood = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
            let mut sent = stream.write_all(head).await.map(|()| 0_u64);
            while let Ok(bytes) = sent {
                sent = stream.write_all(&[b'x'; 4096]).await.map(|()| bytes + 4096);
            }
        });
        assert!(matches!(progress("127.0.0.1", port).await, Err(AskError::Json(_))));
        flood.await.unwrap();
        assert!(matches!(progress("127.0.0.1", port).await, Err(AskError::Io(_))));
        assert!(matches!(progress("evil.example", port).await, Err(AskError::Address)));
    }

    #[test]
    fn what_is_no_answer_of_a_mover_is_refused() {
        for answer in ["", "HTTP/1.1 404 Not Found\r\n\r\n{}", "SSH-2.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
            assert!(matches!(parse(answer.as_bytes()), Err(AskError::Refused)), "{answer:?}");
        }
    }
}
