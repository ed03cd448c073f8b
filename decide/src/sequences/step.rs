//! What can happen, by numbers that are taken modulo what there is.

use proptest::prelude::*;

/// One thing that happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Two lanes decide at once, each on what it has loaded before either commits.
    Lanes {
        lanes: [Vec<Request>; 2],
        /// A member whom somebody closes between the loading and the commits.
        closed: Option<usize>,
    },
    /// One of the messages that lie on the topics is handled.
    Handle(usize),
    /// One that was handled before comes again.
    Again(usize),
    /// A bank gets one of the commands that it has not got.
    Call(usize, Call),
    /// A bank is asked what became of a command that it did not answer.
    Inquire(usize),
    /// A bank undoes a payout that it had done.
    Reverse(usize),
    /// Operators undo a payout that its bank has done.
    Undo(usize),
    /// A run: of all franchises or of one, up to so many slips and cancels ago.
    Settle {
        franchise: Option<usize>,
        ago: usize,
        in_the_future: bool,
    },
    /// Staff sets a franchise's commission, in hundredths of a percent.
    Rate(usize, i32),
    /// Staff holds a franchise's payouts back, or releases them.
    Hold(usize),
    /// A contract is in force from now on, or suspended.
    Contract(usize, bool),
    /// A contract names another account of ours from now on.
    Account(usize),
    /// Staff closes a member or a franchise, or, once more, one to whom money came back.
    Close {
        who: usize,
        pays_out: bool,
        once_more: bool,
    },
    /// The next day in Korea.
    Tomorrow,
}

/// What a bank does with a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// Whether it moves the money.
    pub(super) does: bool,
    /// Whether its answer reaches us.
    pub(super) answers: bool,
    /// What it takes, whole won.
    pub(super) fee: i64,
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Recharge {
        member: usize,
        amount: i64,
    },
    Remit {
        from: usize,
        to: usize,
        amount: i64,
    },
    PayOut {
        from: usize,
        bank: usize,
        amount: i64,
    },
    Pay {
        member: usize,
        franchise: usize,
        amount: i64,
    },
    /// Of the rest where there is no amount.
    Cancel {
        payment: usize,
        amount: Option<i64>,
        foreign: bool,
    },
    /// Staff moves our own money: to our account at the other bank, or to others.
    Direct {
        from: usize,
        to_ours: bool,
        amount: i64,
    },
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let which = || any_of(64);
    prop_oneof![
        8 => (requests(), prop_oneof![Just(Vec::new()), requests()], prop::option::weighted(0.1, which()))
            .prop_map(|(first, second, closed)| Step::Lanes { lanes: [first, second], closed }),
        10 => which().prop_map(Step::Handle),
        1 => which().prop_map(Step::Again),
        8 => (which(), call()).prop_map(|(which, call)| Step::Call(which, call)),
        2 => which().prop_map(Step::Inquire),
        2 => which().prop_map(Step::Reverse),
        1 => which().prop_map(Step::Undo),
        2 => (prop::option::weighted(0.3, which()), any_of(4), prop::bool::weighted(0.05))
            .prop_map(|(franchise, ago, in_the_future)| Step::Settle { franchise, ago, in_the_future }),
        1 => (which(), prop_oneof![Just(0), Just(250), 1..=10_000]).prop_map(|(whose, bps)| Step::Rate(whose, bps)),
        1 => which().prop_map(Step::Hold),
        1 => (which(), prop::bool::weighted(0.7)).prop_map(|(which, on)| Step::Contract(which, on)),
        1 => which().prop_map(Step::Account),
        1 => (which(), prop::bool::weighted(0.8), prop::bool::weighted(0.4))
            .prop_map(|(who, pays_out, once_more)| Step::Close { who, pays_out, once_more }),
        1 => Just(Step::Tomorrow),
    ]
}

fn any_of(count: usize) -> std::ops::Range<usize> {
    0..count
}

fn call() -> impl Strategy<Value = Call> {
    (
        prop::bool::weighted(0.75),
        prop::bool::weighted(0.8),
        prop_oneof![Just(0_i64), Just(300)],
    )
        .prop_map(|(does, answers, fee)| Call { does, answers, fee })
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    prop::collection::vec(request(), 1..5)
}

fn request() -> impl Strategy<Value = Request> {
    let who = || any_of(64);
    prop_oneof![
        5 => (who(), amount()).prop_map(|(member, amount)| Request::Recharge { member, amount }),
        4 => (who(), who(), amount()).prop_map(|(from, to, amount)| Request::Remit { from, to, amount }),
        3 => (who(), who(), amount()).prop_map(|(from, bank, amount)| Request::PayOut { from, bank, amount }),
        4 => (who(), who(), amount())
            .prop_map(|(member, franchise, amount)| Request::Pay { member, franchise, amount }),
        3 => (who(), prop::option::weighted(0.6, amount()), prop::bool::weighted(0.05))
            .prop_map(|(payment, amount, foreign)| Request::Cancel { payment, amount, foreign }),
        1 => (who(), prop::bool::ANY, 1_i64..100_000)
            .prop_map(|(from, to_ours, amount)| Request::Direct { from, to_ours, amount }),
    ]
}

/// Small ones, those that come near a limit, and those that none may ask for.
fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => 1_i64..30_000,
        5 => Just(10_000_i64),
        5 => 30_000_i64..105_000,
        1 => Just(299_500_i64),
        1 => Just(1_i64),
        1 => prop_oneof![Just(0_i64), Just(-1), Just(i64::MIN), Just(i64::MAX)],
    ]
}
