//! Waiting for something, with a deadline.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Asks again and again until there is an answer; fails after `within`.
///
/// `what` is the end of the sentence "waited in vain for ..". `probe` gives
/// `None` while there is nothing yet; an error ends the wait.
pub async fn eventually<T, F>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let began = Instant::now();
    // Quick at first, so that a test loses no time; then considerate.
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = probe().await? {
            return Ok(answer);
        }
        if began.elapsed() > within {
            bail!("waited {within:?} in vain for {what}");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Calls something that blocks, from a test on a runtime of several threads.
pub(crate) fn blocking<T>(call: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(call)
}
