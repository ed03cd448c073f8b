use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;

/// Seconds since the epoch.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn calls() -> impl Strategy<Value = Call> {
    prop_oneof![Just(Call::Command), Just(Call::Inquiry)]
}

fn answers() -> impl Strategy<Value = Answer> {
    let class = prop_oneof![
        Just(Class::Done),
        Just(Class::Refused(Refusal::Final)),
        Just(Class::Refused(Refusal::Resting)),
        Just(Class::Refused(Refusal::InDoubt)),
        Just(Class::InProgress),
        Just(Class::NotFound),
    ];
    prop_oneof![
        4 => prop::option::of(class).prop_map(Answer::Coded),
        1 => Just(Answer::Silence),
        1 => any::<bool>().prop_map(|passing| Answer::NotSent { passing }),
    ]
}

prop_compose! {
    fn commands()(
        sent_at in 1_000_000_i64..2_000_000,
        sent_before in any::<bool>(),
        (inquiries, sends, holders) in (0_u32..40, 0_u32..40, 0_u32..40),
    ) -> Sent {
        let tries = Tries { inquiries, sends, holders };
        Sent { sent_at: at(sent_at), sent_before, tries }
    }
}

prop_compose! {
    fn rules()(
        trusts_no_such_transaction in any::<bool>(),
        settling in 0_i64..2_000,
        (first, longest) in (1_i64..1_000, 1_i64..10_000),
        ask_by in 1_000_000_i64..2_700_000,
        lapses_after in 1_i64..5_000,
        awake_at in 1_000_000_i64..2_700_000,
    ) -> Rules {
        Rules {
            trusts_no_such_transaction,
            settling_time: TimeDelta::seconds(settling),
            first_inquiry: TimeDelta::seconds(first),
            longest_pause: TimeDelta::seconds(longest),
            ask_by: at(ask_by),
            lapses_at: at(ask_by + lapses_after),
            awake_at: at(awake_at),
        }
    }
}

