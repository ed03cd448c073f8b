//! Connections that break off on command, at any byte of an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// How many bytes a connection lets out before it breaks; negative: it does not.
///
/// HTTP/1.1 answers one request at a time on a connection, so the bytes counted
/// from a handler are those of its own answer.
#[derive(Debug, Clone)]
pub(super) struct Cut(Arc<AtomicI64>);

impl Cut {
    fn never() -> Self {
        Self(Arc::new(AtomicI64::new(-1)))
    }

    /// Breaks the connection after so many bytes of the answer, headers included.
    pub(super) fn after(&self, bytes: u32) {
        self.0.store(i64::from(bytes), Ordering::Release);
    }
}

/// Accepts connections that can be cut.
pub(super) struct CuttableListener(pub(super) TcpListener);

/// A connection that can be cut.
pub(super) struct CuttableStream {
    tcp: TcpStream,
    cut: Cut,
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok((tcp, address)) => {
                    // Answers are small: without this each would wait for more of them.
                    let _ = tcp.set_nodelay(true);
                    return (
                        CuttableStream {
                            tcp,
                            cut: Cut::never(),
                        },
                        address,
                    );
                }
                Err(error) => {
                    // Out of file descriptors, mostly: it passes when others hang up.
                    tracing::warn!(%error, "the dummy bank could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().cut.clone()
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = self.cut.0.load(Ordering::Acquire);
        let allowed = match usize::try_from(left) {
            Err(_) => buf.len(),
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Ok(left) => left.min(buf.len()),
        };
        let written = Pin::new(&mut self.tcp).poll_write(cx, &buf[..allowed]);
        if let (true, Poll::Ready(Ok(written))) = (left > 0, &written) {
            self.cut.0.fetch_sub(*written as i64, Ordering::AcqRel);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
