//! `mypay serve`: the HTTP edge.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use mypay_bank::{BankClient, ClientConfig};
use mypay_producers::edge::Edge;
use mypay_producers::producer::Settings;
use mypay_stack::Endpoints;
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
