//! Pages on the wire: `page`/`per_page`, or an opaque `cursor`, and the `meta` of every list (contract, "Conventions").

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use projections::page::{PageFrom, PageRequest, Total};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::field_errors::FieldErrors;
use crate::api::problem::Problem;

/// The part of a list that is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Number of the page, from 1. Deep pages are cheaper by `cursor`.
    #[param(minimum = 1, default = 1)]
    page: Option<i64>,
    /// Rows a page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 25)]
    per_page: Option<i64>,
    /// `meta.next_cursor` of the page before; instead of `page`.
    cursor: Option<String>,
}

/// A checked [`PageQuery`].
pub struct Wanted<C> {
    pub request: PageRequest<C>,
    page: Option<i64>,
}

impl PageQuery {
    /// Checks the numbers and decodes the cursor.
    ///
    /// # Errors
    /// 400 naming the parameter.
    pub fn check<C: DeserializeOwned>(self) -> Result<Wanted<C>, Problem> {
        let refuse = |name: &str, message: &str| {
            Err(Problem::malformed_query(FieldErrors::of(name, message)))
        };
        let per_page = self.per_page.unwrap_or(25);
        if !(1..=100).contains(&per_page) {
            return refuse("per_page", "must be between 1 and 100");
        }
        if let Some(cursor) = self.cursor {
            let decoded = URL_SAFE_NO_PAD.decode(cursor).ok();
            let Some(after) = decoded.and_then(|text| serde_json::from_slice(&text).ok()) else {
                return refuse("cursor", "is not a cursor of this list");
            };
            return Ok(Wanted {
                request: PageRequest {
                    per_page,
                    from: PageFrom::After(after),
                },
                page: None,
            });
        }
        let page = self.page.unwrap_or(1);
        if page < 1 {
            return refuse("page", "must be at least 1");
        }
        let Some(offset) = (page - 1).checked_mul(per_page) else {
            return refuse("page", "is beyond the end of any list");
        };
        Ok(Wanted {
            request: PageRequest {
                per_page,
                from: PageFrom::Offset(offset),
            },
            page: Some(page),
        })
    }
}

/// What a list says about itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct Meta {
    /// Null when the page was reached by cursor.
    current_page: Option<i64>,
    next_page: Option<i64>,
    prev_page: Option<i64>,
    total_pages: i64,
    total_count: i64,
    /// Whether `total_count` is an estimate; only above 10,000.
    total_is_estimate: bool,
    per_page: i64,
    /// Continues the list after this page; null on the last one.
    next_cursor: Option<String>,
}

impl<C> Wanted<C> {
    /// The list's `meta`; `next` is the cursor after its last row when the list goes on.
    pub fn meta(&self, total: Total, next: Option<&impl Serialize>) -> Meta {
        let per_page = self.request.per_page;
        let more = next.is_some();
        Meta {
            current_page: self.page,
            next_page: self.page.filter(|_| more).map(|page| page + 1),
            prev_page: self.page.filter(|page| *page > 1).map(|page| page - 1),
            total_pages: ((total.count + per_page - 1) / per_page).max(1),
            total_count: total.count,
            total_is_estimate: total.is_estimate,
            per_page,
            next_cursor: next.map(|cursor| {
                let text = serde_json::to_vec(cursor).expect("numbers and text always serialise");
                URL_SAFE_NO_PAD.encode(text)
            }),
        }
    }
}
