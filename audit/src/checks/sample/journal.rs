use super::*;

pub(super) fn journal(data: &mut Data) {
    let accounts = [
        (
            CASH,
            AccountKind::CorporateCash,
            bank_owner("004").as_u128(),
            -1_006_830,
        ),
        (IN_TRANSIT, AccountKind::InTransit, 0, 7_000),
        (PAYABLE, AccountKind::FranchisePayable, FRANCHISE, 0),
        (COMMISSION, AccountKind::Commission, 0, 30),
        (FEE_EXPENSE, AccountKind::FirmbankingFee, 0, -4 * FEE),
        (CAPITAL, AccountKind::Capital, 0, 1_000_000),
        (SUSPENSE, AccountKind::Suspense, 0, -4_000),
        (FEE_INCOME, AccountKind::RemittanceFee, 0, 1_000),
    ];
    for (account, kind, owner, balance) in accounts {
        let system = System {
            kind: kind.number(),
            owner,
            balance,
        };
        data.ledger.system.insert(account, system);
    }
    let answered = |id| derived(id, "bank answered");
    use EntryKind::{
        FirmbankingFee, Opening, Payment, Recharge, Remittance, RemittanceOut, Settlement,
        Transfer, TransitConfirmed,
    };
    let mut entries = vec![
        (id(900), 0, Opening, CASH, CAPITAL, 1_000_000),
        (REMITTED, 0, Remittance, MEMBER, RECEIVER, 1_000),
        (PAID_OUT, 0, RemittanceOut, MEMBER, IN_TRANSIT, 5_000),
        (PAID_OUT, 1, RemittanceOut, MEMBER, FEE_INCOME, 500),
        (
            answered(PAID_OUT),
            0,
            TransitConfirmed,
            IN_TRANSIT,
            CASH,
            5_000,
        ),
        (AWAITING, 0, RemittanceOut, MEMBER, IN_TRANSIT, 7_000),
        (AWAITING, 1, RemittanceOut, MEMBER, FEE_INCOME, 500),
        (PAID, 0, Payment, MEMBER, PAYABLE, 3_000),
        (RECHARGED, 0, Recharge, CASH, MEMBER, 20_000),
        (payout(), 0, Settlement, PAYABLE, COMMISSION, 30),
        (payout(), 1, Settlement, PAYABLE, IN_TRANSIT, 2_970),
        (
            answered(payout()),
            0,
            TransitConfirmed,
            IN_TRANSIT,
            CASH,
            2_970,
        ),
        (
            derived(DIRECT, "transfer"),
            0,
            Transfer,
            SUSPENSE,
            CASH,
            4_000,
        ),
    ];
    for command in [
        command_of(RECHARGED),
        command_of(PAID_OUT),
        command_of(payout()),
        DIRECT,
    ] {
        entries.push((
            derived(command, "fee"),
            0,
            FirmbankingFee,
            FEE_EXPENSE,
            CASH,
            FEE,
        ));
    }
    data.ledger.postings = entries
        .into_iter()
        .map(|(entry, line, kind, debit, credit, amount)| Posting {
            entry,
            debit,
            credit,
            amount,
            kind: kind as i16,
            line,
        })
        .collect();
    data.ledger.postings.sort_by_key(Posting::order);
}
