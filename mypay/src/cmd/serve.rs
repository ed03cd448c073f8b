//! `mypay serve`: the HTTP edge.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use mypay_auth::{Checker, Sources};
use mypay_bank::{BankClient, ClientConfig};
use mypay_producers::edge::Edge;
use mypay_producers::producer::Settings;
use mypay_stack::{Endpoints, Stack};
use tokio::net::TcpListener;

/// The batcher and the relay hold a connection each; the others answer queries
/// and create members.
const CONNECTIONS: u32 = 16;

/// Serve the HTTP API until it is told to stop.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "MYPAY_API_LISTEN", default_value = "127.0.0.1:18080")]
    listen: SocketAddr,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let tokens = checker()?;
        let endpoints = Endpoints::discover()?;
        let pool = mypay_database::pool(&endpoints.database_url, CONNECTIONS)?;
        let mut stop = super::signals::stop();
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        let address = listener.local_addr()?;
        let bank = BankClient::new(ClientConfig::new(&endpoints.bank_url))?;
        let edge = Edge {
            pool,
            bank,
            tokens: Arc::new(tokens),
            settings: Settings {
                kafka_bootstrap: endpoints.kafka_bootstrap,
                registry_url: endpoints.registry_url,
                role: "edge",
                tries: None,
            },
        };
        if json {
            println!(
                "{}",
                serde_json::json!({ "listening": address.to_string() })
            );
        } else {
            println!("the API listens on http://{address}; its description: http://{address}/docs");
        }
        let stopped = async move {
            // An error means that nobody is left who could tell: stop as well.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        edge.serve(listener, stopped).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Without a key nobody could be told from anybody else: the edge does not start.
fn checker() -> anyhow::Result<Checker> {
    let sources = Sources::of_environment(Stack::of_this_checkout().token_key());
    let key = sources.key()?;
    if sources.is_local() {
        tracing::info!("tokens are checked with the local stack's own key");
    } else if sources.is_for_development() {
        tracing::warn!(
            "tokens are checked with the development secret of docker-compose.yml, which everybody \
             knows: set MYPAY_JWT_SECRET"
        );
    }
    Ok(Checker::new(key))
}
