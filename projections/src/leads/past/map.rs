//! Which zone map tells about a list of leads, and how the list is read by it.
//!
//! What a map is: [`crate::zone_maps`]. On a connection on which the tables are those of the moment.

use sqlx::PgConnection;

use super::Past;
use crate::leads::counts::LeadFilter;
use crate::leads::list::{self, Cursor, SortColumn, Wanted};
use crate::page::PageRequest;
use crate::zone_maps::{self, Found, Place, Walk, ZonedList};

/// Of the leads that a zone map tells of, one in so many at least must be wanted.
const DENSE: i64 = 128;

/// A list that can have a zone map, and a part of it, that hold all leads of a list that is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    pub list: &'static ZonedList,
    part: i64,
    /// Of the leads that it tells of, one in so many is wanted.
    one_in: i64,
}

impl Map {
    /// The map in whose order the leads lie. `all` is how many are wanted; `None` where they are so few of those that the map tells of that
    /// looking for them there would cost more than to read them by another index.
    pub async fn of(
        connection: &mut PgConnection,
        past: Past<'_>,
        list: Wanted<'_>,
        all: i64,
    ) -> Result<Option<Self>, sqlx::Error> {
        let (zoned, one_part, told_of) = zoned(list);
        let told_of = past.leads(connection, list.company, &told_of).await?;
        let whole = told_of == all && list.text.is_none() && list.filter.created() == (None, None);
        let map = Self {
            list: zoned,
            part: one_part,
            one_in: if whole {
                1
            } else {
                (told_of / all.max(1)).max(2)
            },
        };
        Ok((all.saturating_mul(DENSE) >= told_of).then_some(map))
    }

    /// How many leads the map in whose order the leads lie tells of, whether or not there is one.
    pub async fn told_of(
        connection: &mut PgConnection,
        past: Past<'_>,
        list: Wanted<'_>,
    ) -> Result<i64, sqlx::Error> {
        let (_, _, told_of) = zoned(list);
        past.leads(connection, list.company, &told_of).await
    }

    /// Of the leads that it tells of, one in so many is wanted.
    pub const fn one_in(self) -> i64 {
        self.one_in
    }

    /// The leads up to the end of the page and one more.
    pub async fn walked(
        self,
        connection: &mut PgConnection,
        list: Wanted<'_>,
        request: &PageRequest<Cursor>,
    ) -> Result<Found, sqlx::Error> {
        let after = request.after().map(|cursor| match cursor {
            Cursor::Time(time, id) => Place::At(*time, *id),
            Cursor::Name(name, id) => Place::Name(name.clone(), *id),
            Cursor::Id(id) => Place::Number(*id, *id),
        });
        self.walk(list, after).ids(connection, request).await
    }

    /// How the list is read, from this place on or from its beginning.
    pub fn walk(self, list: Wanted<'_>, after: Option<Place>) -> Walk<'_> {
        Walk {
            company: list.company,
            list: self.list,
            part: self.part,
            descending: list.sort.descending,
            after,
            times: match list.sort.column {
                SortColumn::CreatedAt => list.filter.created(),
                _ => (None, None),
            },
            one_in: self.one_in,
            rows: Box::new(move |query| {
                query.push(" FROM leads l");
                if list.sort.column == SortColumn::CreatedAt {
                    list::push_conditions(query, list.company, list.filter, list.text);
                    return;
                }
                let undated = LeadFilter {
                    created_from: None,
                    created_to: None,
                    ..list.filter.clone()
                };
                list::push_conditions(query, list.company, &undated, list.text);
                // In no index: in every zone PostgreSQL would read those of the days by another index than the list's.
                list::push_created(query, list.filter, "l.created_at + interval '0'");
            }),
        }
    }
}

/// The list whose zone map has these leads in their order, the part of it, and which leads that tells of.
fn zoned(list: Wanted<'_>) -> (&'static ZonedList, i64, LeadFilter) {
    let filter = list.filter;
    let all = match list.sort.column {
        SortColumn::CreatedAt => &zone_maps::CREATED,
        SortColumn::UpdatedAt => &zone_maps::UPDATED,
        SortColumn::FullName => &zone_maps::NAMED,
        SortColumn::Id => &zone_maps::BY_ID,
    };
    if list.sort.column != SortColumn::CreatedAt {
        return (all, 0, LeadFilter::default());
    }
    // A walk by the map passes over zones of other days.
    let of_days = LeadFilter {
        created_from: filter.created_from,
        created_to: filter.created_to,
        ..LeadFilter::default()
    };
    let assignee = match (filter.user_access_ids.as_deref(), filter.or_unassigned) {
        (Some([]), true) => Some(0),
        (Some([one]), false) => Some(*one),
        _ => None,
    };
    if let Some(part) = assignee {
        let told_of = LeadFilter {
            user_access_ids: filter.user_access_ids.clone(),
            or_unassigned: filter.or_unassigned,
            ..of_days
        };
        return (&zone_maps::OF_ASSIGNEE, part, told_of);
    }
    let mut told_of = of_days;
    let (zoned, part) = if let Some(stage) = filter.stage_id {
        told_of.stage_id = Some(stage);
        (&zone_maps::OF_STAGE, stage)
    } else if let Some(source) = filter.source_id {
        told_of.source_id = Some(source);
        (&zone_maps::OF_SOURCE, source)
    } else if let Some(campaign) = filter.campaign_id {
        told_of.campaign_id = Some(campaign);
        (&zone_maps::OF_CAMPAIGN, campaign)
    } else if let Some(territory) = filter.territory_id {
        told_of.territory_id = Some(territory);
        (&zone_maps::OF_TERRITORY, territory)
    } else if let Some(cycle) = filter.cycle_id {
        told_of.cycle_id = Some(cycle);
        (&zone_maps::OF_CYCLE, cycle)
    } else {
        (all, 0)
    };
    (zoned, part, told_of)
}
