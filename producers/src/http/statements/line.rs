//! The lines of a statement, and how they are written.

use chrono::{DateTime, Utc};
use mypay_decide::commission::split_vat;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// How a statement is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// One object.
    Json,
    /// RFC 4180, with a line of names first.
    Csv,
}

/// A franchise's part of a run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Part {
    pub(crate) run_id: Uuid,
    pub(crate) franchise_id: Uuid,
    pub(crate) payout_id: Uuid,
    /// Slips and cancels up to this instant belong to the run.
    pub(crate) cut_at: DateTime<Utc>,
    /// `CARRIED`, `AWAITS_BANK`, `COMPLETED` or `REFUSED`.
    pub(crate) state: String,
    /// Why it is carried: `not_positive`, `on_hold` or `no_account`.
    pub(crate) carried_for: Option<String>,
    pub(crate) to_bank: Option<String>,
    pub(crate) to_account: Option<String>,
    #[serde(skip)]
    pub(crate) gross: i64,
    #[serde(skip)]
    pub(crate) cancelled: i64,
    #[serde(skip)]
    pub(crate) commission: i64,
    #[serde(skip)]
    pub(crate) owed: i64,
    #[serde(skip)]
    pub(crate) net: i64,
}

impl Part {
    /// What the lines must add up to. The run does not keep the split of the
    /// commission: that of the lines is right where it adds up to the commission.
    pub(crate) fn totals(&self, lines: &Totals) -> Totals {
        Totals {
            amount: self.gross - self.cancelled,
            commission: self.commission,
            supply: self.commission - lines.vat,
            vat: lines.vat,
            owed: self.owed,
            net: self.net,
        }
    }
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LineKind {
    /// A payment.
    Payment,
    /// A cancel of a payment, of this run or of an earlier one.
    Cancel,
    /// Owed from earlier runs: nets carried, payouts refused.
    Owed,
}

impl LineKind {
    const fn name(self) -> &'static str {
        match self {
            LineKind::Payment => "payment",
            LineKind::Cancel => "cancel",
            LineKind::Owed => "owed",
        }
    }
}

/// A line; all amounts in whole won.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Line {
    kind: LineKind,
    /// The payment or the cancel.
    id: Option<Uuid>,
    /// The payment that it is about.
    payment_id: Option<Uuid>,
    /// The franchise's own order number.
    order_ref: Option<String>,
    at: Option<DateTime<Utc>>,
    /// Paid, or refunded (below zero).
    amount: i64,
    /// With its VAT; below zero where it is given back.
    commission: i64,
    /// The commission without its VAT.
    supply: i64,
    /// The commission's VAT.
    vat: i64,
    /// The amount less the commission; what was owed.
    net: i64,
}

impl Line {
    pub(crate) fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let is_cancel: bool = row.try_get(0)?;
        let (amount, commission): (i64, i64) = (row.try_get(5)?, row.try_get(6)?);
        let (kind, amount, commission, supply) = if is_cancel {
            let back = supply_given_back(commission, row.try_get(7)?);
            (LineKind::Cancel, -amount, -commission, -back)
        } else {
            (
                LineKind::Payment,
                amount,
                commission,
                split_vat(commission).0,
            )
        };
        Ok(Self {
            kind,
            id: Some(row.try_get(1)?),
            payment_id: Some(row.try_get(2)?),
            order_ref: Some(row.try_get(3)?),
            at: Some(row.try_get(4)?),
            amount,
            commission,
            supply,
            vat: commission - supply,
            net: amount - commission,
        })
    }

    /// What earlier runs have left owed.
    pub(crate) fn owed(net: i64) -> Self {
        Self {
            kind: LineKind::Owed,
            id: None,
            payment_id: None,
            order_ref: None,
            at: None,
            amount: 0,
            commission: 0,
            supply: 0,
            vat: 0,
            net,
        }
    }
}

/// What of the supply a cancel gives back: the difference of the splits before
/// and after it, so that a payment's lines add up to the split of what remains.
fn supply_given_back(commission_back: i64, commission_after: i64) -> i64 {
    split_vat(commission_after + commission_back).0 - split_vat(commission_after).0
}

