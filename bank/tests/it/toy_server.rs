//! Servers that do just one thing wrong.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a request that it has read.
#[derive(Clone)]
pub(crate) enum Then {
    /// Writes these bytes and waits for the next request.
    Answer(Vec<u8>),
    /// Closes without a byte.
    Close,
    /// Sends an RST.
    Reset,
    /// Says nothing, for ever.
    Hang,
}

/// Serves one connection: each request is met with the next of `script`, after
/// which the listener is closed too, so that nobody can connect again.
pub(crate) async fn one_connection(script: Vec<Then>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        drop(listener);
        for then in script {
            read_request(&mut tcp).await;
            match then {
                Then::Answer(bytes) => tcp.write_all(&bytes).await.unwrap(),
                Then::Close => return,
                Then::Reset => return tcp.set_zero_linger().unwrap(),
                Then::Hang => std::future::pending().await,
            }
        }
        // Open, so that what follows is the client's to find out.
        std::future::pending::<()>().await;
    });
    address
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

pub(crate) fn http(status: &str, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json");
    format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn read_request(tcp: &mut TcpStream) {
    let mut seen = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = tcp.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the client hung up before its request was read");
        seen.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return;
            }
        }
    }
}
