//! Logs are set up here and nowhere else.

use std::io::IsTerminal;

/// Logs go to standard error; `MYPAY_LOG` filters them (default `info`).
///
/// A terminal gets readable lines; a file or a pipe gets one JSON object a
/// line, so that a log collector needs no parser of its own.
pub(crate) fn init() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MYPAY_LOG").unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new("info,rdkafka=warn,librdkafka=warn,sqlx=warn")
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
