//! One SQL statement that writes a whole batch: `WITH head AS (…), a AS (INSERT …), b AS (UPDATE …) SELECT …`.
//!
//! Every part joins the one-row relation `head`. When the ledger has moved on under the batch, `head` is empty, and so is
//! the effect of every part: the statement is all or nothing in one round trip, without an explicit transaction.

use std::fmt::Write as _;

use sqlx::postgres::PgArguments;
use sqlx::{Arguments, Encode, Postgres, Type};

/// The statement under construction: text with `$n` placeholders, and their values.
#[derive(Default)]
pub struct Statement {
    sql: String,
    arguments: PgArguments,
    bound: usize,
    parts: usize,
    visible_from: Option<i64>,
}

impl Statement {
    /// Starts with the part `head`, whose body must yield one row when the batch may be written, else none.
    #[must_use]
    pub fn guarded_by(head: impl FnOnce(&mut Self)) -> Self {
        let mut statement = Self::default();
        statement.part("head", head);
        statement
    }

    /// Starts with a `head` that always holds: for a caller that has the ledger to itself.
    #[must_use]
    pub fn unguarded() -> Self {
        Self::guarded_by(|s| {
            s.sql("SELECT 1 AS held");
        })
    }

    /// The same, for tables that readers read: they see what it writes from this ledger position on, and what it replaces
    /// has to be kept for those who ask for the past.
    #[must_use]
    pub fn visible_from(mut self, position: i64) -> Self {
        self.visible_from = Some(position);
        self
    }

    /// The position from which readers see what is written; `None` when nobody reads the tables, as in a rebuild.
    #[must_use]
    pub fn is_visible_from(&self) -> Option<i64> {
        self.visible_from
    }

    /// Adds a part. Its body must read `FROM head, …` (or `USING head`), so that the guard holds for it too.
    pub fn part(&mut self, name: &str, body: impl FnOnce(&mut Self)) {
        self.sql
            .push_str(if self.parts == 0 { "WITH " } else { ",\n" });
        self.parts += 1;
        self.sql.push_str(name);
        self.sql.push_str(" AS (");
        body(self);
        self.sql.push(')');
    }

    /// Appends literal SQL. Never pass anything here that a client sent.
    pub fn sql(&mut self, text: &str) -> &mut Self {
        self.sql.push_str(text);
        self
    }

    /// Appends a placeholder for `value`.
    ///
    /// # Panics
    /// When the value cannot be encoded, which for numbers, text, bytes, times and their arrays means more than 2 GiB.
    pub fn bind<T>(&mut self, value: T) -> &mut Self
    where
        T: for<'q> Encode<'q, Postgres> + Type<Postgres> + 'static,
    {
        self.arguments
            .add(value)
            .expect("numbers, text, bytes, times and their arrays always encode");
        self.bound += 1;
        let n = self.bound;
        write!(self.sql, "${n}").expect("writing into a String cannot fail");
        self
    }

    /// Appends `, $n`: the next array of an `unnest` call, or the next value of a list.
    pub fn also<T>(&mut self, value: T) -> &mut Self
    where
        T: for<'q> Encode<'q, Postgres> + Type<Postgres> + 'static,
    {
        self.sql.push_str(", ");
        self.bind(value)
    }

    /// Whether anything but the guard was added.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        self.parts > 1
    }

    /// Ends with a query that counts the guard's rows: 1 when everything was written, 0 when nothing was.
    #[must_use]
    pub fn finish(mut self) -> (String, PgArguments) {
        self.sql.push_str("\nSELECT count(*) FROM head");
        (self.sql, self.arguments)
    }
}
