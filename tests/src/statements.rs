//! Counts statements on their way to PostgreSQL: a proxy that reads along.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The code of a request for TLS, which comes in place of a start-up message.
const SSL_REQUEST: [u8; 4] = 80_877_103_i32.to_be_bytes();

/// What went by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Statements, those of the transaction's begin and end among them.
    pub statements: usize,
    /// Of these, the commits.
    pub commits: usize,
}

impl Counted {
    /// What went by since an earlier count.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            statements: self.statements - earlier.statements,
            commits: self.commits - earlier.commits,
        }
    }
}

#[derive(Default)]
struct Counts {
    statements: AtomicUsize,
    commits: AtomicUsize,
}

/// Stands before a database.
pub struct Proxy {
    /// The database's URL by way of the proxy.
    pub url: String,
    counts: Arc<Counts>,
}

impl Proxy {
    /// Listens for connections to the database at this URL.
    pub async fn before(url: &str) -> anyhow::Result<Self> {
        let address = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
        let address = address.split('/').next().unwrap_or(address).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = listener.local_addr()?.to_string();
        let counts = Arc::new(Counts::default());
        let proxy = Self {
            url: url.replace(&address, &own),
            counts: Arc::clone(&counts),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (address, counts) = (address.clone(), Arc::clone(&counts));
                tokio::spawn(async move {
                    // Ends with either side's connection.
                    let _ = serve(client, &address, &counts).await;
                });
            }
        });
        Ok(proxy)
    }

    /// What went by until now.
    pub fn counted(&self) -> Counted {
        Counted {
            statements: self.counts.statements.load(Ordering::SeqCst),
            commits: self.counts.commits.load(Ordering::SeqCst),
        }
    }
}

async fn serve(client: TcpStream, address: &str, counts: &Counts) -> anyhow::Result<()> {
    let server = TcpStream::connect(address).await.context("the database")?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    let answers =
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let questions = forward(from_client, to_server, counts).await;
    answers.abort();
    questions
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    counts: &Counts,
) -> anyhow::Result<()> {
    // Start-up messages have no type.
    loop {
        let body = body(&mut from).await?;
        send(&mut to, None, &body).await?;
        if !body.starts_with(&SSL_REQUEST) {
            break;
        }
    }
    loop {
        let kind = from.read_u8().await?;
        let body = body(&mut from).await?;
        // Execute of a prepared statement, or a simple query.
        if matches!(kind, b'E' | b'Q') {
            counts.statements.fetch_add(1, Ordering::SeqCst);
        }
        if kind == b'Q' && body.starts_with(b"COMMIT") {
            counts.commits.fetch_add(1, Ordering::SeqCst);
        }
        send(&mut to, Some(kind), &body).await?;
    }
}

/// A message without its length, which counts itself.
async fn body(from: &mut OwnedReadHalf) -> anyhow::Result<Vec<u8>> {
    let length = usize::try_from(from.read_u32().await?)?;
    let mut body = vec![0; length.checked_sub(4).context("a message's length")?];
    from.read_exact(&mut body).await?;
    Ok(body)
}

async fn send(to: &mut OwnedWriteHalf, kind: Option<u8>, body: &[u8]) -> anyhow::Result<()> {
    let mut message = Vec::with_capacity(body.len() + 5);
    message.extend(kind);
    message.extend_from_slice(&u32::try_from(body.len() + 4)?.to_be_bytes());
    message.extend_from_slice(body);
    Ok(to.write_all(&message).await?)
}
