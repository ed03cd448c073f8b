//! W3C trace context, which messages carry in their headers.

/// A `traceparent` of version 00, where what somebody sent is one.
///
/// It is kept in tables and sent on, so nothing else may pass for one.
pub fn traceparent(written: &str) -> Option<String> {
    let hex = |part: &str, length| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = written.split('-');
    let fits = parts.next() == Some("00")
        && parts.next().is_some_and(|trace| hex(trace, 32))
        && parts.next().is_some_and(|span| hex(span, 16))
        && parts.next().is_some_and(|flags| hex(flags, 2))
        && parts.next().is_none();
    fits.then(|| written.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_traceparent_passes() {
        let good = format!("00-{}-{}-01", "a".repeat(32), "b".repeat(16));
        assert_eq!(traceparent(&good), Some(good.clone()));
        assert_eq!(traceparent(&good.replacen('a', "\0", 1)), None);
        assert_eq!(traceparent(&good.to_uppercase()), None);
        assert_eq!(traceparent(""), None);
    }
}
