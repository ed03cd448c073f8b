//! What giving a message up does: a function of what is known of it.

/// What giving a message up does besides taking it out of its queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Its id is done, with this content.
    Ends(Vec<u8>),
    /// Nothing: the id is another message's.
    Leaves,
}

/// What giving a message up does; or why it cannot be given up.
pub(super) fn effect(
    parked: Option<&[u8]>,
    known: Option<(&str, &[u8])>,
    rivals: bool,
) -> Result<Effect, &'static str> {
    match (parked, known) {
        // It dies of the conflict when it comes again.
        (Some(ours), Some((_, theirs))) if ours != theirs => Ok(Effect::Leaves),
        (_, Some(("waiting", theirs))) => Ok(Effect::Ends(theirs.to_vec())),
        (_, Some(("done", _))) => Err(
            "is done already, so that it cannot be given up; `mypay dlq redrive` takes it out of its queue",
        ),
        (_, Some(_)) => Err(
            "is in progress, so that it cannot be given up; `mypay dlq redrive` takes it out of its queue",
        ),
        // Whichever of them were done, the other one could never be.
        (Some(_), None) if rivals => Ok(Effect::Leaves),
        (Some(ours), None) => Ok(Effect::Ends(ours.to_vec())),
        (None, None) => Err(
            "was parked before contents were kept, so that it could not be told when it comes again; redrive it instead (`mypay dlq redrive`), which keeps its content or handles it",
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_is_done_unless_the_id_is_another_message_s() {
        const OURS: &[u8] = b"1";
        const OTHER: &[u8] = b"2";
        let ends = Ok(Effect::Ends(OURS.to_vec()));
        assert_eq!(effect(Some(OURS), None, false), ends);
        assert_eq!(effect(Some(OURS), Some(("waiting", OURS)), true), ends);
        assert_eq!(effect(None, Some(("waiting", OURS)), false), ends);
        assert_eq!(effect(Some(OURS), None, true), Ok(Effect::Leaves));
        for status in ["waiting", "processing", "done"] {
            let other = effect(Some(OURS), Some((status, OTHER)), false);
            assert_eq!(other, Ok(Effect::Leaves));
        }
        for status in ["processing", "done"] {
            assert!(effect(Some(OURS), Some((status, OURS)), false).is_err());
            assert!(effect(None, Some((status, OURS)), false).is_err());
        }
        assert!(effect(None, None, false).unwrap_err().contains("redrive"));
    }
}
