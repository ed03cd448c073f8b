//! A second ledger, for the model test: what must come of requests, by the rules
//! of the domain alone.
//!
//! Written apart from the code under test: nothing here may use `mypay-decide` or
//! `mypay-ledger`, and the figures are those of the README and the domain. What a
//! bank does with a command is the bank's to say, so the model takes that from the
//! bank's own book ([`truth`]), and from nowhere else.
//!
//! Messages of one key are handled in the order in which they were sent; nothing
//! else about the order is promised. So the model is asked only for what must come
//! true in *every* order ([`certain`]): a round of requests is drawn so that each
//! one's outcome is the same whenever the others' effects and the banks' answers
//! come. The next round begins when all is quiet. Members leave between two rounds:
//! what is asked in their name while they do would depend on the order.

pub mod certain;
pub mod draw;
pub mod ends;
pub mod ledger;
pub mod town;
pub mod truth;

/// A second ledger that shared the first one's code would share its defects.
#[cfg(test)]
mod tests {
    #[test]
    fn the_second_ledger_is_written_apart() {
        let files = [
            include_str!("model/certain.rs"),
            include_str!("model/draw.rs"),
            include_str!("model/draw/closings.rs"),
            include_str!("model/draw/payments.rs"),
            include_str!("model/draw/top_ups.rs"),
            include_str!("model/ends.rs"),
            include_str!("model/ledger.rs"),
            include_str!("model/ledger/closings.rs"),
            include_str!("model/ledger/day.rs"),
            include_str!("model/ledger/told.rs"),
            include_str!("model/ledger/top_ups.rs"),
            include_str!("model/town.rs"),
            include_str!("model/truth.rs"),
        ];
        for file in files {
            for crate_name in ["mypay_decide", "mypay_ledger", "mypay_consumers"] {
                assert!(!file.contains(crate_name), "{crate_name}");
            }
        }
    }
}
