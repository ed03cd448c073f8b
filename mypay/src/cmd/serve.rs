//! `mypay serve`: the HTTP edge.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use mypay_auth::{Checker, Provenance, Sources};
use mypay_bank::{BankClient, ClientConfig};
use mypay_producers::edge::{Bounds, Edge};
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
    /// How many connections of clients are open at once; others wait in line.
    #[arg(
        long, env = "MYPAY_API_CONNECTIONS", default_value_t = 800,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    connections: u32,
    /// How long a client may take for a request's header, for its body, and from one
    /// request of a connection to the next. All of a request has 20 s.
    #[arg(
        long, env = "MYPAY_API_CLIENT_SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=20)
    )]
    client_seconds: u64,
    /// How often a day, Korean time, a member may have a bank asked whose an account
    /// is, to register it.
    #[arg(
        long, env = "MYPAY_API_REGISTRATIONS", default_value_t = 20,
        value_parser = clap::value_parser!(i32).range(1..)
    )]
    registrations: i32,
    /// Take a development key that everybody knows, or the local stack's, on an
    /// address that others reach: where something else keeps them out.
    #[arg(long, env = "MYPAY_API_DEVELOPMENT_KEY")]
    development_key: bool,
}

impl Args {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<ExitCode> {
        let tokens = self.checker()?;
        let endpoints = Endpoints::discover()?;
        let pool = mypay_database::pool(&endpoints.database_url, CONNECTIONS)?;
        let mut stop = super::signals::stop();
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        let address = listener.local_addr()?;
        let bank = BankClient::new(ClientConfig::of_environment(&endpoints.bank_url)?)?;
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
            bounds: Bounds {
                connections: self.connections as usize,
                client: Duration::from_secs(self.client_seconds),
                registrations: self.registrations,
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

    /// Without a key nobody could be told from anybody else, and with one that others
    /// may have, neither: the edge does not start.
    fn checker(&self) -> anyhow::Result<Checker> {
        let sources = Sources::of_environment(Stack::of_this_checkout().token_key());
        let key = sources.key()?;
        match key.provenance() {
            Provenance::Own => {}
            of_development if !is_local(self.listen) && !self.development_key => {
                bail!(refusal(of_development, self.listen));
            }
            Provenance::LocalStack => {
                tracing::info!("tokens are checked with the local stack's own key");
            }
            Provenance::Published => tracing::warn!(
                "tokens are checked with a development secret, which everybody knows: set \
                 MYPAY_JWT_SECRET"
            ),
        }
        Ok(Checker::new(key))
    }
}

/// Whether only this machine reaches an address.
fn is_local(listen: SocketAddr) -> bool {
    listen.ip().to_canonical().is_loopback()
}

fn refusal(provenance: Provenance, listen: SocketAddr) -> String {
    let (whose, why) = match provenance {
        Provenance::LocalStack => (
            "the local stack's key",
            "whoever can read its files can make tokens of every role",
        ),
        Provenance::Published | Provenance::Own => (
            "a development secret",
            "everybody knows it and can make tokens of every role",
        ),
    };
    format!(
        "the edge would check tokens with {whose} on {listen}, which others may reach: {why}. Set \
         MYPAY_JWT_SECRET or MYPAY_JWT_SECRET_FILE to a secret of its own (HS256, `openssl rand \
         -hex 32`), or MYPAY_JWT_PUBLIC_KEY_FILE to an identity provider's key; or listen on \
         127.0.0.1 (--listen, MYPAY_API_LISTEN). Where something else keeps others out, say so \
         with MYPAY_API_DEVELOPMENT_KEY=true"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_s_own_addresses_are_local() {
        for (address, local) in [
            ("127.0.0.1:1", true),
            ("127.8.9.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.0.7:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(is_local(address.parse().unwrap()), local, "{address}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_set() {
        for provenance in [Provenance::LocalStack, Provenance::Published] {
            let said = refusal(provenance, "0.0.0.0:8080".parse().unwrap());
            for named in [
                "0.0.0.0:8080",
                "MYPAY_JWT_SECRET ",
                "MYPAY_JWT_SECRET_FILE",
                "MYPAY_JWT_PUBLIC_KEY_FILE",
                "MYPAY_API_LISTEN",
                "MYPAY_API_DEVELOPMENT_KEY",
            ] {
                assert!(said.contains(named), "{said}");
            }
        }
    }
}
