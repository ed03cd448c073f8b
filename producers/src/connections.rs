//! The connections of clients: how many are open, and how long a client may take.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::{Listener, ListenerExt};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Serves the connections of clients until `stop`, then finishes what is in flight.
///
/// At most `most` connections are open; others wait to be accepted, in the kernel's
/// queue, until one of those is closed. A client has `patience` for the header of a
/// request, from the end of the one before it on, and for taking an answer: so a
/// connection that says or takes nothing does not keep its place.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    (most, patience): (usize, Duration),
    stop: impl Future<Output = ()>,
) {
    // An answer is one small packet; waiting for more to send with it costs
    // 40 ms for nothing.
    let mut listener = listener.tap_io(move |connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        // Whoever asks, and does not read what is answered, is cut off by the kernel.
        #[cfg(target_os = "linux")]
        if let Err(error) = SockRef::from(&*connection).set_tcp_user_timeout(Some(patience)) {
            tracing::debug!(%error, "TCP_USER_TIMEOUT was not set");
        }
    });
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(patience);
    let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let ending = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await.0)
        };
        let (place, connection) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let served = protocol.serve_connection(TokioIo::new(connection), service);
        let served = ending.watch(served);
        tokio::spawn(async move {
            if let Err(error) = served.await {
                // A client that left, or took too long.
                tracing::debug!(%error, "a connection ended");
            }
            drop(place);
        });
    }
    // Whoever waits to be accepted is sent away.
    drop(listener);
    ending.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n";
    /// Longer than anything here takes.
    const LONG: Duration = Duration::from_secs(30);

    struct Edge {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        ended: JoinHandle<()>,
    }

    async fn edge(most: usize, patience: Duration) -> Edge {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = get(|| async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "slow"
        });
        // More than the buffers of both ends hold.
        let large = get(|| async { "x".repeat(64 << 20) });
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            .route("/large", large)
            .route("/slow", slow);
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(serve(listener, router, (most, patience), async {
            let _ = stopped.await;
        }));
        Edge {
            address,
            stop,
            ended,
        }
    }

    async fn answer(client: &mut TcpStream) -> String {
        let mut said = vec![0; 4_096];
        let length = timeout(LONG, client.read(&mut said)).await.unwrap();
        String::from_utf8(said[..length.unwrap()].to_vec()).unwrap()
    }

    /// Sends a request and reads its answer.
    async fn is_served(client: &mut TcpStream) {
        client.write_all(ASKED).await.unwrap();
        let said = answer(client).await;
        assert!(
            said.starts_with("HTTP/1.1 200") && said.ends_with("here"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_client_that_sends_half_a_header_is_cut_off() {
        let patience = Duration::from_millis(200);
        let edge = edge(8, patience).await;
        let mut client = TcpStream::connect(edge.address).await.unwrap();
        let began = Instant::now();
        // One header after the other, as an attacker does: the time is that of all.
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: edge\r\n")
            .await
            .unwrap();
        tokio::time::sleep(patience / 2).await;
        client.write_all(b"X-More: 1\r\n").await.unwrap();
        let mut said = Vec::new();
        // An end or a reset, and no answer.
        let _ = timeout(LONG, client.read_to_end(&mut said)).await.unwrap();
        assert!(!said.starts_with(b"HTTP/1.1 200"));
        assert!(began.elapsed() >= patience);
        // Others are served as before.
        is_served(&mut TcpStream::connect(edge.address).await.unwrap()).await;
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_the_next_request_and_not_for_ever() {
        let edge = edge(8, Duration::from_millis(500)).await;
        let mut client = TcpStream::connect(edge.address).await.unwrap();
        for _ in 0..3 {
            is_served(&mut client).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(answer(&mut client).await, "", "closed");
    }

    #[tokio::test]
    async fn a_client_beyond_the_bound_is_served_when_another_leaves() {
        let edge = edge(2, LONG).await;
        let mut first = TcpStream::connect(edge.address).await.unwrap();
        let mut second = TcpStream::connect(edge.address).await.unwrap();
        is_served(&mut first).await;
        is_served(&mut second).await;
        let mut third = TcpStream::connect(edge.address).await.unwrap();
        third.write_all(ASKED).await.unwrap();
        let mut said = [0; 1];
        let waits = timeout(Duration::from_millis(200), third.read(&mut said)).await;
        assert!(waits.is_err(), "it was served beyond the bound");
        drop(first);
        assert!(answer(&mut third).await.starts_with("HTTP/1.1 200"));
        is_served(&mut second).await;
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_client_that_takes_no_answer_loses_its_place() {
        let edge = edge(1, Duration::from_millis(500)).await;
        let mut deaf = TcpStream::connect(edge.address).await.unwrap();
        let large = b"GET /large HTTP/1.1\r\nHost: edge\r\n\r\n";
        deaf.write_all(large).await.unwrap();
        // It stays connected, and reads nothing.
        is_served(&mut TcpStream::connect(edge.address).await.unwrap()).await;
        drop(deaf);
    }

    #[tokio::test]
    async fn what_is_in_flight_is_answered_when_the_edge_stops() {
        let edge = edge(8, LONG).await;
        let mut idle = TcpStream::connect(edge.address).await.unwrap();
        is_served(&mut idle).await;
        let mut busy = TcpStream::connect(edge.address).await.unwrap();
        let slow = b"GET /slow HTTP/1.1\r\nHost: edge\r\n\r\n";
        busy.write_all(slow).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        edge.stop.send(()).unwrap();
        let said = answer(&mut busy).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert_eq!(answer(&mut idle).await, "", "closed");
        timeout(LONG, edge.ended).await.unwrap().unwrap();
        assert!(TcpStream::connect(edge.address).await.is_err());
    }
}
