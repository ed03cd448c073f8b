//! Lists come in pages; each says where the next one begins.

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cursor;
use super::problem::Problem;

const LIMIT: u16 = 50;
const LIMIT_MAX: u16 = 500;

/// Which page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// `next` of the page before; the first page where absent.
    #[param(max_length = 4096)]
    pub(crate) cursor: Option<String>,
    /// How many, 1 to 500; 50 where absent.
    #[param(minimum = 1, maximum = 500)]
    pub(crate) limit: Option<u16>,
}

impl PageQuery {
    /// How many rows to read: one more than asked for tells whether there is a
    /// next page.
    pub(crate) fn rows(&self) -> Result<i64, Problem> {
        Ok(i64::from(self.limit()?) + 1)
    }

    /// The cursor of a list that goes by an id.
    pub(crate) fn after_id(&self) -> Result<Option<Uuid>, Problem> {
        self.place()?
            .map(|place| Uuid::try_parse(&place).map_err(|_| no_cursor()))
            .transpose()
    }

    /// The cursor of a list that goes down by a number.
    pub(crate) fn before_number(&self) -> Result<Option<i64>, Problem> {
        self.number()
    }

    /// The cursor of a list that goes up by a number.
    pub(crate) fn after_number(&self) -> Result<Option<i64>, Problem> {
        self.number()
    }

    fn number(&self) -> Result<Option<i64>, Problem> {
        self.place()?
            .map(|place| place.parse().map_err(|_| no_cursor()))
            .transpose()
    }

    /// The cursor of a list that goes by an id and a number.
    pub(crate) fn after_line(&self) -> Result<Option<(Uuid, i32)>, Problem> {
        self.place()?
            .map(|place| {
                let (id, line) = place.split_once('.').ok_or_else(no_cursor)?;
                let id = Uuid::try_parse(id).map_err(|_| no_cursor())?;
                Ok((id, line.parse().map_err(|_| no_cursor())?))
            })
            .transpose()
    }

    /// The cursor of a list that goes by an instant and an id.
    pub(crate) fn after_instant(&self) -> Result<Option<(DateTime<Utc>, Uuid)>, Problem> {
        self.place()?
            .map(|place| {
                let (micros, id) = place.split_once('.').ok_or_else(no_cursor)?;
                let instant = micros
                    .parse()
                    .ok()
                    .and_then(DateTime::from_timestamp_micros)
                    .filter(|instant| (1970..=9999).contains(&instant.year()))
                    .ok_or_else(no_cursor)?;
                Ok((instant, Uuid::try_parse(id).map_err(|_| no_cursor())?))
            })
            .transpose()
    }

    /// What the cursor stands for: where the page before ended.
    pub(crate) fn place(&self) -> Result<Option<String>, Problem> {
        self.cursor
            .as_deref()
            .map(|cursor| {
                let place = cursor::open(cursor);
                place
                    .filter(|place| !place.contains('\0'))
                    .ok_or_else(no_cursor)
            })
            .transpose()
    }

    /// A page of the rows that were read; `place` says where a row stands in the
    /// list, and what comes after it is the next page, whatever was added since.
    pub(crate) fn page<T>(
        &self,
        rows: Vec<T>,
        place: impl Fn(&T) -> String,
    ) -> Result<Page<T>, Problem> {
        Ok(Page::of(rows, usize::from(self.limit()?), place))
    }

    fn limit(&self) -> Result<u16, Problem> {
        match self.limit.unwrap_or(LIMIT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            _ => Err(Problem::malformed("invalid_limit", "limit: 1 to 500")),
        }
    }
}

/// The place of a row in a list that goes by an instant and an id.
pub(crate) fn at_instant(instant: DateTime<Utc>, id: Uuid) -> String {
    format!("{}.{id}", instant.timestamp_micros())
}

pub(crate) fn no_cursor() -> Problem {
    Problem::malformed(
        "invalid_cursor",
        "cursor: take `next` of the page before, as it is",
    )
}

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Page<T> {
    /// In the order of the list.
    pub(crate) items: Vec<T>,
    /// The cursor of the next page; null at the end.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// At most `limit` of the rows; whoever read them read one more, which tells
    /// that there is a next page.
    pub(crate) fn of(mut rows: Vec<T>, limit: usize, place: impl Fn(&T) -> String) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|row| cursor::seal(&place(row)));
        Self { items: rows, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(cursor: Option<&str>, limit: Option<u16>) -> PageQuery {
        PageQuery {
            cursor: cursor.map(str::to_owned),
            limit,
        }
    }

    #[test]
    fn a_full_page_says_where_the_next_begins() {
        let query = query(None, Some(2));
        assert_eq!(query.rows().unwrap(), 3);
        let page = query.page(vec![1, 2, 3], i32::to_string).unwrap();
        assert_eq!(
            (page.items, page.next),
            (vec![1, 2], Some(cursor::seal("2")))
        );
    }

    #[test]
    fn a_place_in_time_is_found_again_to_the_microsecond() {
        let (at, id) = (
            DateTime::from_timestamp_micros(1_234_567).unwrap(),
            Uuid::now_v7(),
        );
        let cursor = cursor::seal(&at_instant(at, id));
        let after = query(Some(&cursor), None).after_instant();
        assert_eq!(after.unwrap(), Some((at, id)));
    }

    #[test]
    fn the_last_page_says_that_it_is() {
        let page = query(None, Some(2))
            .page(vec![1, 2], i32::to_string)
            .unwrap();
        assert_eq!(page.next, None);
    }

    #[test]
    fn a_limit_or_a_cursor_of_ones_own_making_is_refused() {
        assert!(query(None, Some(0)).rows().is_err());
        assert!(query(None, Some(501)).rows().is_err());
        let id = Uuid::now_v7();
        for bad in ["x", &id.to_string(), &cursor::seal("x")] {
            assert!(query(Some(bad), None).after_id().is_err(), "{bad}");
        }
        assert!(
            query(Some(&cursor::seal("x.1")), None)
                .after_line()
                .is_err()
        );
        let cursor = cursor::seal(&format!("{id}.3"));
        assert_eq!(
            query(Some(&cursor), None).after_line().unwrap(),
            Some((id, 3))
        );
    }
}
