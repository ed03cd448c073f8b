//! `PATCH /members/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use chrono::{SubsecRound, Utc};
use serde::{Deserialize, Deserializer};
use sqlx::PgConnection;

use super::super::App;
use super::super::caller::Caller;
use super::super::extract::{Body, Id};
use super::super::problem::{Problem, ProblemBody};
use super::create::{ADDRESS_MAX, AREA_MAX, NAME_MAX};
use super::etag::{IfMatch, tagged};
use super::{Member, closed, locked};
use crate::request::{Refusal, email, text};

/// What is to be another: a JSON merge patch (RFC 7396). What is absent stays;
/// null takes the e-mail address or the address away.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberPatch {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "김하나", min_length = 1, max_length = 100)]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "hana@example.com", format = "email", max_length = 254)]
    email: Option<Option<String>>,
    /// The area of the address.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "서울 서초구", min_length = 1, max_length = 100)]
    area: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 300)]
    address: Option<Option<String>>,
}

/// A field that is there, null or not.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes a member's name, e-mail address or address.
///
/// `If-Match` says which version is meant: 412 where another holds by now, 428
/// where it is missing. What was before is in `GET /members/{id}/versions`. The
/// same values once more are no new version.
#[utoipa::path(
    patch,
    path = "/members/{id}",
    tag = "members",
    params(
        ("id" = Uuid, Path, description = "The member"),
        ("If-Match" = String, Header, description = "The `ETag` of the version that is to be changed"),
    ),
    request_body = MemberPatch,
    responses(
        (status = 200, description = "The member as it is now", body = Member),
        (status = 400, description = "The form of the request", body = ProblemBody),
        (status = 404, description = "There is no such member", body = ProblemBody),
        (status = 412, description = "It was changed meanwhile", body = ProblemBody),
        (status = 422, description = "The content, or `member_closed`", body = ProblemBody),
        (status = 428, description = "`If-Match` is missing", body = ProblemBody),
    )
)]
pub(crate) async fn modify(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(member_id): Id,
    seen: IfMatch,
    Body(patch): Body<MemberPatch>,
) -> Result<Response, Problem> {
    // Accounts are registered by the member's name, and recharges draw from them.
    if patch.name.is_some() && caller.member_id().is_some() {
        let detail = "a name is changed by staff, who have seen a proof of it";
        return Err(Problem::forbidden("wrong_role", detail).at_pointer("/name".to_owned()));
    }
    let mut transaction = app.pool.begin().await?;
    let before = locked(&mut transaction, member_id).await?;
    seen.check(before.version)?;
    if before.status != "OPEN" {
        return Err(closed());
    }
    let mut after = patch.applied_to(&before)?;
    if after != before {
        after.version += 1;
        after.changed_at = Utc::now().trunc_subsecs(6).max(before.changed_at);
        write(&mut transaction, &before, &after).await?;
        transaction.commit().await?;
    }
    Ok(tagged(after.version, Json(after)))
}

impl MemberPatch {
    pub(in crate::http) fn applied_to(self, member: &Member) -> Result<Member, Refusal> {
        let mut after = member.clone();
        // What cannot be taken away is checked as an empty text, and refused.
        if let Some(name) = self.name {
            after.name = text("name", &name.unwrap_or_default(), NAME_MAX)?;
        }
        if let Some(area) = self.area {
            after.area = text("area", &area.unwrap_or_default(), AREA_MAX)?;
        }
        if let Some(address) = self.email {
            after.email = address
                .map(|address| email("email", &address))
                .transpose()?;
        }
        if let Some(address) = self.address {
            after.address = match address {
                Some(address) => text("address", &address, ADDRESS_MAX)?,
                None => String::new(),
            };
        }
        Ok(after)
    }
}

/// Keeps the version that was, and writes the one that is.
async fn write(
    connection: &mut PgConnection,
    before: &Member,
    after: &Member,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO membership.member_version
                (member_id, version, name, email, area, address, status, valid_from, valid_to)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(before.member_id)
    .bind(before.version)
    .bind(&before.name)
    .bind(&before.email)
    .bind(&before.area)
    .bind(&before.address)
    .bind(&before.status)
    .bind(before.changed_at)
    .bind(after.changed_at)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE membership.member
            SET name = $2, email = $3, area = $4, address = $5, version = $6, changed_at = $7
          WHERE member_id = $1",
    )
    .bind(after.member_id)
    .bind(&after.name)
    .bind(&after.email)
    .bind(&after.area)
    .bind(&after.address)
    .bind(after.version)
    .bind(after.changed_at)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn member() -> Member {
        let now = Utc::now();
        Member {
            member_id: Uuid::now_v7(),
            kind: "CUSTOMER".into(),
            name: "김하나".into(),
            email: Some("hana@example.com".into()),
            area: "서울 강남구".into(),
            address: "테헤란로 1".into(),
            status: "OPEN".into(),
            created_at: now,
            version: 1,
            changed_at: now,
        }
    }

    fn applied(patch: &str) -> Result<Member, String> {
        let patch: MemberPatch = serde_json::from_str(patch).map_err(|error| error.to_string())?;
        patch
            .applied_to(&member())
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_is_absent_stays_and_null_takes_away() {
        let after = applied(r#"{"area":" 서울 서초구 "}"#).unwrap();
        assert_eq!((&*after.area, &*after.name), ("서울 서초구", "김하나"));
        assert!(after.email.is_some());
        let after = applied(r#"{"email":null,"address":null}"#).unwrap();
        assert_eq!((after.email, &*after.address), (None, ""));
    }

    #[test]
    fn a_name_and_an_area_cannot_be_taken_away() {
        for bad in [r#"{"name":null}"#, r#"{"name":" "}"#, r#"{"area":null}"#] {
            assert!(applied(bad).unwrap_err().contains("is empty"), "{bad}");
        }
        assert!(applied(r#"{"kind":"FRANCHISE"}"#).is_err());
        assert!(applied(r#"{"email":"nobody"}"#).is_err());
    }
}
