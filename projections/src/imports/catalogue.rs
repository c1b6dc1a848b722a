//! What rows of a file may name: the sources, campaigns, territories, questions and people of a company and of those above it.

use std::collections::{HashMap, HashSet};

use sqlx::{FromRow, PgConnection};

use crate::search;

/// Things by their id, and by their name without regard to case and accents. A company's own come before those above it.
#[derive(Debug, Clone, Default)]
pub struct Named {
    ids: HashSet<i64>,
    names: HashMap<String, Holders>,
}

/// Who has a name.
#[derive(Debug, Clone)]
struct Holders {
    /// The nearest first.
    ids: Vec<i64>,
    /// What the first of them stands for, and how near it is.
    first: (i64, i64),
    /// Whether another one is as near.
    ambiguous: bool,
}

/// What a text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This one.
    One(i64),
    /// Nothing.
    Nothing,
    /// Several, of which none comes before the others.
    Several,
}

impl Named {
    /// To be called for the nearest first. `stands_for` tells two of a name from one that is there twice, `distance` which of two comes
    /// before the other.
    fn add(&mut self, id: i64, name: &str, stands_for: i64, distance: i64) {
        self.ids.insert(id);
        let folded = search::fold(name.trim());
        if folded.is_empty() {
            return;
        }
        let holders = self.names.entry(folded).or_insert_with(|| Holders {
            ids: Vec::new(),
            first: (stands_for, distance),
            ambiguous: false,
        });
        let (first, nearest) = holders.first;
        holders.ambiguous |= first != stands_for && nearest == distance;
        holders.ids.push(id);
    }

    /// Whether one has this id.
    #[must_use]
    pub fn has(&self, id: i64) -> bool {
        self.ids.contains(&id)
    }

    /// All that have this name, the nearest first.
    #[must_use]
    pub fn by_name(&self, name: &str) -> &[i64] {
        let holders = self.names.get(&search::fold(name.trim()));
        holders.map_or(&[], |holders| &holders.ids)
    }

    /// What the text names: by name, else by id.
    #[must_use]
    pub fn find(&self, text: &str) -> Found {
        let text = text.trim();
        if let Some(holders) = self.names.get(&search::fold(text)) {
            return match holders.ids.first() {
                Some(id) if !holders.ambiguous => Found::One(*id),
                _ => Found::Several,
            };
        }
        let id = text.parse().ok().filter(|id| self.ids.contains(id));
        id.map_or(Found::Nothing, Found::One)
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
    /// How far from the root its company is.
    depth: i64,
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
        "SELECT t.kind, t.id, t.name, t.other, t.text, p.n AS depth FROM unnest($1::bigint[]) WITH ORDINALITY AS p(company_id, n) \
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
        let add = |to: &mut Named| to.add(thing.id, &thing.name, thing.id, thing.depth);
        match thing.kind.as_str() {
            "source" => add(&mut catalogue.sources),
            "campaign" => {
                add(&mut catalogue.campaigns);
                let source = thing.other.map(|source| (thing.id, source));
                catalogue.campaign_sources.extend(source);
            }
            "territory" => add(&mut catalogue.territories),
            "question" => {
                add(&mut catalogue.questions);
                let question_type = thing.text.map(|text| (thing.id, text));
                catalogue.question_types.extend(question_type);
            }
            _ => {
                // A namesake in a company above may be meant just as well.
                let user = thing.other.unwrap_or(thing.id);
                let mut add = |name: &str| catalogue.people.add(thing.id, name, user, 0);
                add(&thing.name);
                if let Some(email) = &thing.text {
                    add(email);
                }
                let user = thing.other.map(|user| (thing.id, user));
                catalogue.users.extend(user);
            }
        }
    }
    Ok(catalogue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_a_name_is_meant_and_two_as_near_are_ambiguous() {
        let mut named = Named::default();
        named.add(7, "Web", 7, 2);
        named.add(3, "WEB", 3, 1);
        named.add(8, "Fair", 8, 1);
        named.add(9, "fair", 9, 1);
        assert_eq!(named.find(" web "), Found::One(7));
        assert_eq!(named.find("3"), Found::One(3));
        assert_eq!(named.find("Fair"), Found::Several);
        assert_eq!(named.find("10"), Found::Nothing);
        assert_eq!(named.by_name("web"), [7, 3]);
    }

    #[test]
    fn a_person_with_two_accesses_is_one_person() {
        let mut people = Named::default();
        people.add(1, "Luz Ríos", 50, 0);
        people.add(2, "Luz Rios", 50, 0);
        assert_eq!(people.find("luz ríos"), Found::One(1));
        people.add(3, "Luz Ríos", 51, 0);
        assert_eq!(people.find("luz ríos"), Found::Several);
    }
}
