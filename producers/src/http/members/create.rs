//! `POST /members`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{SubsecRound, Utc};
use mypay_schemas::identity::derive;
use serde::Deserialize;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::super::App;
use super::super::extract::{Body, Headers};
use super::super::problem::{Problem, ProblemBody};
use super::{Member, one};
use crate::request::{Refusal, email, text};

pub(super) const NAME_MAX: usize = 100;
pub(super) const AREA_MAX: usize = 100;
pub(super) const ADDRESS_MAX: usize = 300;

/// A customer, or a merchant who is paid by customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Kind {
    Customer,
    Franchise,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Franchise => "FRANCHISE",
        }
    }
}

/// A member to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberBody {
    kind: Kind,
    #[schema(example = "김하나", min_length = 1, max_length = 100)]
    name: String,
    #[schema(example = "hana@example.com", format = "email", max_length = 254)]
    email: Option<String>,
    /// The area of the address.
    #[schema(example = "서울 강남구", min_length = 1, max_length = 100)]
    area: String,
    #[schema(max_length = 300)]
    address: Option<String>,
    /// Of a franchise: hundredths of a percent of each payment, 0 to 10000;
    /// none is taken where absent.
    #[schema(example = 225, minimum = 0, maximum = 10_000)]
    commission_bps: Option<i32>,
}

/// Creates a member, with an account that holds nothing.
///
/// With an `Idempotency-Key` the same call can be made again: 200 instead of
/// 201, and the same member.
#[utoipa::path(
    post,
    path = "/members",
    tag = "members",
    params(("Idempotency-Key" = Option<String>, Header, description = "UUID version 7, the same each time you try")),
    request_body = MemberBody,
    responses(
        (status = 201, description = "Created", body = Member),
        (status = 200, description = "Created before, with this key", body = Member),
        (status = 400, description = "The id, or the form of the request", body = ProblemBody),
        (status = 409, description = "The key belongs to another member", body = ProblemBody),
        (status = 422, description = "The content", body = ProblemBody),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    headers: Headers,
    Body(body): Body<MemberBody>,
) -> Result<(StatusCode, Json<Member>), Problem> {
    let member_id = match headers.key {
        Some(key) => derive(app.acceptance()?.check_id(&key)?, "member"),
        None => Uuid::now_v7(),
    };
    let (member, commission_bps) = body.check(member_id)?;
    let content_hash = content_hash(&member, commission_bps);
    let mut transaction = app.pool.begin().await?;
    if insert(&mut transaction, &member, &content_hash).await? {
        mypay_ledger::open_members(&mut transaction, &[member_id]).await?;
        if let Some(bps) = commission_bps {
            set_commission(&mut transaction, member_id, bps).await?;
        }
        transaction.commit().await?;
        return Ok((StatusCode::CREATED, Json(member)));
    }
    let row = sqlx::query("SELECT content_hash FROM membership.member WHERE member_id = $1")
        .bind(member_id)
        .fetch_one(&mut *transaction)
        .await?;
    if row.try_get::<&[u8], _>(0)? != content_hash {
        let detail = "the Idempotency-Key belongs to a member with other content";
        return Err(Problem::conflict("id_conflict", detail));
    }
    Ok((
        StatusCode::OK,
        Json(one(&mut transaction, member_id).await?),
    ))
}

impl MemberBody {
    pub(in crate::http) fn check(self, member_id: Uuid) -> Result<(Member, Option<i32>), Problem> {
        let given = |value: Option<String>| value.filter(|value| !value.is_empty());
        let email = given(self.email)
            .map(|address| email("email", &address))
            .transpose()?;
        let address = given(self.address)
            .map(|address| text("address", &address, ADDRESS_MAX))
            .transpose()?;
        match self.commission_bps {
            Some(_) if self.kind == Kind::Customer => {
                let detail = "only a franchise has one: leave it out";
                return Err(
                    Refusal::of_field("not_of_a_customer", "commission_bps", detail).into(),
                );
            }
            Some(bps) if !(0..=10_000).contains(&bps) => {
                let detail = "hundredths of a percent, 0 to 10000";
                return Err(
                    Refusal::of_field("commission_out_of_range", "commission_bps", detail).into(),
                );
            }
            _ => {}
        }
        let now = Utc::now().trunc_subsecs(6);
        let member = Member {
            member_id,
            kind: self.kind.name().to_owned(),
            name: text("name", &self.name, NAME_MAX)?,
            email,
            area: text("area", &self.area, AREA_MAX)?,
            address: address.unwrap_or_default(),
            status: "OPEN".to_owned(),
            created_at: now,
            version: 1,
            changed_at: now,
        };
        Ok((member, self.commission_bps))
    }
}

/// A hash of what the client said, each field with its length.
fn content_hash(member: &Member, commission_bps: Option<i32>) -> [u8; 16] {
    let rate = commission_bps
        .map(|bps| bps.to_string())
        .unwrap_or_default();
    let email = member.email.as_deref().unwrap_or("");
    let mut hasher = blake3::Hasher::new();
    for field in [
        &*member.kind,
        &*member.name,
        email,
        &*member.area,
        &*member.address,
        &*rate,
    ] {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}

/// Whether the member was new.
async fn insert(
    connection: &mut PgConnection,
    member: &Member,
    content_hash: &[u8],
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO membership.member
                (member_id, kind, name, email, area, address, status, content_hash, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (member_id) DO NOTHING",
    )
    .bind(member.member_id)
    .bind(&member.kind)
    .bind(&member.name)
    .bind(&member.email)
    .bind(&member.area)
    .bind(&member.address)
    .bind(&member.status)
    .bind(content_hash)
    .bind(member.created_at)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The rate of a new franchise: in force from the beginning, so that no payment
/// can be older.
async fn set_commission(
    connection: &mut PgConnection,
    franchise_id: Uuid,
    bps: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO payment.commission_rate (franchise_id, in_force_from, bps)
         VALUES ($1, 'epoch', $2)",
    )
    .bind(franchise_id)
    .bind(bps)
    .execute(connection)
    .await?;
    Ok(())
}
