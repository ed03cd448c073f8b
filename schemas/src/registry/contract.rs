//! The names and types that outside clients rely on.
//!
//! Compatibility alone would allow to drop a field that has a default; these
//! stay whatever happens.

use apache_avro::Schema;
use apache_avro::schema::{RecordSchema, UuidSchema};

use crate::Subject;

/// What a field of the contract must be.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    NullableText,
    /// A `long`: whole won.
    Won,
    /// A `timestamp-millis`.
    Instant,
    Status,
    /// A union of exactly these records, each with these fields of text.
    OneOf(&'static [(&'static str, &'static [&'static str])]),
    /// A record with these fields of text.
    Record(&'static [&'static str]),
}

type Field = (&'static str, Kind);

const REQUEST: &[Field] = &[
    ("message_id", Kind::Text),
    ("correlation_id", Kind::Text),
    ("requested_at", Kind::Instant),
];

const RESULT: &[Field] = &[
    ("message_id", Kind::Text),
    ("request_id", Kind::Text),
    ("correlation_id", Kind::Text),
    ("status", Kind::Status),
    ("reason", Kind::NullableText),
    ("occurred_at", Kind::Instant),
];

/// A reversal has no status: it tells of one thing only.
const REVERSAL: &[Field] = &[
    ("message_id", Kind::Text),
    ("request_id", Kind::Text),
    ("correlation_id", Kind::Text),
    ("occurred_at", Kind::Instant),
    ("amount", Kind::Won),
];

/// What each record has beside what all of its sort have.
const OWN: &[(&str, &[Field])] = &[
    (
        "RechargeRequest",
        &[("member_id", Kind::Text), ("amount", Kind::Won)],
    ),
    (
        "RemittanceRequest",
        &[
            ("sender_id", Kind::Text),
            ("amount", Kind::Won),
            (
                "receiver",
                Kind::OneOf(&[
                    ("MemberReceiver", &["member_id"]),
                    (
                        "BankReceiver",
                        &["bank_code", "account_number", "holder_name"],
                    ),
                ]),
            ),
        ],
    ),
    (
        "PaymentRequest",
        &[
            ("member_id", Kind::Text),
            ("franchise_id", Kind::Text),
            ("order_ref", Kind::Text),
            ("amount", Kind::Won),
        ],
    ),
    (
        "SettlementRequest",
        &[
            ("cut_at", Kind::Instant),
            ("franchise_id", Kind::NullableText),
        ],
    ),
    (
        "ClosingRequest",
        &[("member_id", Kind::Text), ("reason", Kind::Text)],
    ),
    (
        "FirmbankingRequest",
        &[
            ("purpose", Kind::Text),
            ("from", Kind::Record(&["bank_code", "account_number"])),
            ("to", Kind::Record(&["bank_code", "account_number"])),
            ("amount", Kind::Won),
        ],
    ),
];

/// What the schema lacks of the contract.
pub(super) fn broken(subject: &Subject, schema: &Schema) -> Vec<String> {
    let Schema::Record(record) = schema else {
        return vec!["a message is a record".to_owned()];
    };
    let mut problems = Vec::new();
    if record.name.fullname(None) != subject.record {
        problems.push(format!(
            "the record must be called {}, without a namespace",
            subject.record
        ));
    }
    let common = match subject.record {
        record if record.ends_with("Request") => REQUEST,
        record if record.ends_with("Reversal") => REVERSAL,
        _ => RESULT,
    };
    let own = OWN
        .iter()
        .find(|(name, _)| *name == subject.record)
        .map_or(&[][..], |(_, own)| own);
    let lacking = common.iter().chain(own).filter_map(|(name, kind)| {
        let Some(found) = field(record, name) else {
            return Some(format!("contract field {name} is missing"));
        };
        (!kind.holds(found)).then(|| format!("contract field {name} must be {}", kind.words()))
    });
    problems.extend(lacking);
    problems
}

fn field<'a>(record: &'a RecordSchema, name: &str) -> Option<&'a Schema> {
    record
        .fields
        .iter()
        .find(|field| field.name == name)
        .map(|field| &field.schema)
}

fn has_text_fields(record: &RecordSchema, names: &[&str]) -> bool {
    names
        .iter()
        .all(|name| field(record, name).is_some_and(|found| Kind::Text.holds(found)))
}

impl Kind {
    fn holds(self, schema: &Schema) -> bool {
        match (self, schema) {
            (Kind::Text, Schema::String | Schema::Uuid(UuidSchema::String)) => true,
            (Kind::NullableText, Schema::Union(union)) => match union.variants() {
                [Schema::Null, text] | [text, Schema::Null] => Kind::Text.holds(text),
                _ => false,
            },
            (Kind::Won, Schema::Long) | (Kind::Instant, Schema::TimestampMillis) => true,
            (Kind::Status, Schema::Enum(status)) => status.symbols == ["COMPLETED", "REJECTED"],
            (Kind::OneOf(records), Schema::Union(union)) => {
                union.variants().len() == records.len()
                    && records.iter().all(|(name, fields)| {
                        union.variants().iter().any(|variant| {
                            matches!(variant, Schema::Record(record)
                                if record.name.name() == *name && has_text_fields(record, fields))
                        })
                    })
            }
            (Kind::Record(fields), Schema::Record(record)) => has_text_fields(record, fields),
            // The second use of a named type is a reference to the first, which
            // was looked at there.
            (Kind::Record(_), Schema::Ref { .. }) => true,
            _ => false,
        }
    }

    fn words(self) -> String {
        match self {
            Kind::Text => "a string".to_owned(),
            Kind::NullableText => "null or a string".to_owned(),
            Kind::Won => "a long (whole won)".to_owned(),
            Kind::Instant => "a timestamp-millis".to_owned(),
            Kind::Status => "an enum of COMPLETED, REJECTED".to_owned(),
            Kind::OneOf(records) => {
                let names: Vec<&str> = records.iter().map(|(name, _)| *name).collect();
                format!(
                    "a union of the records {} with their contract fields",
                    names.join(", ")
                )
            }
            Kind::Record(fields) => format!("a record with the strings {}", fields.join(", ")),
        }
    }
}
