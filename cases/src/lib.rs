//! What no bank can settle any more, and what people decide about it.
//!
//! A case is a command whose right to inquire has lapsed, or that the bank and we
//! know with different content; or a notice of a bank that fits no command of
//! ours. Everything that is known of it is shown ([`find`]); a named operator
//! decides, and says why ([`decide`]). A decision is a row: the workers apply it
//! in the commit that changes the command, once. A bank's own answer that comes
//! at the last moment wins: the decision is kept as overtaken, and says by what.
//!
//! A payout that was done is brought back in the same way ([`propose`], [`approve`]): by
//! a row of two operators' names, which the workers act on.

mod case;
mod decision;
mod invalid;
mod undo;

pub use case::{Case, Decided, Known, Step, find, list};
pub use decision::{DecideError, Decision, Standing, Verdict, decide, standing};
pub use invalid::{Invalid, check, check_words};
pub use undo::{Proposal, Undo, UndoError, approve, find_undo, propose};
