//! How many leads of a very large company contain a text, on a real database.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

#[expect(
    dead_code,
    reason = "each test binary takes what it needs of what they share"
)]
mod support;

use aggregates::ids::CompanyId;
use projections::leads::counts::LeadFilter;
use projections::leads::list::{self, Sort, SortColumn, Wanted};
use projections::page::{PageFrom, PageRequest};
use support::database::TestDatabase;

/// So many that what most of them contain is estimated by the coarse sample.
const LEADS: i64 = 260_000;

/// As many as another has, all of which contain `every` too.
const OTHERS: i64 = 20_000;

/// Its leads contain `every`, each in a place that the id does not tell of; four in five `most`, one in twenty `some`, one in a hundred `few`.
async fn companies_of_many(database: &TestDatabase) {
    // The rows are the test's subject, and come sooner without the other indexes.
    let statements = [
        "DROP INDEX leads_created, leads_updated, leads_name, leads_stage, leads_assignee, leads_id, leads_search".to_owned(),
        format!(
            "INSERT INTO leads (id, company_id, full_name, search, stage_id, answers, extra, version, position, created_at, updated_at, stage_entered_at) \
             SELECT id, 1, '', 'every' || CASE WHEN dice < 0.01 THEN ' few' ELSE '' END || CASE WHEN dice < 0.05 THEN ' some' ELSE '' END \
             || CASE WHEN dice < 0.8 THEN ' most' ELSE '' END, 1, '{{}}', '{{}}', 1, id, now(), now(), now() \
             FROM (SELECT id, ('x' || substr(md5(id::text), 1, 7))::bit(28)::int / 268435456.0 AS dice FROM generate_series(1, {LEADS}) id) leads"
        ),
        format!(
            "INSERT INTO leads (id, company_id, full_name, search, stage_id, answers, extra, version, position, created_at, updated_at, stage_entered_at) \
             SELECT id, 2, '', 'every', 1, '{{}}', '{{}}', 1, id, now(), now(), now() FROM generate_series({LEADS} + 1, {LEADS} + {OTHERS}) id"
        ),
        "CREATE INDEX leads_search ON leads USING gin (company_id, search gin_trgm_ops, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id)".to_owned(),
        format!(
            "INSERT INTO stage_counts (company_id, stage_id, source_id, campaign_id, cycle_id, territory_id, user_access_id, count) \
             VALUES (1, 1, 0, 0, 0, 0, 0, {LEADS}), (2, 1, 0, 0, 0, 0, 0, {OTHERS})"
        ),
    ];
    for statement in statements {
        sqlx::query(&statement)
            .execute(database.pool())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_sample_tells_how_many_of_very_many_contain_a_text() {
    let database = TestDatabase::create().await;
    companies_of_many(&database).await;
    let mut connection = database.pool().acquire().await.unwrap();
    let mut told = Vec::new();
    for analyzed in [false, true] {
        if analyzed {
            sqlx::query("ANALYZE leads")
                .execute(&mut *connection)
                .await
                .unwrap();
        }
        for (company, text, share) in [
            (1, "every", 1.0),
            (1, "most", 0.8),
            (1, "some", 0.05),
            (1, "few", 0.01),
            // Found among those of all, or walked through among those of the company: as the planner expects of everybody's.
            (2, "every", 1.0),
        ] {
            let company = CompanyId(company);
            let list = Wanted {
                company,
                filter: &LeadFilter::default(),
                text: Some(text),
                sort: Sort {
                    column: SortColumn::CreatedAt,
                    descending: true,
                },
            };
            let mut shown = Vec::new();
            let mut total = None;
            for from in [0, 20] {
                let request = PageRequest {
                    per_page: 20,
                    from: PageFrom::Offset(from),
                };
                let (told, page) = list::page(&mut connection, list, &request).await.unwrap();
                assert!(page.more, "{text}");
                assert!(total.is_none_or(|total| total == told), "{text}");
                total = Some(told);
                shown.extend(page.rows.iter().map(|row| row.id));
            }
            let total = total.unwrap();
            let first: Vec<i64> = sqlx::query_scalar(
                "SELECT id FROM leads WHERE company_id = $1 AND search LIKE $2 ORDER BY created_at DESC, id DESC LIMIT 40",
            )
            .bind(company.get())
            .bind(format!("%{text}%"))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
            assert_eq!(shown, first, "{text}");
            let real: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM leads WHERE company_id = $1 AND search LIKE $2",
            )
            .bind(company.get())
            .bind(format!("%{text}%"))
            .fetch_one(&mut *connection)
            .await
            .unwrap();
            let count = total.count;
            assert_eq!(total.is_estimate, share > 0.01, "{text}");
            let off = if total.is_estimate { real / 8 } else { 0 };
            assert!((count - real).abs() <= off, "{text}: {count} of {real}");
            assert!(count <= LEADS, "{text}: {count}");
            told.push(total);
        }
    }
    // Whatever the planner knows, it does not count.
    let (first, second) = told.split_at(told.len() / 2);
    assert_eq!(first, second);
}
