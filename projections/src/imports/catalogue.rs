//! What rows of a file may name: the sources, campaigns, territories, questions and people of a company and of those above it.

use std::collections::{HashMap, HashSet};

use sqlx::{FromRow, PgConnection};

use crate::search;

/// Things by their id, and by their name without regard to case and accents. A company's own come before those above it.
#[derive(Debug, Clone, Default)]
pub struct Named {
    ids: HashSet<i64>,
    names: HashMap<String, i64>,
}

impl Named {
    fn add(&mut self, id: i64, name: &str) {
        self.ids.insert(id);
        let folded = search::fold(name.trim());
        if !folded.is_empty() {
            self.names.entry(folded).or_insert(id);
        }
    }

    /// Whether one has this id.
    #[must_use]
    pub fn has(&self, id: i64) -> bool {
        self.ids.contains(&id)
    }

    /// What the text names: by name, else by id.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        let by_name = self.names.get(&search::fold(text)).copied();
        by_name.or_else(|| {
            let id: i64 = text.parse().ok()?;
            self.ids.contains(&id).then_some(id)
        })
    }
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// Sources.
    pub sources: Named,
    /// Campaigns.
    pub campaigns: Named,
    /// The source of each campaign that has one.
    pub campaign_sources: HashMap<i64, i64>,
    /// Territories.
    pub territories: Named,
    /// Questions by their text.
    pub questions: Named,
    /// What kind of answer each question takes.
    pub question_types: HashMap<i64, String>,
    /// Accesses, by the person's name or e-mail.
    pub people: Named,
    /// Whose each access is.
    pub users: HashMap<i64, i64>,
}

#[derive(FromRow)]
struct Thing {
    kind: String,
    id: i64,
    name: String,
    /// A campaign's source, an access' user.
    other: Option<i64>,
    /// A question's type, a person's e-mail.
    text: Option<String>,
}

/// What may be named in a company whose path from the root this is.
///
/// # Errors
/// What the database answers.
pub async fn of_path(
    connection: &mut PgConnection,
    path: &[i64],
) -> Result<Catalogue, sqlx::Error> {
    let things: Vec<Thing> = sqlx::query_as(
        "SELECT t.kind, t.id, t.name, t.other, t.text FROM unnest($1::bigint[]) WITH ORDINALITY AS p(company_id, n) \
         CROSS JOIN LATERAL ( \
             SELECT 'source' AS kind, s.id, s.name, NULL::bigint AS other, NULL::text AS text \
             FROM sources s WHERE s.company_id = p.company_id AND s.priority IS NOT NULL \
             UNION ALL SELECT 'campaign', c.id, c.name, c.source_id, NULL FROM campaigns c WHERE c.company_id = p.company_id \
             UNION ALL SELECT 'territory', t.id, t.name, NULL, NULL FROM territories t WHERE t.company_id = p.company_id \
             UNION ALL SELECT 'question', q.id, q.text, NULL, q.question_type FROM questions q \
             WHERE q.company_id = p.company_id AND q.priority IS NOT NULL \
             UNION ALL SELECT 'person', a.id, u.full_name, u.id, u.email \
             FROM user_accesses a JOIN users u ON u.id = a.user_id WHERE a.company_id = p.company_id \
         ) t ORDER BY p.n DESC, t.id",
    )
    .bind(path)
    .fetch_all(connection)
    .await?;
    let mut catalogue = Catalogue::default();
    for thing in things {
        match thing.kind.as_str() {
            "source" => catalogue.sources.add(thing.id, &thing.name),
            "campaign" => {
                catalogue.campaigns.add(thing.id, &thing.name);
                let source = thing.other.map(|source| (thing.id, source));
                catalogue.campaign_sources.extend(source);
            }
            "territory" => catalogue.territories.add(thing.id, &thing.name),
            "question" => {
                catalogue.questions.add(thing.id, &thing.name);
                let question_type = thing.text.map(|text| (thing.id, text));
                catalogue.question_types.extend(question_type);
            }
            _ => {
                catalogue.people.add(thing.id, &thing.name);
                if let Some(email) = thing.text {
                    catalogue.people.add(thing.id, &email);
                }
                let user = thing.other.map(|user| (thing.id, user));
                catalogue.users.extend(user);
            }
        }
    }
    Ok(catalogue)
}
