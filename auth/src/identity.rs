//! Roles, and who is behind a token.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The longest name of somebody who is no member, in characters: it is written
/// into `set_by`, `placed_by` and the like.
const NAME_MAX: usize = 60;

/// As what somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A customer, or a merchant as a customer: its own money.
    Member,
    /// A merchant: its own slips, statements and payouts.
    Franchise,
    /// Looks after members, franchises and contracts.
    Staff,
    /// Works at the banks: cases, decisions, direct commands.
    Operator,
    /// Reads everything, changes nothing.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Member,
        Self::Franchise,
        Self::Staff,
        Self::Operator,
        Self::Auditor,
    ];

    /// As a token writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Franchise => "franchise",
            Self::Staff => "staff",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }

    /// Whether somebody in this role is a member, whose id is the subject.
    pub const fn is_of_a_member(self) -> bool {
        matches!(self, Self::Member | Self::Franchise)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| {
                format!("'{text}' is no role: choose member, franchise, staff, operator or auditor")
            })
    }
}

/// Who asks, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    role: Role,
    subject: String,
    member_id: Option<Uuid>,
}

/// Why a subject cannot stand for somebody in a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentity {
    /// A member is named by its id.
    #[error("the subject of a member or franchise is its id, a UUID")]
    NoMemberId,
    /// A name is written down wherever somebody sets or decides something.
    #[error("the subject is a name of 1 to {NAME_MAX} characters on one line")]
    NoName,
}

impl Identity {
    /// Somebody in a role.
    ///
    /// # Errors
    /// A member's subject is a UUID; anybody else's is a name.
    pub fn new(role: Role, subject: &str) -> Result<Self, BadIdentity> {
        if role.is_of_a_member() {
            let id = Uuid::try_parse(subject).map_err(|_| BadIdentity::NoMemberId)?;
            return Ok(Self {
                role,
                subject: id.to_string(),
                member_id: Some(id),
            });
        }
        let length = subject.chars().count();
        let is_a_name = (1..=NAME_MAX).contains(&length)
            && subject.trim() == subject
            && !subject.contains(char::is_control);
        if !is_a_name {
            return Err(BadIdentity::NoName);
        }
        Ok(Self {
            role,
            subject: subject.to_owned(),
            member_id: None,
        })
    }

    /// As what somebody asks.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// A member's id in its one spelling, or a name.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The member or franchise that asks; `None` for the roles of our own people,
    /// who ask about everybody.
    pub const fn member_id(&self) -> Option<Uuid> {
        self.member_id
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_its_id_and_staff_is_a_name() {
        let written = "0199A1B2-C3D4-7E5F-8A9B-0C1D2E3F4A5B";
        let member = Identity::new(Role::Member, written).unwrap();
        assert_eq!(member.subject(), written.to_lowercase());
        assert_eq!(member.member_id(), Uuid::try_parse(written).ok());
        assert_eq!(
            Identity::new(Role::Franchise, "kim.minji"),
            Err(BadIdentity::NoMemberId)
        );
        let staff = Identity::new(Role::Staff, "김민지").unwrap();
        assert_eq!(
            (staff.member_id(), &*staff.to_string()),
            (None, "staff 김민지")
        );
        for bad in ["", " kim", "kim\n", "\u{1b}[31mkim", &"x".repeat(61)] {
            assert_eq!(Identity::new(Role::Operator, bad), Err(BadIdentity::NoName));
        }
    }

    #[test]
    fn a_role_is_written_in_one_way() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("Staff".parse::<Role>().is_err() && "".parse::<Role>().is_err());
    }
}
