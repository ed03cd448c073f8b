//! Texts as people write them, in any script, in their one spelling.

use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use email_address::{EmailAddress, Options};
use mypay_decide::text::unseen;
use unicode_normalization::UnicodeNormalization;

/// The longest e-mail address, in bytes (RFC 5321, with its erratum 1690).
const EMAIL_MAX: usize = 254;
/// The years that a date of ours can lie in: outside of them it is a slip of the
/// pen, and what stores or shows it may not take it.
const YEARS: std::ops::RangeInclusive<i32> = 2000..=2999;

/// What is wrong with a text: its code (`docs/problems.md`), and in words.
pub(crate) type Wrong = (&'static str, String);

/// A text in Unicode's composed form, as all texts of ours are kept.
pub(crate) fn composed(written: &str) -> String {
    written.trim().nfc().collect()
}

/// A text of 1 to `most` characters on one line, in Unicode's composed form,
/// without blanks around it; else what is wrong with it.
///
/// A Hangul syllable is one character, whether it was sent as one (most clients)
/// or as its letters (names of files on a Mac): else the same name would be two.
pub(crate) fn line(written: &str, most: usize) -> Result<String, Wrong> {
    let text = composed(written);
    let length = text.chars().count();
    if length == 0 {
        return Err(("field_empty", format!("is empty: 1 to {most} characters")));
    }
    if length > most {
        return Err((
            "field_too_long",
            format!("has {length} characters, and at most {most} are taken"),
        ));
    }
    let control = text
        .chars()
        .enumerate()
        .find(|(_, character)| character.is_control())
        .map(|at| (at, "field_has_control_characters", "control character"));
    let at_fault = control.or_else(|| {
        let code = "field_has_invisible_characters";
        unseen(&text).map(|at| (at, code, "character that cannot be seen"))
    });
    match at_fault {
        None => Ok(text),
        Some(((at, character), code, fault)) => Err((
            code,
            format!(
                "has a {fault} (U+{:04X}) in place {}: one line, without such",
                u32::from(character),
                at + 1
            ),
        )),
    }
}

/// An e-mail address as the rules of RFC 5321 have it; else what is wrong with it.
pub(crate) fn email(written: &str) -> Result<String, Wrong> {
    let text = line(written, EMAIL_MAX)?;
    if text.len() > EMAIL_MAX {
        return Err((
            "field_too_long",
            format!("is longer than {EMAIL_MAX} bytes"),
        ));
    }
    let options = Options::default()
        .without_display_text()
        .without_domain_literal()
        .with_required_tld();
    match EmailAddress::parse_with_options(&text, options) {
        Ok(_) => Ok(text),
        Err(error) => Err((
            "invalid_email",
            format!("is no e-mail address such as hana@example.com ({error})"),
        )),
    }
}

/// A date that something of ours can happen on; else what is wrong with it.
pub(crate) fn date(date: NaiveDate) -> Result<NaiveDate, Wrong> {
    if YEARS.contains(&date.year()) {
        return Ok(date);
    }
    Err((
        "date_out_of_range",
        format!(
            "{date} is not a day of the years {} to {}",
            YEARS.start(),
            YEARS.end()
        ),
    ))
}

/// The first day of a month that is written `2026-11`, and of the month after it.
pub(crate) fn month(written: &str) -> Option<(NaiveDate, NaiveDate)> {
    let (year, month) = written.split_once('-')?;
    if (year.len(), month.len()) != (4, 2) || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, month) = (i32::from_str(year).ok()?, u32::from_str(month).ok()?);
    let first = date(NaiveDate::from_ymd_opt(year, month, 1)?).ok()?;
    Some((first, first.checked_add_months(chrono::Months::new(1))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_any_script_has_one_spelling() {
        let composed = "김하나";
        let apart = "\u{1100}\u{1175}\u{11b7}\u{1112}\u{1161}\u{1102}\u{1161}";
        assert_eq!(line(apart, 3).unwrap(), composed);
        assert_eq!(line(composed, 3).unwrap(), composed);
        for name in [
            "José Martínez",
            "محمد",
            "ナカムラ・ケン",
            "राज",
            "O'Neill",
            "👩‍🍳 요리",
        ] {
            assert_eq!(line(&format!("  {name} "), 20).unwrap(), name);
        }
        assert_eq!(line("e\u{301}", 1).unwrap(), "\u{e9}");
    }

    #[test]
    fn what_is_no_name_says_why() {
        for (bad, why) in [
            ("", "is empty"),
            (" \t ", "is empty"),
            ("김하나하", "has 4 characters"),
            ("a\nb", "U+000A) in place 2"),
            ("a\0", "U+0000"),
            ("a\u{85}b", "U+0085"),
            ("ab\u{202e}", "U+202E) in place 3"),
            ("\u{200b}", "U+200B"),
            // Fillers of Hangul, which are drawn as nothing.
            ("\u{3164}", "U+3164) in place 1"),
            ("\u{115f}\u{1160}", "U+115F"),
            ("김\u{ffa0}", "U+FFA0) in place 2"),
            ("김\u{200d}하", "U+200D"),
            ("김\u{61c}", "U+061C"),
        ] {
            let (_, said) = line(bad, 3).unwrap_err();
            assert!(said.contains(why), "{bad:?}: {said}");
        }
    }

    #[test]
    fn an_address_can_be_written_to() {
        for good in [
            "hana@example.com",
            "a.b+c@sub.example.co.kr",
            "하나@예시.한국",
        ] {
            assert_eq!(email(good).unwrap(), good);
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "hana",
            "@example.com",
            "hana@",
            "a b@c.kr",
            "a@b@c.kr",
            "hana@localhost",
            "a@b..kr",
            "Hana <hana@example.com>",
            &long,
        ] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_date_lies_in_years_that_people_mean() {
        let day = |year| NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        assert!(date(day(2000)).is_ok() && date(day(2999)).is_ok());
        for year in [-4000, 1, 1999, 3000, 262_000] {
            assert!(date(day(year)).is_err(), "{year}");
        }
        assert_eq!(
            month("2026-12").unwrap(),
            (day(2026).with_month(12).unwrap(), day(2027))
        );
        for bad in [
            "",
            "2026",
            "2026-13",
            "2026-1",
            "2026-00",
            "+026-01",
            "1999-01",
            "2026-01-01",
        ] {
            assert!(month(bad).is_none(), "{bad}");
        }
    }
}
