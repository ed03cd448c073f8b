//! Every record, enum and field says what it is: the schema is all that an
//! outside client gets.

use apache_avro::Schema;

/// The paths of what has no `doc`.
pub(super) fn missing(schema: &Schema) -> Vec<String> {
    let mut paths = Vec::new();
    walk(schema, &mut paths);
    paths
        .into_iter()
        .map(|path| format!("{path} has no doc"))
        .collect()
}

fn walk(schema: &Schema, missing: &mut Vec<String>) {
    match schema {
        Schema::Record(record) => {
            let name = record.name.name();
            note(name, record.doc.as_deref(), missing);
            for field in &record.fields {
                note(
                    &format!("{name}.{}", field.name),
                    field.doc.as_deref(),
                    missing,
                );
                walk(&field.schema, missing);
            }
        }
        Schema::Enum(symbols) => note(symbols.name.name(), symbols.doc.as_deref(), missing),
        Schema::Union(union) => {
            union
                .variants()
                .iter()
                .for_each(|variant| walk(variant, missing));
        }
        Schema::Array(array) => walk(&array.items, missing),
        Schema::Map(map) => walk(&map.types, missing),
        _ => {}
    }
}

fn note(path: &str, doc: Option<&str>, missing: &mut Vec<String>) {
    if doc.is_none_or(|doc| doc.trim().is_empty()) {
        missing.push(path.to_owned());
    }
}
