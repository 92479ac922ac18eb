//! One question to one server, name resolution included, within a deadline.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::rpc::{LAST_FRAGMENT, REPLY_BYTES_MAX, Reply, null_call, read_reply};
use super::{Outcome, Target};

/// Any number will do: there is one call per connection.
const XID: u32 = 0x5753_4653;

/// Asks. Ends within `deadline`.
pub async fn ask(target: &Target, deadline: Duration) -> Outcome {
    timeout(deadline, ask_each_address(target, deadline)).await.unwrap_or(Outcome::TimedOut)
}

async fn ask_each_address(target: &Target, deadline: Duration) -> Outcome {
    let addresses: Vec<_> = match lookup_host((target.server.as_str(), target.port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Outcome::NameUnknown(error.to_string()),
    };
    // One that swallows packets must not use up the time of the others.
    let share = deadline / u32::try_from(addresses.len() + 1).unwrap_or(u32::MAX);
    let patience = if addresses.len() == 1 { deadline } else { share };
    let mut outcome = Outcome::NameUnknown("the name server knows none".into());
    for address in addresses {
        let asked = async {
            match TcpStream::connect(address).await {
                Ok(stream) => call(stream, target.version).await,
                Err(error) => classify(&error),
            }
        };
        outcome = timeout(patience, asked).await.unwrap_or(Outcome::TimedOut);
        if outcome.reachable() {
            break;
        }
    }
    outcome
}

async fn call(mut stream: TcpStream, version: u32) -> Outcome {
    let exchange = async {
        stream.write_all(&null_call(XID, version)).await?;
        read_record(&mut stream).await
    };
    match exchange.await {
        Ok(Some(record)) => match read_reply(XID, &record) {
            Reply::Done => Outcome::Answered,
            Reply::Versions(low, high) => Outcome::OtherVersions(low, high),
            Reply::Refused(cause) | Reply::Garbage(cause) => Outcome::NotNfs(cause.into()),
        },
        Ok(None) => Outcome::NotNfs("what it answers is no ONC RPC reply".into()),
        Err(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Outcome::NotNfs("it closes the connection".into())
            }
            _ => classify(&error),
        },
    }
}

/// All fragments of one record; None where its lengths cannot be those of an answer to us.
async fn read_record(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut record = Vec::new();
    loop {
        let mark = stream.read_u32().await?;
        let length = usize::try_from(mark & !LAST_FRAGMENT).unwrap_or(usize::MAX);
        if length > REPLY_BYTES_MAX - record.len() || (length == 0 && mark & LAST_FRAGMENT == 0) {
            return Ok(None);
        }
        let start = record.len();
        record.resize(start + length, 0);
        stream.read_exact(&mut record[start..]).await?;
        if mark & LAST_FRAGMENT != 0 {
            return Ok(Some(record));
        }
    }
}

fn classify(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        io::ErrorKind::TimedOut => Outcome::TimedOut,
        _ => Outcome::NoRoute(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_millis(300);

    /// A listener that answers the first connection with `answer`; None: never.
    async fn server(answer: Option<Vec<u8>>) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 44];
            stream.read_exact(&mut request).await.unwrap();
            match answer {
                Some(answer) => stream.write_all(&answer).await.unwrap(),
                None => std::future::pending().await,
            }
        });
        Target { server: "127.0.0.1".into(), port, version: 4 }
    }

    fn record(words: &[u32]) -> Vec<u8> {
        let length = u32::try_from(words.len() * 4).unwrap() | LAST_FRAGMENT;
        [&[length], words].concat().into_iter().flat_map(u32::to_be_bytes).collect()
    }

    #[tokio::test]
    async fn a_server_that_runs_null_is_reachable() {
        let target = server(Some(record(&[XID, 1, 0, 0, 0, 0]))).await;
        assert_eq!(ask(&target, SOON).await, Outcome::Answered);
    }

    #[tokio::test]
    async fn a_server_of_another_version_is_an_nfs_server_all_the_same() {
        let target = server(Some(record(&[XID, 1, 0, 0, 0, 2, 3, 3]))).await;
        let outcome = ask(&target, SOON).await;
        assert_eq!(outcome, Outcome::OtherVersions(3, 3));
        assert!(outcome.reachable() && outcome.message(&target).contains("speaks versions 3 to 3, not 4"));
    }

    #[tokio::test]
    async fn an_answer_in_two_fragments_is_put_together() {
        let whole = record(&[XID, 1, 0, 0, 0, 0]);
        let mut parts = vec![0, 0, 0, 8];
        parts.extend(&whole[4..12]);
        parts.extend([0x80, 0, 0, 16]);
        parts.extend(&whole[12..]);
        let target = server(Some(parts)).await;
        assert_eq!(ask(&target, SOON).await, Outcome::Answered);
    }

    #[tokio::test]
    async fn another_protocol_is_told_apart() {
        let target = server(Some(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).await;
        assert_eq!(ask(&target, SOON).await.reason(), "NotNfs");
        let closes = server(Some(Vec::new())).await;
        assert_eq!(ask(&closes, SOON).await.reason(), "NotNfs");
        let endless = server(Some(vec![0; 4096])).await;
        assert_eq!(ask(&endless, SOON).await.reason(), "NotNfs", "empty fragments without end");
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let target = Target { server: "127.0.0.1".into(), port, version: 4 };
        assert_eq!(ask(&target, SOON).await, Outcome::Refused);
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up_at_the_deadline() {
        let target = server(None).await;
        let start = std::time::Instant::now();
        assert_eq!(ask(&target, SOON).await, Outcome::TimedOut);
        assert!(start.elapsed() < SOON * 3, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_name_without_address_is_said_to_have_none() {
        // A label of more than 63 characters is refused by the resolver itself: no packet leaves this machine.
        let target = Target { server: "a".repeat(70), port: 2049, version: 4 };
        assert_eq!(ask(&target, Duration::from_secs(5)).await.reason(), "NameUnknown");
    }

    #[test]
    fn no_route_has_a_reason_of_its_own() {
        for errno in [113, 101] {
            assert_eq!(classify(&io::Error::from_raw_os_error(errno)).reason(), "NoRoute", "errno {errno}");
        }
    }
}