/// The sums of all lines, whole won.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Totals {
    /// Payments less cancels.
    pub(crate) amount: i64,
    pub(crate) commission: i64,
    pub(crate) supply: i64,
    pub(crate) vat: i64,
    /// Owed from earlier runs.
    pub(crate) owed: i64,
    /// Paid out, or carried to the next run.
    pub(crate) net: i64,
}

impl Totals {
    pub(crate) fn add(&mut self, line: &Line) {
        self.amount += line.amount;
        self.commission += line.commission;
        self.supply += line.supply;
        self.vat += line.vat;
        self.net += line.net;
        if line.kind == LineKind::Owed {
            self.owed += line.net;
        }
    }
}

/// A statement as JSON; written piece by piece.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Statement {
    #[serde(flatten)]
    part: Part,
    lines: Vec<Line>,
    totals: Totals,
}

impl Format {
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8",
        }
    }

    pub(crate) fn head(self, part: &Part) -> Result<String, serde_json::Error> {
        Ok(match self {
            Format::Json => {
                let mut text = serde_json::to_string(part)?;
                // The object is closed by the tail.
                text.pop();
                text + ",\"lines\":["
            }
            Format::Csv => {
                "kind,id,payment_id,order_ref,at,amount,commission,supply,vat,net\r\n".to_string()
            }
        })
    }

    pub(crate) fn line(self, line: &Line, first: bool) -> Result<String, serde_json::Error> {
        Ok(match self {
            Format::Json => {
                let comma = if first { "\n" } else { ",\n" };
                format!("{comma}{}", serde_json::to_string(line)?)
            }
            Format::Csv => format!(
                "{},{},{},{},{},{},{},{},{},{}\r\n",
                line.kind.name(),
                shown(line.id),
                shown(line.payment_id),
                quoted(line.order_ref.as_deref().unwrap_or_default()),
                shown(line.at.map(|at| at.to_rfc3339())),
                line.amount,
                line.commission,
                line.supply,
                line.vat,
                line.net
            ),
        })
    }

    pub(crate) fn tail(self, part: &Part, totals: &Totals) -> Result<String, serde_json::Error> {
        Ok(match self {
            Format::Json => format!("],\"totals\":{}}}\n", serde_json::to_string(totals)?),
            Format::Csv => format!(
                "total {},{},,,{},{},{},{},{},{}\r\n",
                part.state,
                part.payout_id,
                part.cut_at.to_rfc3339(),
                totals.amount,
                totals.commission,
                totals.supply,
                totals.vat,
                totals.net
            ),
        })
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A text in quotes, where it holds what separates; and with an apostrophe before it
/// where a spreadsheet would take it for a formula: the order's number is written by
/// whoever pays, and read by the franchise.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '＝', '＋', '－', '＠']);
    if formula || text.contains([',', ';', '"', '\r', '\n', '\t']) {
        let mark = if formula { "'" } else { "" };
        format!("\"{mark}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use mypay_decide::commission;

    use super::*;

    #[test]
    fn the_supply_of_a_payment_cancelled_won_by_won_comes_back_whole() {
        for (gross, bps) in [(12_345, 250), (999, 9_999), (1, 10_000), (7_001, 180)] {
            let mut left = gross;
            let mut supply = split_vat(commission::of(gross, bps)).0;
            for amount in [1, gross / 3, 1, gross] {
                let amount = amount.min(left);
                let before = commission::of(left, bps);
                left -= amount;
                let after = commission::of(left, bps);
                supply -= supply_given_back(before - after, after);
                assert_eq!(supply, split_vat(after).0, "{gross} at {bps}, {left} left");
            }
            assert_eq!((left, supply), (0, 0));
        }
    }

    #[test]
    fn a_text_that_separates_is_quoted() {
        assert_eq!(quoted("2026-1"), "2026-1");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }

    #[test]
    fn a_formula_is_shown_and_not_reckoned() {
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        assert_eq!(quoted("@SUM(A1)"), "\"'@SUM(A1)\"");
        assert_eq!(quoted("1-1"), "1-1");
    }
}
