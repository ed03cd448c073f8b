//! What no bank can settle any more, and what people decide about it.
//!
//! A case is a command whose right to inquire has lapsed, or that the bank and we
//! know with different content; or a notice of a bank that fits no command of
//! ours. Everything that is known of it is shown ([`find`]); a named operator
//! decides, and says why ([`decide`]). A decision is a row: the workers apply it
//! in the commit that changes the command, once. A bank's own answer that comes
//! at the last moment wins: the decision is kept as overtaken, and says by what.

mod case;
mod decision;
mod invalid;

pub use case::{Case, Decided, Known, Step, find, list};
pub use decision::{DecideError, Decision, Standing, Verdict, decide, standing};
pub use invalid::{Invalid, check};
