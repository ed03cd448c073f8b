//! Logs are set up here and nowhere else.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// What is logged where `MYPAY_LOG` says nothing.
const DEFAULT: &str = "info,rdkafka=warn,librdkafka=warn,sqlx=warn";

/// Logs go to standard error; `MYPAY_LOG` filters them (default `info`).
///
/// A terminal gets readable lines; a file or a pipe gets one JSON object a
/// line, so that a log collector needs no parser of its own.
///
/// # Errors
/// Where `MYPAY_LOG` is no filter: without it nobody would see why there are no logs.
pub(crate) fn init() -> anyhow::Result<()> {
    let wanted = std::env::var("MYPAY_LOG").unwrap_or_default();
    let wanted = Some(wanted.trim()).filter(|wanted| !wanted.is_empty());
    let filter: Targets = wanted.unwrap_or(DEFAULT).parse().with_context(|| {
        format!(
            "MYPAY_LOG is '{}': write a filter as in `info,mypay_consumers=debug`",
            wanted.unwrap_or_default()
        )
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = tracing_subscriber::registry().with(filter);
    if std::io::stderr().is_terminal() {
        logs.with(lines).init();
    } else {
        logs.with(lines.json().flatten_event(true)).init();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_default_is_a_filter_and_quiets_the_libraries() {
        let filter: Targets = DEFAULT.parse().unwrap();
        assert!(filter.would_enable("mypay_consumers::worker", &Level::INFO));
        assert!(!filter.would_enable("librdkafka", &Level::INFO));
        assert!(!filter.would_enable("mypay_consumers", &Level::DEBUG));
        assert!("info,=nonsense=".parse::<Targets>().is_err());
    }
}
