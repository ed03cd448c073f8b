//! Who asks, as a handler sees it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use mypay_auth::{Identity, Role};
use uuid::Uuid;

use super::access::not_yours;
use super::problem::Problem;
use crate::request::Owner;

/// Who asks: the layer of rights (`access.rs`) has put it there.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Identity);

impl Caller {
    pub(crate) fn new(identity: Identity) -> Self {
        Self(identity)
    }

    /// The member or franchise that asks; `None` for our own people.
    pub(crate) fn member_id(&self) -> Option<Uuid> {
        self.0.member_id()
    }

    /// The name under which something is set, placed or decided.
    pub(crate) fn name(&self) -> String {
        self.0.subject().to_owned()
    }

    /// As it is written into `queue_log`.
    pub(crate) fn requested_by(&self) -> String {
        self.0.to_string()
    }

    /// Whether a request that this one put in the queue is the caller's own, in
    /// whichever of its two roles.
    pub(crate) fn has_requested(&self, requested_by: Option<&str>) -> bool {
        let Some(id) = self.member_id() else {
            return true;
        };
        [Role::Member, Role::Franchise]
            .into_iter()
            .any(|role| requested_by == Some(&*format!("{role} {id}")))
    }

    /// Whether a payment between these two is the caller's business.
    pub(crate) fn is_party(&self, member_id: Uuid, franchise_id: Uuid) -> bool {
        match self.0.role() {
            Role::Member => self.member_id() == Some(member_id),
            Role::Franchise => self.member_id() == Some(franchise_id),
            Role::Staff | Role::Operator | Role::Auditor => true,
        }
    }

    /// Whether what a franchise pays us of its sales is the caller's business: the
    /// franchise's and our own people's, not that of the members who pay it.
    pub(crate) fn sees_commission_of(&self, franchise_id: Uuid) -> bool {
        self.0.role() != Role::Member || self.member_id() == Some(franchise_id)
    }

    /// Refuses to move the money of another than the member that asks. An owner
    /// that is no id at all is left to the check of the field.
    pub(crate) fn check_owner(&self, owner: Option<Owner<'_>>) -> Result<(), Problem> {
        let Some(own) = self.member_id() else {
            return Ok(());
        };
        let Some(owner) = owner else {
            return Err(not_yours());
        };
        match Uuid::try_parse(owner.id) {
            Ok(id) if id != own => Err(not_yours().at_pointer(format!("/{}", owner.field))),
            // One that is no id is left to the check of the field.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| {
            Problem::defect(&"a handler asks for a caller where nobody has to be one")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(role: Role, id: Uuid) -> Caller {
        Caller::new(Identity::new(role, &id.to_string()).unwrap())
    }

    #[test]
    fn a_member_moves_its_own_money_and_our_people_nobody_in_particular_s() {
        let own = Uuid::now_v7();
        let member = caller(Role::Member, own);
        let named = |id| {
            Some(Owner {
                field: "member_id",
                id,
            })
        };
        let upper = own.to_string().to_uppercase();
        assert!(member.check_owner(named(&upper)).is_ok());
        assert!(
            member.check_owner(named("no id")).is_ok(),
            "left to the field's check"
        );
        assert!(
            member
                .check_owner(named(&Uuid::now_v7().to_string()))
                .is_err()
        );
        assert!(
            member.check_owner(None).is_err(),
            "nobody's is not a member's"
        );
        let staff = Caller::new(Identity::new(Role::Staff, "kim").unwrap());
        assert!(staff.check_owner(None).is_ok());
    }

    #[test]
    fn a_payment_concerns_who_pays_and_who_is_paid() {
        let (payer, franchise) = (Uuid::now_v7(), Uuid::now_v7());
        assert!(caller(Role::Member, payer).is_party(payer, franchise));
        assert!(caller(Role::Franchise, franchise).is_party(payer, franchise));
        assert!(!caller(Role::Member, franchise).is_party(payer, franchise));
        assert!(!caller(Role::Franchise, payer).is_party(payer, franchise));
    }

    #[test]
    fn a_request_is_told_to_whoever_made_it() {
        let own = Uuid::now_v7();
        let member = caller(Role::Member, own);
        assert!(member.has_requested(Some(&member.requested_by())));
        assert!(member.has_requested(Some(&format!("franchise {own}"))));
        for other in [
            None,
            Some(""),
            Some(&*format!("staff {own}")),
            Some("member"),
        ] {
            assert!(!member.has_requested(other), "{other:?}");
        }
    }
}
