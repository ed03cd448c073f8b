use super::*;

/// The subject of the remittance requests, with other text.
fn subject(schema: &'static str) -> Subject {
    Subject {
        topic: "my.remittance.request",
        record: "RemittanceRequest",
        schema,
    }
}

fn text_of(record: &str) -> &'static str {
    SUBJECTS
        .iter()
        .find(|subject| subject.record == record)
        .unwrap()
        .schema
}

/// The schema after a change to its JSON.
fn changed(record: &str, change: impl FnOnce(&mut serde_json::Value)) -> &'static str {
    let mut json = serde_json::from_str(text_of(record)).unwrap();
    change(&mut json);
    json.to_string().leak()
}

fn fields(schema: &mut serde_json::Value) -> &mut Vec<serde_json::Value> {
    schema["fields"].as_array_mut().unwrap()
}

fn field<'a>(schema: &'a mut serde_json::Value, name: &str) -> &'a mut serde_json::Value {
    fields(schema)
        .iter_mut()
        .find(|field| field["name"] == name)
        .unwrap()
}

fn contract_of(schema: &'static str) -> Vec<String> {
    contract::broken(&subject(schema), &compatibility::parse(schema).unwrap())
}

#[test]
fn the_schemas_of_this_tree_are_fit_to_be_released() {
    for checked in check_offline(&released_directory()).unwrap() {
        assert_eq!(
            checked.problems,
            <[String; 0]>::default(),
            "{}",
            checked.subject
        );
    }
}

#[test]
fn an_added_field_needs_a_default() {
    let before = text_of("RemittanceRequest");
    let add = |field: serde_json::Value| {
        changed("RemittanceRequest", |schema| fields(schema).push(field))
    };
    let with = add(
        serde_json::json!({"name": "memo", "type": ["null", "string"], "default": null, "doc": "A memo."}),
    );
    assert_eq!(compatibility::broken(before, with), None);
    let without = add(serde_json::json!({"name": "memo", "type": "string", "doc": "A memo."}));
    let reason = compatibility::broken(before, without).unwrap();
    assert!(
        reason.starts_with("a new reader") && reason.contains("memo"),
        "{reason}"
    );
}

#[test]
fn a_dropped_field_needs_to_have_had_one() {
    let without = |name: &str| {
        changed("RemittanceRequest", |schema| {
            fields(schema).retain(|field| field["name"] != name)
        })
    };
    let before = text_of("RemittanceRequest");
    assert_eq!(compatibility::broken(before, without("causation_id")), None);
    let reason = compatibility::broken(before, without("amount")).unwrap();
    assert!(
        reason.starts_with("an old reader") && reason.contains("amount"),
        "{reason}"
    );
}

#[test]
fn a_type_may_not_become_another() {
    let text = changed("RemittanceRequest", |schema| {
        field(schema, "amount")["type"] = "double".into();
    });
    // long -> double is a promotion one way only.
    let reason = compatibility::broken(text_of("RemittanceRequest"), text).unwrap();
    assert!(reason.starts_with("an old reader"), "{reason}");
}

#[test]
fn a_new_enum_symbol_is_a_break_for_old_readers() {
    let text = changed("RemittanceResult", |schema| {
        let symbols = field(schema, "status")["type"]["symbols"]
            .as_array_mut()
            .unwrap();
        symbols.push("REVERSED".into());
    });
    let reason = compatibility::broken(text_of("RemittanceResult"), text).unwrap();
    assert!(
        reason.starts_with("an old reader") && reason.contains("enum"),
        "{reason}"
    );
}

#[test]
fn a_change_within_a_union_is_seen() {
    let text = changed("RemittanceRequest", |schema| {
        let branches = field(schema, "receiver")["type"].as_array_mut().unwrap();
        let fields = branches[1]["fields"].as_array_mut().unwrap();
        fields.push(serde_json::json!({"name": "branch", "type": "string", "doc": "Branch."}));
    });
    assert!(compatibility::broken(text_of("RemittanceRequest"), text).is_some());
}

#[test]
fn a_contract_field_stays_though_it_has_a_default() {
    let without = changed("RemittanceRequest", |schema| {
        fields(schema).retain(|field| field["name"] != "amount");
    });
    assert_eq!(contract_of(without), ["contract field amount is missing"]);
}

#[test]
fn a_contract_field_keeps_its_type() {
    for (name, other) in [
        ("message_id", serde_json::json!("bytes")),
        ("amount", serde_json::json!("int")),
        ("requested_at", serde_json::json!("long")),
        ("receiver", serde_json::json!("string")),
    ] {
        let text = changed("RemittanceRequest", |schema| {
            field(schema, name)["type"] = other
        });
        let problems = contract_of(text);
        assert!(
            problems.len() == 1 && problems[0].contains(name),
            "{problems:?}"
        );
    }
}

#[test]
fn the_branches_of_the_receiver_are_part_of_the_contract() {
    let text = changed("RemittanceRequest", |schema| {
        let branches = field(schema, "receiver")["type"].as_array_mut().unwrap();
        branches[1]["fields"]
            .as_array_mut()
            .unwrap()
            .retain(|field| field["name"] != "bank_code");
    });
    let problems = contract_of(text);
    assert!(
        problems.len() == 1 && problems[0].contains("BankReceiver"),
        "{problems:?}"
    );
}

#[test]
fn records_have_their_contract_name_and_no_namespace() {
    for name in ["Remit", "pay.RemittanceRequest"] {
        let text = changed("RemittanceRequest", |schema| schema["name"] = name.into());
        assert!(contract_of(text)[0].contains("must be called"), "{name}");
    }
}

#[test]
fn everything_is_documented_also_within_unions_and_enums() {
    let text = changed("RemittanceRequest", |schema| {
        field(schema, "amount")
            .as_object_mut()
            .unwrap()
            .remove("doc");
        let branches = field(schema, "receiver")["type"].as_array_mut().unwrap();
        branches[0].as_object_mut().unwrap().remove("doc");
        branches[1]["fields"][0]["doc"] = " ".into();
    });
    let missing = docs::missing(&compatibility::parse(text).unwrap());
    assert_eq!(
        missing,
        [
            "MemberReceiver has no doc",
            "BankReceiver.bank_code has no doc",
            "RemittanceRequest.amount has no doc"
        ]
    );
    let text = changed("RemittanceResult", |schema| {
        field(schema, "status")["type"]
            .as_object_mut()
            .unwrap()
            .remove("doc");
    });
    assert_eq!(
        docs::missing(&compatibility::parse(text).unwrap()),
        ["ResultStatus has no doc"]
    );
}

#[test]
fn the_newest_release_is_the_highest_number_not_the_last_word() {
    let directory = std::env::temp_dir().join(format!("mypay-released-{}", std::process::id()));
    for version in ["0.9.0", "0.10.0", "notes"] {
        let release = directory.join(version);
        std::fs::create_dir_all(&release).unwrap();
        std::fs::write(release.join("a.avsc"), text_of("RechargeRequest")).unwrap();
    }
    let newest = released::newest(&directory).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(newest.version, "0.10.0");
    assert!(newest.schemas.contains_key("RechargeRequest"));
}

#[test]
fn without_a_release_the_check_says_where_it_looked() {
    let error = check_offline(Path::new("/nowhere/released"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/nowhere/released") && error.contains("--released"),
        "{error}"
    );
}
