//! Is a server ready? Each is asked in its own protocol: the kernel accepts
//! connections for a process that hangs or was stopped.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::address::HOST;
use crate::error::{Result, StackError};
use crate::home::Home;
use crate::launch::died;
use crate::record::Record;

const ONE_ANSWER: Duration = Duration::from_secs(2);

/// How to ask a server whether it is ready.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    /// Broker at this port.
    Kafka(u16),
    /// PostgreSQL at this port, with a database and its user.
    Postgres {
        port: u16,
        user: String,
        database: String,
    },
    /// Any 2xx answer at this URL.
    Http(String),
}

impl Probe {
    /// One question, one answer.
    pub(crate) async fn ready(&self) -> bool {
        let answer = async {
            match self {
                Self::Kafka(port) => kafka(*port).await.unwrap_or(false),
                Self::Postgres {
                    port,
                    user,
                    database,
                } => postgres(*port, user, database).await.unwrap_or(false),
                Self::Http(url) => reqwest::get(url)
                    .await
                    .is_ok_and(|answer| answer.status().is_success()),
            }
        };
        tokio::time::timeout(ONE_ANSWER, answer)
            .await
            .unwrap_or(false)
    }

    /// Asks until the server is ready, it dies, or the time is over.
    pub(crate) async fn wait(&self, home: &Home, record: &Record, limit: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        while !self.ready().await {
            if !record.identity.is_alive() {
                return Err(died(home, &record.name));
            }
            if tokio::time::Instant::now() > deadline {
                return Err(StackError::NotReady {
                    name: record.name.clone(),
                    seconds: limit.as_secs(),
                    log: home.log(&record.name),
                    tail: home.log_tail(&record.name, 15),
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// Sends `ApiVersions` (key 18, version 0, which every broker answers). A
/// broker opens its client listeners only when the controller has unfenced it.
async fn kafka(port: u16) -> std::io::Result<bool> {
    const CORRELATION: i32 = 7;
    let mut request = Vec::new();
    request.extend_from_slice(&10_i32.to_be_bytes());
    request.extend_from_slice(&18_i16.to_be_bytes());
    request.extend_from_slice(&0_i16.to_be_bytes());
    request.extend_from_slice(&CORRELATION.to_be_bytes());
    request.extend_from_slice(&(-1_i16).to_be_bytes()); // no client id
    let mut stream = TcpStream::connect((HOST, port)).await?;
    stream.write_all(&request).await?;
    let _length = stream.read_i32().await?;
    let correlation = stream.read_i32().await?;
    let error_code = stream.read_i16().await?;
    Ok(correlation == CORRELATION && error_code == 0)
}

/// Begins a session, as `pg_isready` does: a server that asks for the password
/// (`R`) takes clients; one that still starts or recovers says so (`E`).
async fn postgres(port: u16, user: &str, database: &str) -> std::io::Result<bool> {
    const PROTOCOL_3_0: i32 = 196_608;
    let parameters = format!("user\0{user}\0database\0{database}\0\0");
    let length = 8 + parameters.len() as i32;
    let mut request = Vec::new();
    request.extend_from_slice(&length.to_be_bytes());
    request.extend_from_slice(&PROTOCOL_3_0.to_be_bytes());
    request.extend_from_slice(parameters.as_bytes());
    let mut stream = TcpStream::connect((HOST, port)).await?;
    stream.write_all(&request).await?;
    let kind = stream.read_u8().await?;
    // Read to its end: hanging up on an unread answer is an error in its log.
    let length = stream.read_i32().await?;
    let mut rest = vec![0; usize::try_from(length - 4).unwrap_or(0).min(8192)];
    stream.read_exact(&mut rest).await?;
    Ok(kind == b'R')
}
