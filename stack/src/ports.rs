//! Which ports the services of a home listen on.
//!
//! A block of ports in a row, chosen once and recorded, so that addresses
//! survive a restart. It lies below the kernel's range for outgoing
//! connections (32768 and up on Linux), from which a port could be taken at any
//! moment, and away from the servers' usual ones.

use std::net::TcpListener;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::address::{Addresses, HOST};
use crate::error::{Result, StackError};
use crate::home::{Home, write_whole};

/// Service and container port, in the order of their places in the block. New
/// ones go to the end: a recorded block must keep its meaning.
const SLOTS: [(&str, u16); 14] = [
    ("edge", 8080),
    ("bank", 8080),
    ("registry", 8080),
    ("registry", 9000),
    ("postgres", 5432),
    ("kafka-1", 19092),
    ("kafka-2", 29092),
    ("kafka-3", 39092),
    ("kafka-1", 9092),
    ("kafka-2", 9092),
    ("kafka-3", 9092),
    ("kafka-1", 9093),
    ("kafka-2", 9093),
    ("kafka-3", 9093),
];

/// Ports in a block; what the services do not use is free for growth.
const BLOCK: u16 = 20;
const LOWEST: u16 = 20_000;
const HIGHEST: u16 = 32_000;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ports {
    base: u16,
}

impl Ports {
    /// What was recorded for this home, if anything was.
    pub(crate) fn recorded(home: &Home) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(home.ports()).ok()?).ok()
    }

    /// The block of this home, chosen now if it has none yet. With `movable`
    /// (nothing of this home runs) a block that others have taken part of is
    /// given up for a new one.
    pub(crate) async fn choose(home: &Home, movable: bool) -> Result<Self> {
        let recorded = Self::recorded(home);
        let asked = std::env::var("MYPAY_PORT_BASE")
            .ok()
            .filter(|value| !value.is_empty());
        let ports = match (recorded, asked) {
            (Some(ports), _) if !movable => return Ok(ports),
            (_, Some(asked)) => match asked.parse() {
                Ok(base @ 1024..=65_000) => Self { base },
                _ => return Err(StackError::BadPortBase(asked)),
            },
            (Some(ports), None) if ports.none_taken(|_| true).await.is_ok() => return Ok(ports),
            _ => Self::find_free(home.path())?,
        };
        ports.none_taken(|_| true).await?;
        write_whole(
            &home.ports(),
            &serde_json::to_vec(&ports).unwrap_or_default(),
        )?;
        Ok(ports)
    }

    /// Begins at a place that depends on the home's path, so that two homes
    /// that start at the same moment do not race for the same block.
    fn find_free(home: &Path) -> Result<Self> {
        let blocks = (HIGHEST - LOWEST) / BLOCK;
        let start = (fnv1a(home.as_os_str().as_encoded_bytes()) % u64::from(blocks)) as u16;
        (0..blocks)
            .map(|step| Self {
                base: LOWEST + (start + step) % blocks * BLOCK,
            })
            .find(|ports| ports.is_free())
            .ok_or(StackError::NoPorts(BLOCK))
    }

    fn is_free(self) -> bool {
        self.slots().all(|(.., port)| is_free(port))
    }

    /// Refuses to start a service whose port another program holds.
    pub(crate) async fn check_free(self, service: &str) -> Result<()> {
        self.none_taken(|name| name == service).await
    }

    /// A process that was just killed may hold its ports for a moment yet.
    async fn none_taken(self, of: impl Fn(&str) -> bool) -> Result<()> {
        let taken = || {
            self.slots()
                .find(|(name, _, port)| of(name) && !is_free(*port))
        };
        for _ in 0..60 {
            if taken().is_none() {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        taken().map_or(Ok(()), |(name, _, port)| {
            Err(StackError::PortTaken {
                name: name.to_owned(),
                port,
            })
        })
    }

    fn slots(self) -> impl Iterator<Item = (&'static str, u16, u16)> {
        SLOTS
            .iter()
            .zip(self.base..)
            .map(|((name, inside), port)| (*name, *inside, port))
    }

    pub(crate) fn addresses(self) -> Addresses {
        Addresses::new(
            self.slots()
                .map(|(name, inside, port)| (name.to_owned(), inside, port)),
        )
    }

    /// The port by which clients reach a service: its first one.
    pub(crate) fn of(self, service: &str) -> Option<u16> {
        self.slots()
            .find(|(name, ..)| *name == service)
            .map(|(.., port)| port)
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self { base: 21_000 }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((HOST, port)).is_ok()
}

/// Stable across builds, unlike the standard library's hasher.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_fit_into_a_block_and_repeat_nothing() {
        assert!(SLOTS.len() <= usize::from(BLOCK));
        let distinct: std::collections::BTreeSet<_> = SLOTS.iter().collect();
        assert_eq!(distinct.len(), SLOTS.len());
    }

    #[test]
    fn a_block_that_is_taken_in_part_is_passed_over() {
        let home = Path::new("/somewhere/.mypay");
        let first = Ports::find_free(home).expect("free ports");
        let taken = TcpListener::bind((HOST, first.base + 3)).expect("was free");
        let second = Ports::find_free(home).expect("free ports");
        assert_ne!(first.base, second.base);
        drop(taken);
    }

    #[test]
    fn the_client_port_of_a_broker_is_the_host_listener() {
        let ports = Ports::for_tests();
        assert_eq!(
            ports.of("kafka-1"),
            ports.addresses().port("kafka-1", 19092).ok()
        );
    }
}
