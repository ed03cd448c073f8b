//! Comparing by merging: everything that is loaded is a vector sorted by id,
//! and a comparison walks two or three of them side by side. A million rows
//! are sorted in a tenth of a second, and a row costs no more than its fields.

/// A row with an id.
pub(crate) trait HasId {
    /// The id that it is sorted by.
    fn id(&self) -> u128;
}

/// Implements [`HasId`] by a field.
macro_rules! has_id {
    ($($row:ty => $field:tt),* $(,)?) => {
        $(impl $crate::sorted::HasId for $row {
            fn id(&self) -> u128 {
                self.$field
            }
        })*
    };
}
pub(crate) use has_id;

/// Sorts rows by their ids.
pub(crate) fn sort<T: HasId>(rows: &mut [T]) {
    rows.sort_unstable_by_key(HasId::id);
}

/// The rows of each id, by ascending id.
pub(crate) fn groups<T: HasId>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    rows.chunk_by(|a, b| a.id() == b.id())
}

/// The rows of an id, found by halving.
pub(crate) fn find<T: HasId>(rows: &[T], id: u128) -> &[T] {
    let from = rows.partition_point(|row| row.id() < id);
    of_first(&rows[from..], id)
}

fn of_first<T: HasId>(rows: &[T], id: u128) -> &[T] {
    let count = rows.iter().take_while(|row| row.id() == id).count();
    &rows[..count]
}

/// Walks sorted rows beside others.
pub(crate) struct Cursor<'a, T> {
    rest: &'a [T],
}

impl<'a, T: HasId> Cursor<'a, T> {
    /// Before the first row.
    pub(crate) fn new(rows: &'a [T]) -> Self {
        Self { rest: rows }
    }

    /// The rows of an id. Ids are asked for in ascending order.
    pub(crate) fn of(&mut self, id: u128) -> &'a [T] {
        let passed = self.rest.iter().take_while(|row| row.id() < id).count();
        self.rest = &self.rest[passed..];
        of_first(self.rest, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(u128);
    has_id!(Row => 0);

    fn rows(ids: &[u128]) -> Vec<Row> {
        ids.iter().copied().map(Row).collect()
    }

    #[test]
    fn a_cursor_gives_the_rows_of_ascending_ids_and_skips_the_others() {
        let rows = rows(&[1, 3, 3, 7]);
        let mut cursor = Cursor::new(&rows);
        let found: Vec<usize> = [0, 1, 2, 3, 3, 7, 9].map(|id| cursor.of(id).len()).to_vec();
        assert_eq!(found, [0, 1, 0, 2, 2, 1, 0]);
    }

    #[test]
    fn rows_are_found_by_halving() {
        let rows = rows(&[1, 3, 3, 7]);
        assert_eq!(
            [0, 1, 3, 4, 7, 8].map(|id| find(&rows, id).len()),
            [0, 1, 2, 0, 1, 0]
        );
        assert_eq!(groups(&rows).count(), 3);
    }
}
