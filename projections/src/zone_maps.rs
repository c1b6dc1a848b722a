//! Zone maps: where in the order of a list the rows of a past moment lie, so that the stretches that hold nothing of it are passed over.
//!
//! A list as of a moment is made of today's rows and of kept versions in one order (see [`crate::leads::past`]). After a whole company was
//! renamed, or an import of thousands taken back, long stretches of both held at other times only, and whoever walks the indexes
//! walks through them. A map cuts the order into zones, each with the positions at which any of its rows held: as the zone
//! maps of analytical stores do with blocks, only along an order, and for all moments at once. What held at a position stays
//! what it is for ever, in whichever of the two tables it stands, and so a map is right for every moment up to the one when it was
//! made.
//!
//! Here is which lists can have maps; `walk` reads lists by them, [`build`] makes and checks them, [`survey`] tells which are to be made
//! before anybody asks.

pub mod build;
pub mod survey;
mod walk;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

pub(crate) use walk::{ASTRAY, Found, Walk};

/// How many zones are a group.
const GROUP: i64 = 32;

/// Whether a map `m` tells about names that were erased since: they stand at another place now.
const OUTDATED: &str = "(m.list = 'full_name' AND EXISTS (SELECT 1 FROM public.lead_erasures e \
     WHERE e.company_id = m.company_id AND e.erased_position > m.as_of))";

/// A list that can have a map: one order of one table, whole or in parts.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ZonedList {
    /// In `past.zone_maps.list`.
    pub name: &'static str,
    table: &'static str,
    /// The column of the live table that tells since which position a row is what it is.
    since: &'static str,
    /// What the list is of, such as a stage; of the type `bigint`.
    part: &'static str,
    /// SQL: the rows that are in some part.
    within: &'static str,
    /// The first column of the order, and in which columns of `past.zones` its values stand.
    key: &'static str,
    kind: &'static str,
    /// The second column of the order.
    id: &'static str,
}

impl ZonedList {
    const fn of_leads(name: &'static str, part: &'static str) -> Self {
        Self {
            name,
            table: "leads",
            since: "position",
            part,
            within: "true",
            key: "created_at",
            kind: "at",
            id: "id",
        }
    }

    /// Of the leads that have something of what the list is of: nobody asks for the others.
    const fn of_leads_with(name: &'static str, part: &'static str, within: &'static str) -> Self {
        Self {
            within,
            ..Self::of_leads(name, part)
        }
    }

    /// The list of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|list| list.name == name)
    }
}

/// A company's leads in the order in which they came.
pub const CREATED: ZonedList = ZonedList::of_leads("created_at", "0");
/// By their ids.
pub const BY_ID: ZonedList = ZonedList {
    key: "id",
    kind: "number",
    ..ZonedList::of_leads("id", "0")
};
/// In the order of their last change.
pub const UPDATED: ZonedList = ZonedList {
    key: "updated_at",
    ..ZonedList::of_leads("updated_at", "0")
};
/// By their names.
pub const NAMED: ZonedList = ZonedList {
    key: "full_name",
    kind: "name",
    ..ZonedList::of_leads("full_name", "0")
};
/// Those in a stage, as they came; likewise the next ones.
pub const OF_STAGE: ZonedList = ZonedList::of_leads("stage", "stage_id");
/// Those of an assignee, or of nobody.
pub const OF_ASSIGNEE: ZonedList = ZonedList::of_leads("assignee", "coalesce(user_access_id, 0)");
/// Those from a source.
pub const OF_SOURCE: ZonedList =
    ZonedList::of_leads_with("source", "source_id", "source_id IS NOT NULL");
/// Those of a campaign.
pub const OF_CAMPAIGN: ZonedList =
    ZonedList::of_leads_with("campaign", "campaign_id", "campaign_id IS NOT NULL");
/// Those of a territory.
pub const OF_TERRITORY: ZonedList =
    ZonedList::of_leads_with("territory", "territory_id", "territory_id IS NOT NULL");
/// Those of a sales cycle.
pub const OF_CYCLE: ZonedList =
    ZonedList::of_leads_with("cycle", "cycle_id", "cycle_id IS NOT NULL");
/// The duplicates, group by group.
pub const DUPLICATES: ZonedList = ZonedList {
    name: "duplicates",
    table: "duplicates",
    since: "since",
    part: "0",
    within: "true",
    key: "duplicate_group",
    kind: "number",
    id: "lead_id",
};

/// Every list that can have a map.
pub const ALL: [ZonedList; 11] = [
    CREATED,
    BY_ID,
    UPDATED,
    NAMED,
    OF_STAGE,
    OF_ASSIGNEE,
    OF_SOURCE,
    OF_CAMPAIGN,
    OF_TERRITORY,
    OF_CYCLE,
    DUPLICATES,
];

/// A place in the order of a list: the value and the id of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    At(DateTime<Utc>, i64),
    Name(String, i64),
    Number(i64, i64),
}

impl Place {
    fn read(list: &ZonedList, row: &PgRow, key: usize, id: usize) -> Result<Self, sqlx::Error> {
        let id = row.try_get(id)?;
        Ok(match list.kind {
            "at" => Self::At(row.try_get(key)?, id),
            "name" => Self::Name(row.try_get(key)?, id),
            _ => Self::Number(row.try_get(key)?, id),
        })
    }

    fn push(&self, query: &mut QueryBuilder<'_, Postgres>) {
        let id = match self {
            Self::At(at, id) => {
                query.push("(").push_bind(*at);
                id
            }
            Self::Name(name, id) => {
                query.push("(").push_bind(name.clone());
                id
            }
            Self::Number(number, id) => {
                query.push("(").push_bind(*number);
                id
            }
        };
        query.push(", ").push_bind(*id).push(")");
    }
}
