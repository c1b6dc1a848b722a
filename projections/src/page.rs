//! Pages of a list: by number, or by an opaque cursor that costs the same however deep it points.

use sqlx::{Postgres, QueryBuilder};

use crate::total::EXACT_UP_TO;

/// Which part of a list is wanted.
#[derive(Debug, Clone)]
pub struct PageRequest<C> {
    /// How many rows; a client may ask for 1 to 100.
    pub per_page: i64,
    /// From where.
    pub from: PageFrom<C>,
}

/// Where a page begins.
#[derive(Debug, Clone)]
pub enum PageFrom<C> {
    /// After this many rows.
    Offset(i64),
    /// After the row that the cursor names.
    After(C),
}

impl<C> PageRequest<C> {
    /// The offset for SQL: 0 when a cursor gives the place.
    #[must_use]
    pub fn offset(&self) -> i64 {
        match self.from {
            PageFrom::Offset(rows) => rows,
            PageFrom::After(_) => 0,
        }
    }

    /// Whether so many rows are a page and one more.
    pub(crate) fn is_filled_by(&self, rows: usize) -> bool {
        usize::try_from(self.per_page).is_ok_and(|page| rows > page)
    }

    /// The cursor, when one gives the place.
    #[must_use]
    pub fn after(&self) -> Option<&C> {
        match &self.from {
            PageFrom::After(cursor) => Some(cursor),
            PageFrom::Offset(_) => None,
        }
    }
}

impl<C> PageRequest<C> {
    /// Appends the limit for a page and one row more, and the offset.
    ///
    /// With `one_plan`, for lists that an index gives in their order whatever is asked for, the first page's limit stands in the
    /// statement itself. Of a limit that is a parameter PostgreSQL expects a tenth of the rows, and so it plans the statement anew each
    /// time, which takes several times as long as reading a page.
    pub(crate) fn push_window(&self, query: &mut QueryBuilder<'_, Postgres>, one_plan: bool) {
        let rows = self.per_page + 1;
        query.push(" LIMIT ");
        match self.offset() {
            0 if one_plan => {
                query.push(rows);
            }
            0 => {
                query.push_bind(rows);
            }
            offset => {
                query.push_bind(rows).push(" OFFSET ").push_bind(offset);
            }
        }
    }
}

/// The rows of a page, and whether more follow.
#[derive(Debug, Clone)]
pub struct Page<R> {
    /// At most `per_page` rows.
    pub rows: Vec<R>,
    /// Whether the list goes on.
    pub more: bool,
}

impl<R> Page<R> {
    /// From rows that were fetched with one more than asked for.
    #[must_use]
    pub fn from_overfetch(mut rows: Vec<R>, per_page: i64) -> Self {
        let wanted = usize::try_from(per_page).unwrap_or(usize::MAX);
        let more = rows.len() > wanted;
        rows.truncate(wanted);
        Self { rows, more }
    }
}

/// How many rows a list has in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// The number, exact or estimated.
    pub count: i64,
    /// Whether it is an estimate; only above 10,000.
    pub is_estimate: bool,
}

impl Total {
    /// A number that is known to be right.
    #[must_use]
    pub const fn exact(count: i64) -> Self {
        Self {
            count,
            is_estimate: false,
        }
    }

    /// A guess at a number of which is known that it is above 10,000.
    #[must_use]
    pub(crate) fn estimated(guess: i64) -> Self {
        Self {
            count: guess.max(EXACT_UP_TO + 1),
            is_estimate: true,
        }
    }
}
