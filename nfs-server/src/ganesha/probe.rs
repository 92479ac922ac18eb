//! Whether the NFS server answers: one NFSv4 NULL call (RFC 7530 §16.1, RFC 5531), which does nothing and needs no state.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NFS_PROGRAM: u32 = 100_003;
const NFS_VERSION: u32 = 4;
const CALL: u32 = 0;
const REPLY: u32 = 1;
const RPC_VERSION: u32 = 2;
const LAST_FRAGMENT: u32 = 1 << 31;
/// Of the reply to NULL without authentication: xid, REPLY, accepted, no verifier (2 words), success.
const REPLY_WORDS: usize = 6;

/// Asks once.
///
/// # Errors
/// Nobody listens, the answer does not come in time, or is not one.
pub async fn null(address: SocketAddr, time_max: Duration) -> io::Result<()> {
    tokio::time::timeout(time_max, ask(address))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn ask(address: SocketAddr) -> io::Result<()> {
    let xid = std::process::id();
    let mut stream = TcpStream::connect(address).await?;
    // xid, CALL, RPC version, program, version, procedure 0, no credentials (2 words), no verifier (2 words).
    let words = [xid, CALL, RPC_VERSION, NFS_PROGRAM, NFS_VERSION, 0, 0, 0, 0, 0];
    let length = u32::try_from(words.len() * 4).unwrap_or(0);
    let mut message = (LAST_FRAGMENT | length).to_be_bytes().to_vec();
    message.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    stream.write_all(&message).await?;

    let mut reply = [0u8; 4 + REPLY_WORDS * 4];
    stream.read_exact(&mut reply).await?;
    let word = |index: usize| -> u32 {
        reply[index * 4..][..4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
    };
    let accepted_and_done = [1, 2, 3, 4, 5, 6].map(word) == [xid, REPLY, 0, 0, 0, 0];
    if accepted_and_done { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(300);

    async fn server(answer: impl Fn(u32) -> Option<Vec<u32>> + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut call = [0u8; 44];
            stream.read_exact(&mut call).await.unwrap();
            assert_eq!(call[..4], [0x80, 0, 0, 40]);
            assert_eq!(call[16..24], [0, 1, 0x86, 0xa3, 0, 0, 0, 4]);
            let xid = u32::from_be_bytes(call[4..8].try_into().unwrap());
            if let Some(words) = answer(xid) {
                let length = LAST_FRAGMENT | (words.len() * 4) as u32;
                let bytes: Vec<u8> =
                    [vec![length], words].concat().into_iter().flat_map(u32::to_be_bytes).collect();
                stream.write_all(&bytes).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        address
    }

    #[tokio::test]
    async fn an_nfs_server_that_answers_is_alive() {
        let address = server(|xid| Some(vec![xid, REPLY, 0, 0, 0, 0])).await;
        null(address, SOON).await.unwrap();
    }

    #[tokio::test]
    async fn silence_refusals_and_nonsense_are_not() {
        let silent = server(|_| None).await;
        assert_eq!(null(silent, SOON).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // PROG_MISMATCH: no version 4.
        let old = server(|xid| Some(vec![xid, REPLY, 0, 0, 0, 2])).await;
        assert_eq!(null(old, SOON).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let anothers = server(|xid| Some(vec![xid + 1, REPLY, 0, 0, 0, 0])).await;
        assert!(null(anothers, SOON).await.is_err());
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(null(closed, SOON).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
