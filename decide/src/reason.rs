//! Why a request is rejected.

/// The reason code of a rejection, part of the contract with clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The amount is zero, negative or beyond what any request may move.
    InvalidAmount,
    /// A bank's code is not three digits.
    InvalidBankCode,
    /// An account number has not 6 to 20 digits, or something else than digits, dashes
    /// and blanks.
    InvalidAccountNumber,
    /// The name of an account's holder is empty, too long, or has characters that
    /// nobody sees.
    InvalidHolderName,
    /// The order number is empty, too long or not on one line.
    InvalidOrderRef,
    /// The purpose of a command is empty, too long or not on one line.
    InvalidPurpose,
    /// Why a payment is cancelled, or a membership closed, is empty, too long or not on
    /// one line.
    InvalidReason,
    /// The cut is no instant, or before 1970.
    InvalidCut,
    /// A command pays to the account that it draws from.
    SameAccount,
    /// A flow's payout goes to an account of ours: nothing would book what came in there.
    ReceiverIsOurs,
    /// The id carries no time (UUID version 7 is needed).
    IdWithoutTime,
    /// The id's time is older than what `queue_log` remembers.
    PastHorizon,
    /// The id's time lies in the future.
    IdFromTheFuture,
    /// There is no such member, or the member is closed.
    UnknownMember,
    /// There is no such receiver, or the receiver is closed.
    UnknownReceiver,
    /// There is no such franchise, or it is closed.
    UnknownFranchise,
    /// Sender and receiver are the same.
    SameMember,
    /// The balance is smaller than the amount and its fee.
    InsufficientFunds,
    /// The balance would pass its cap.
    BalanceCapExceeded,
    /// A direct recharge below the minimum.
    BelowRechargeMinimum,
    /// A single remittance above the maximum.
    RemittanceLimitExceeded,
    /// The day's remittances would pass their limit.
    DailyLimitExceeded,
    /// The member has no registered bank account.
    NoBankAccount,
    /// There is no contract in force with that bank.
    NoContract,
    /// Neither side of the command is an account of ours.
    NotOurAccount,
    /// A purpose kept for our own flows, without a request of theirs behind it.
    UnknownOrigin,
    /// There is no such payment, or it was rejected.
    UnknownPayment,
    /// The payment is asked for and not decided yet: it can be cancelled once it is made.
    PaymentInProgress,
    /// The payment is another member's or another franchise's.
    ForeignPayment,
    /// Nothing of the payment is left to refund.
    AlreadyCancelled,
    /// The refund is more than what is left of the payment.
    CancelExceedsPayment,
    /// The cut lies in the future.
    CutInTheFuture,
    /// The member is closed, and nothing is kept for it.
    MemberClosed,
    /// A closing of the member waits for its bank.
    ClosingUnderWay,
    /// A recharge of the member waits for its bank, or a top-up is under way.
    RechargePending,
    /// A payout of the member's or to the franchise waits for its bank.
    PayoutPending,
    /// The member has money, and the closing was not to pay it out.
    BalanceNotEmpty,
    /// The franchise is owed something, owes something, or has slips that no run has settled.
    FranchiseNotSettled,
    /// The franchise's payouts are on hold.
    FranchiseOnHold,
    /// The franchise of the payment is closed.
    FranchiseClosed,
    /// The bank refused the command.
    RefusedByBank,
    /// The account does not belong to the holder named.
    HolderMismatch,
    /// Money is to go to an account that is not ours, and nobody said whose it is.
    MissingHolderName,
    /// The balance was too small, and the bank refused to top it up.
    TopUpRefused,
}

impl Reason {
    /// The code as it stands in results and in `queue_log`.
    pub const fn code(self) -> &'static str {
        match self {
            Reason::InvalidAmount => "invalid_amount",
            Reason::InvalidBankCode => "invalid_bank_code",
            Reason::InvalidAccountNumber => "invalid_account_number",
            Reason::InvalidHolderName => "invalid_holder_name",
            Reason::InvalidOrderRef => "invalid_order_ref",
            Reason::InvalidPurpose => "invalid_purpose",
            Reason::InvalidReason => "invalid_reason",
            Reason::InvalidCut => "invalid_cut",
            Reason::SameAccount => "same_account",
            Reason::ReceiverIsOurs => "receiver_is_ours",
            Reason::IdWithoutTime => "id_without_time",
            Reason::PastHorizon => "past_horizon",
            Reason::IdFromTheFuture => "id_from_the_future",
            Reason::UnknownMember => "unknown_member",
            Reason::UnknownReceiver => "unknown_receiver",
            Reason::UnknownFranchise => "unknown_franchise",
            Reason::SameMember => "same_member",
            Reason::InsufficientFunds => "insufficient_funds",
            Reason::BalanceCapExceeded => "balance_cap_exceeded",
            Reason::BelowRechargeMinimum => "below_recharge_minimum",
            Reason::RemittanceLimitExceeded => "remittance_limit_exceeded",
            Reason::DailyLimitExceeded => "daily_limit_exceeded",
            Reason::NoBankAccount => "no_bank_account",
            Reason::NoContract => "no_contract",
            Reason::NotOurAccount => "not_our_account",
            Reason::UnknownOrigin => "unknown_origin",
            Reason::UnknownPayment => "unknown_payment",
            Reason::PaymentInProgress => "payment_in_progress",
            Reason::ForeignPayment => "foreign_payment",
            Reason::AlreadyCancelled => "already_cancelled",
            Reason::CancelExceedsPayment => "cancel_exceeds_payment",
            Reason::CutInTheFuture => "cut_in_the_future",
            Reason::MemberClosed => "member_closed",
            Reason::ClosingUnderWay => "closing_under_way",
            Reason::RechargePending => "recharge_pending",
            Reason::PayoutPending => "payout_pending",
            Reason::BalanceNotEmpty => "balance_not_empty",
            Reason::FranchiseNotSettled => "franchise_not_settled",
            Reason::FranchiseOnHold => "franchise_on_hold",
            Reason::FranchiseClosed => "franchise_closed",
            Reason::RefusedByBank => "refused_by_bank",
            Reason::HolderMismatch => "holder_mismatch",
            Reason::MissingHolderName => "missing_holder_name",
            Reason::TopUpRefused => "top_up_refused",
        }
    }
}