fn is_final(answer: Answer) -> bool {
    matches!(
        answer,
        Answer::Coded(Some(Class::Done | Class::Refused(Refusal::Final)))
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_unknown_is_neither_credited_nor_given_back(
        call in calls(), answer in answers(), sent in commands(), rules in rules(),
        now in 1_000_000_i64..3_000_000,
    ) {
        let step = next(call, answer, &sent, &rules, at(now));
        let never_left = call == Call::Command
            && answer == Answer::NotSent { passing: false }
            && !sent.sent_before;
        let done = answer == Answer::Coded(Some(Class::Done));
        prop_assert_eq!(step == Step::Done, done);
        if step == Step::Refuse {
            prop_assert!(never_left || is_final(answer), "{:?}", answer);
        }
    }

    #[test]
    fn nothing_goes_out_again_that_may_have_left_unless_the_bank_says_so(
        call in calls(), answer in answers(), sent in commands(), rules in rules(),
        now in 1_000_000_i64..3_000_000,
    ) {
        let step = next(call, answer, &sent, &rules, at(now));
        let trusted = call == Call::Inquiry
            && answer == Answer::Coded(Some(Class::NotFound))
            && rules.trusts_no_such_transaction
            && at(now) >= sent.sent_at + rules.settling_time
            && at(now) < rules.lapses_at;
        let put_off = call == Call::Command
            && answer == Answer::Coded(Some(Class::Refused(Refusal::Resting)));
        let not_sent = call == Call::Command && answer == Answer::NotSent { passing: true };
        let again = matches!(step, Step::Send { .. });
        prop_assert_eq!(again, trusted || put_off || not_sent, "{:?}", step);
        if let Step::Send { at: due, tries } = step {
            prop_assert!(due >= at(now));
            prop_assert!(!put_off || due >= rules.awake_at);
            // A command that goes out anew is inquired about anew.
            prop_assert_eq!(tries.inquiries, 0);
        }
    }

    #[test]
    fn a_code_that_is_missing_from_the_table_says_as_much_as_silence(
        call in calls(), sent in commands(), rules in rules(), now in 1_000_000_i64..3_000_000,
    ) {
        let of = |answer| next(call, answer, &sent, &rules, at(now));
        prop_assert_eq!(of(Answer::Coded(None)), of(Answer::Silence));
        prop_assert_eq!(of(Answer::Coded(Some(Class::InProgress))), of(Answer::Silence));
    }

    #[test]
    fn an_inquiry_is_made_in_time_and_its_silence_at_the_end_is_a_case(
        call in calls(), answer in answers(), sent in commands(), rules in rules(),
        now in 1_000_000_i64..3_000_000,
    ) {
        let step = next(call, answer, &sent, &rules, at(now));
        if let Step::Inquire { at: due, .. } = step {
            prop_assert!(due >= at(now) && due <= rules.ask_by.max(at(now)), "{:?}", due);
            prop_assert!(call == Call::Command || at(now) < rules.ask_by);
        }
        if call == Call::Inquiry && at(now) >= rules.ask_by && answer == Answer::Silence {
            prop_assert_eq!(step, Step::Case(Why::Lapses));
        }
    }

    /// A bank that never tells: it is asked at least once, the pauses grow from the
    /// first to the longest, and by the last instant for an inquiry it is a case.
    #[test]
    fn a_bank_that_never_tells_is_asked_and_then_people_are(
        sent in commands(), mut rules in rules(), lapse in 100_i64..50_000,
    ) {
        rules.ask_by = sent.sent_at + TimeDelta::seconds(lapse);
        let mut now = sent.sent_at + TimeDelta::seconds(1);
        let mut sent = sent;
        let mut call = Call::Command;
        let mut pauses = Vec::new();
        loop {
            match next(call, Answer::Silence, &sent, &rules, now) {
                Step::Inquire { at, tries } => {
                    pauses.push(at - now);
                    (now, sent.tries, call) = (at, tries, Call::Inquiry);
                }
                step => {
                    prop_assert_eq!(step, Step::Case(Why::Lapses));
                    break;
                }
            }
            prop_assert!(pauses.len() <= 50_000);
        }
        prop_assert!(!pauses.is_empty() && now == rules.ask_by);
        let until = rules.ask_by - sent.sent_at - TimeDelta::seconds(1);
        prop_assert_eq!(pauses[0], rules.first_inquiry.min(until));
        // All but the last, which is cut short by the end.
        let grown = &pauses[..pauses.len() - 1];
        prop_assert!(grown.is_sorted());
        prop_assert!(grown.iter().all(|it| *it <= rules.longest_pause.max(rules.first_inquiry)));
    }
}

#[test]
fn pauses_double_and_each_kind_of_try_counts_for_itself() {
    let seconds = |pause: TimeDelta| pause.num_seconds();
    let (first, longest) = (TimeDelta::seconds(300), TimeDelta::seconds(3_600));
    let pauses: Vec<i64> = (0..6)
        .map(|tries| seconds(backoff(first, longest, tries)))
        .collect();
    assert_eq!(pauses, [300, 600, 1_200, 2_400, 3_600, 3_600]);
    assert_eq!(backoff(first, longest, u32::MAX), longest);
    assert_eq!(backoff(TimeDelta::MAX, longest, 3), TimeDelta::MAX);

    let now = at(1_000_000);
    let tries = Tries {
        inquiries: 9,
        sends: 9,
        holders: 2,
    };
    let HolderStep::Ask {
        at: due,
        tries: after,
    } = holder(Holder::Silence, tries, now)
    else {
        panic!("silence tells nothing");
    };
    let holders = 3;
    assert_eq!((seconds(due - now), after), (4, Tries { holders, ..tries }));
    // However often the holder was asked for and the bank not reached.
    let sent = Sent {
        sent_at: now,
        sent_before: true,
        tries,
    };
    let rules = Rules {
        trusts_no_such_transaction: true,
        settling_time: TimeDelta::seconds(600),
        first_inquiry: first,
        longest_pause: longest,
        ask_by: at(2_000_000),
        lapses_at: at(2_003_600),
        awake_at: now,
    };
    let step = next(Call::Command, Answer::Silence, &sent, &rules, now);
    let Step::Inquire { at: due, tries } = step else {
        panic!("{step:?}");
    };
    assert_eq!((seconds(due - now), tries), (300, Tries::default()));
}

#[test]
fn money_goes_only_where_the_bank_says_that_the_one_named_holds_it() {
    let now = at(1_000_000);
    let tries = Tries {
        inquiries: 1,
        sends: 2,
        holders: 0,
    };
    let refused = HolderStep::Refuse;
    let again = HolderStep::Ask {
        at: at(1_000_001),
        tries: Tries {
            holders: 1,
            ..tries
        },
    };
    for (answer, step) in [
        (Holder::Open { is_named: true }, HolderStep::Send),
        (Holder::Open { is_named: false }, refused("holder_mismatch")),
        (Holder::Closed, refused("account_closed")),
        (Holder::NoSuchAccount, refused("no_such_account")),
        (Holder::NotSent { passing: false }, refused("no_contract")),
        (Holder::NotSent { passing: true }, again),
        (Holder::Silence, again),
    ] {
        assert_eq!(holder(answer, tries, now), step, "{answer:?}");
    }
    // However long it takes: at most a minute later, for ever.
    let holders = u32::MAX;
    let step = holder(Holder::Silence, Tries { holders, ..tries }, now);
    let (at, tries) = (at(1_000_060), Tries { holders, ..tries });
    assert_eq!(step, HolderStep::Ask { at, tries });
}
