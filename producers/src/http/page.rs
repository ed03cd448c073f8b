//! Lists come in pages; each says where the next one begins.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::problem::Problem;

const LIMIT: u16 = 50;
const LIMIT_MAX: u16 = 500;

/// Which page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// `next` of the page before; the first page where absent.
    pub(crate) cursor: Option<String>,
    /// How many, 1 to 500; 50 where absent.
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
        self.cursor
            .as_deref()
            .map(|cursor| Uuid::try_parse(cursor).map_err(|_| no_cursor()))
            .transpose()
    }

    /// The cursor of a list that goes down by a number.
    pub(crate) fn before_number(&self) -> Result<Option<i64>, Problem> {
        self.cursor
            .as_deref()
            .map(|cursor| cursor.parse().map_err(|_| no_cursor()))
            .transpose()
    }

    /// The cursor of a list that goes by an id and a number.
    pub(crate) fn after_line(&self) -> Result<Option<(Uuid, i16)>, Problem> {
        self.cursor
            .as_deref()
            .map(|cursor| {
                let (id, line) = cursor.split_once('.').ok_or_else(no_cursor)?;
                let id = Uuid::try_parse(id).map_err(|_| no_cursor())?;
                Ok((id, line.parse().map_err(|_| no_cursor())?))
            })
            .transpose()
    }

    /// A page of the rows that were read.
    pub(crate) fn page<T>(
        &self,
        mut rows: Vec<T>,
        cursor: impl Fn(&T) -> String,
    ) -> Result<Page<T>, Problem> {
        let limit = usize::from(self.limit()?);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(cursor);
        Ok(Page { items: rows, next })
    }

    fn limit(&self) -> Result<u16, Problem> {
        match self.limit.unwrap_or(LIMIT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            _ => Err(Problem::malformed("invalid_query", "limit: 1 to 500")),
        }
    }
}

pub(crate) fn no_cursor() -> Problem {
    Problem::malformed(
        "invalid_query",
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
        assert_eq!((page.items, page.next.as_deref()), (vec![1, 2], Some("2")));
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
        assert!(query(Some("x"), None).after_id().is_err());
        assert!(query(Some("x.1"), None).after_line().is_err());
        let id = Uuid::now_v7();
        let cursor = format!("{id}.3");
        assert_eq!(
            query(Some(&cursor), None).after_line().unwrap(),
            Some((id, 3))
        );
    }
}
