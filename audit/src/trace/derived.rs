//! The ids that we derive from others.

use mypay_decide::firmbanking::direct_reversal_id;
use mypay_schemas::Flow;
use mypay_schemas::firmbanking::{RESERVED, id_of_command};
use mypay_schemas::identity::derive;
use mypay_schemas::payment::id_of_continuation;
use mypay_schemas::recharge::id_of_top_up;
use mypay_schemas::reversal::reversal_id;
use uuid::Uuid;

use super::Member;

/// All ids that can be derived from one, whether there is anything under them or not.
pub(super) fn from(cause: Uuid) -> Vec<Member> {
    let member = |id, what: &str| Member {
        id,
        what: what.to_string(),
    };
    let mut members = vec![
        member(derive(cause, "result"), "result"),
        member(reversal_id(cause), "reversal"),
        member(id_of_continuation(cause), "continuation of the payment"),
        member(derive(cause, "closing payout"), "payout of the closing"),
        member(derive(cause, "bank answered"), "entry of the bank's answer"),
        member(derive(cause, "transfer"), "entry of the direct command"),
        member(derive(cause, "fee"), "entry of the bank's fee"),
        member(direct_reversal_id(cause), "entry of the reversal"),
    ];
    members.extend(RESERVED.map(|purpose| {
        let what = format!("command of the {purpose}");
        member(id_of_command(purpose, cause), &what)
    }));
    let topped_up = [Flow::Remittance, Flow::Payment];
    members.extend(topped_up.map(|flow| {
        let what = format!("recharge that tops up the {flow}");
        member(id_of_top_up(flow, cause), &what)
    }));
    members
}

/// Those of `causes` that an id is derived from, be it by way of another one.
pub(super) fn cause_of(id: Uuid, causes: &[Uuid]) -> Option<Uuid> {
    let is = |member: &Member| member.id == id;
    let direct = causes.iter().find(|cause| from(**cause).iter().any(is));
    let by_way_of = || {
        let of_one = |cause: &&Uuid| from(**cause).iter().any(|it| from(it.id).iter().any(is));
        causes.iter().find(of_one)
    };
    direct.or_else(by_way_of).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_also_by_way_of_the_command() {
        let (cause, other) = (Uuid::now_v7(), Uuid::now_v7());
        let command = id_of_command("recharge", cause);
        let result = derive(command, "result");
        for id in [command, result, derive(command, "fee")] {
            assert_eq!(cause_of(id, &[other, cause]), Some(cause));
        }
        assert_eq!(cause_of(Uuid::now_v7(), &[other, cause]), None);
    }

    #[test]
    fn no_two_have_the_same_id() {
        let members = from(Uuid::now_v7());
        let mut ids: Vec<Uuid> = members.iter().map(|member| member.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), members.len());
    }
}
