//! The scripted life of a company: each step changes something that some GET shows.

use std::io::Cursor;

use aggregates::access::Role;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::imports;
use crate::server::{Member, Person, TestServer, int};

/// How many steps the life has.
pub const STEPS: usize = 36;

/// The company and what is in it. What is not made yet has an id of nothing.
pub struct Life {
    pub ana: Person,
    platform: Person,
    company: i64,
    child: i64,
    bea: Member,
    lead: i64,
    twin: i64,
    note: i64,
    appointment: i64,
    invitation: i64,
    code: String,
    campaign: i64,
    question: i64,
    source: i64,
    access: i64,
    integration_token: i64,
    legal_term: i64,
    avatar: String,
    import: String,
}

const NOTHING: i64 = 987_654;

impl Life {
    pub async fn begin(server: &TestServer) -> Self {
        let ana = server.sign_up("Ana").await;
        let company = server.company(&ana, "Casa Verde").await;
        let bea = server.member(company, &ana, Role::Manager, "Bea").await;
        Self {
            platform: server.owner().await,
            ana,
            company,
            child: NOTHING,
            access: bea.access_id,
            bea,
            lead: NOTHING,
            twin: NOTHING,
            note: NOTHING,
            appointment: NOTHING,
            invitation: NOTHING,
            code: "none".to_owned(),
            campaign: NOTHING,
            question: NOTHING,
            source: NOTHING,
            integration_token: NOTHING,
            legal_term: NOTHING,
            avatar: format!("{}.png", "0".repeat(64)),
            import: "01890000-0000-7000-8000-000000000000".to_owned(),
        }
    }

    /// The path with the ids of what is there. A new kind of id has to be named here.
    pub fn path(&self, template: &str) -> String {
        let mut path = String::new();
        let mut before = "";
        for part in template.split('/').skip(1) {
            path.push('/');
            if !part.starts_with('{') {
                path.push_str(part);
                before = part;
                continue;
            }
            let id = match before {
                "accesses" | "memberships" => 1,
                "companies" => self.company,
                "users" if template.ends_with("/providers") => self.ana.id,
                "users" => self.bea.person.id,
                "leads" => self.lead,
                "appointments" => self.appointment,
                "campaigns" => self.campaign,
                "questions" => self.question,
                "legal_terms" => self.legal_term,
                "invitations" if part == "{code}" && !template.ends_with("/history") => {
                    path.push_str(&self.code);
                    continue;
                }
                "invitations" => self.invitation,
                "import" => {
                    path.push_str(&self.import);
                    continue;
                }
                "avatars" => {
                    path.push_str(&self.avatar);
                    continue;
                }
                _ => panic!("{template}: the life of the company has nothing for {part}"),
            };
            path.push_str(&id.to_string());
        }
        match template {
            "/api/v1/users/find_by_email" | "/api/v1/invitations/pending" => {
                format!("{path}?email={}", self.bea.person.email)
            }
            _ => path,
        }
    }

    /// A query with the ids of what is there.
    pub fn filled(&self, query: &str) -> String {
        query
            .replace("{source}", &self.source.to_string())
            .replace("{campaign}", &self.campaign.to_string())
            .replace("{access}", &self.access.to_string())
    }

    async fn post(&self, server: &TestServer, path: String, body: Value) -> Value {
        let call = server.post(path).token(&self.ana.token).json(&body);
        call.expect(201).await
    }

    async fn put(&self, server: &TestServer, path: String, body: Value) -> Value {
        let call = server.put(path).token(&self.ana.token).json(&body);
        call.expect(200).await
    }

    async fn delete(&self, server: &TestServer, path: String) {
        server.delete(path).token(&self.ana.token).expect(200).await;
    }

    /// Carries one step out.
    pub async fn step(&mut self, server: &TestServer, step: usize) {
        // Tokens end; the one of a person who is still there is made anew.
        self.ana = server.person(self.ana.id, &self.ana.email).await;
        match step {
            0..12 => self.grow(server, step).await,
            12..24 => self.change(server, step).await,
            _ => self.lose(server, step).await,
        }
    }

    async fn grow(&mut self, server: &TestServer, step: usize) {
        let here = format!("/api/v1/companies/{}", self.company);
        match step {
            0 => {
                let lead = json!({"first_name": "Luz", "last_name": "Gómez", "email": "luz@example.com",
                    "extra": {"b": "2", "a": "1"}});
                self.lead = int(&server.lead(&self.ana, self.company, lead).await["id"]);
            }
            1 => {
                let path = format!("/api/v1/leads/{}/notes", self.lead);
                let note = self.post(server, path, json!({"content": "Called."})).await;
                self.note = int(&note["note"]["id"]);
            }
            2 => self.source = server.source(&self.ana, self.company, "Web").await,
            3 => {
                server.source(&self.ana, self.company, "Fair").await;
                let path = format!("{here}/sources/{}/user_access", self.source);
                self.post(server, path, json!({"user_access_id": self.access}))
                    .await;
            }
            4 => {
                let campaign = json!({"name": "Spring", "source_id": self.source, "start_date": "2027-01-01",
                    "end_date": "2027-01-05"});
                self.campaign = server.campaign(&self.ana, self.company, campaign).await;
            }
            5 => {
                let question = json!({"text": "When?", "question_type": "single_choice",
                    "options": [{"value": "Now"}, {"value": "Later"}]});
                self.question =
                    int(&server.question(&self.ana, self.company, question).await["id"]);
                let second = json!({"text": "Why?", "question_type": "text"});
                server.question(&self.ana, self.company, second).await;
            }
            6 => {
                server.territory(&self.ana, self.company, "North").await;
                let cycle = json!({"name": "January", "start_date": "2027-01-01", "end_date": "2027-01-08"});
                self.post(server, format!("{here}/cycles"), cycle).await;
            }
            7 => {
                let twin = json!({"first_name": "Lucía", "email": "LUZ@example.com", "source_id": self.source,
                    "campaign_id": self.campaign, "answers": [{"question_id": self.question, "value": "Now"}]});
                self.twin = int(&server.lead(&self.ana, self.company, twin).await["id"]);
            }
            8 => {
                let meeting = json!({"title": "Visit", "starts_at": "2027-01-10T10:00:00Z",
                    "ends_at": "2027-01-10T11:00:00Z"});
                let path = format!("/api/v1/leads/{}/appointments", self.lead);
                let made = self.post(server, path, meeting).await;
                self.appointment = int(&made["appointment"]["id"]);
            }
            9 => {
                let child = json!({"name": "Casa Roja", "parent_company_id": self.company});
                self.child = server.company_with(&self.ana, child).await;
                let invitation = json!({"email": "dan@people.example", "company_id": self.company, "access_id": 4});
                let made = self
                    .post(server, "/api/v1/invitations".to_owned(), invitation)
                    .await;
                self.invitation = int(&made["invitation"]["id"]);
                let code = made["invitation"]["code"].as_str();
                code.expect("an administrator is shown the code")
                    .clone_into(&mut self.code);
            }
            10 => {
                let invitation = json!({"email": self.bea.person.email, "company_id": self.child, "access_id": 4});
                self.post(server, "/api/v1/invitations".to_owned(), invitation)
                    .await;
                let token = json!({"name": "sync", "scopes": ["users.readonly"]});
                let made = self
                    .post(server, format!("{here}/integration_tokens"), token)
                    .await;
                self.integration_token = int(&made["integration_token"]["id"]);
            }
            _ => {
                let terms = json!({"title": "Terms", "content": "Be good.", "version": "first of this life"});
                let call = server
                    .post("/api/v1/legal_terms")
                    .token(&self.platform.token);
                let made = call.json(&terms).expect(201).await;
                self.legal_term = int(&made["legal_term"]["id"]);
                let path = format!("{here}/membership?membership_id=2");
                self.post(server, path, json!({})).await;
                // Released at once: a standing one would stop what is lost later.
                for held in [here.clone(), format!("/api/v1/leads/{}", self.lead)] {
                    let holds = format!("{held}/legal_holds");
                    let hold = self.post(server, holds.clone(), json!({"reason": "Case 1"}));
                    let hold = int(&hold.await["legal_hold"]["id"]);
                    let release = server.post(format!("{holds}/{hold}/release"));
                    release.token(&self.ana.token).expect(200).await;
                }
                let file = STANDARD.encode("email\nfile@example.com\nnobody\n");
                let path = format!("{here}/import/leads");
                let made = self.post(server, path, json!({"file_base64": file})).await;
                imports::code(&made["import_file"]).clone_into(&mut self.import);
                imports::ended(server, &self.ana, &self.import).await;
            }
        }
    }

    async fn change(&mut self, server: &TestServer, step: usize) {
        let here = format!("/api/v1/companies/{}", self.company);
        let lead = format!("/api/v1/leads/{}", self.lead);
        match step {
            12 => {
                self.put(
                    server,
                    lead,
                    json!({"stage_id": 4, "user_access_id": self.access}),
                )
                .await
            }
            13 => {
                self.put(
                    server,
                    lead,
                    json!({"email": "other@example.com", "extra": {"a": null}}),
                )
                .await
            }
            14 => {
                self.put(
                    server,
                    lead,
                    json!({"email": "luz@example.com", "source_id": self.source}),
                )
                .await
            }
            15 => self.put(server, here, json!({"name": "Casa Azul"})).await,
            16 => {
                let path = format!("/api/v1/users/{}", self.bea.person.id);
                self.put(
                    server,
                    path,
                    json!({"first_name": "Beatriz", "theme": "dark"}),
                )
                .await
            }
            17 => {
                let sources = server.get(format!("{here}/sources")).token(&self.ana.token);
                let sources = crate::server::ids(&sources.expect(200).await["sources"]);
                let order: Vec<i64> = sources.into_iter().rev().collect();
                let path = format!("{here}/sources/priority");
                self.put(server, path, json!({"source_ids": order})).await
            }
            18 => {
                let questions = server
                    .get(format!("{here}/questions"))
                    .token(&self.ana.token);
                let questions = crate::server::ids(&questions.expect(200).await["questions"]);
                let order: Vec<i64> = questions.into_iter().rev().collect();
                let path = format!("{here}/questions/priority");
                self.put(server, path, json!({"question_ids": order})).await
            }
            19 => {
                let path = format!("/api/v1/appointments/{}", self.appointment);
                self.put(server, path, json!({"title": "Second visit"}))
                    .await
            }
            // Nine days pass: an invitation, the campaign and the cycle are over by the clock alone.
            20 => json!({}),
            21 => {
                let path = format!("/api/v1/campaigns/{}", self.campaign);
                self.put(server, path, json!({"name": "Summer", "status": "paused"}))
                    .await
            }
            22 => {
                let path = format!(
                    "/api/v1/users/{}/user_access/{}",
                    self.bea.person.id, self.access
                );
                self.put(server, path, json!({"access_id": Role::Agent.id()}))
                    .await
            }
            _ => {
                self.put(server, format!("{here}/cycles"), json!({"cycles": true}))
                    .await
            }
        };
    }

    async fn lose(&mut self, server: &TestServer, step: usize) {
        let here = format!("/api/v1/companies/{}", self.company);
        match step {
            24 => {
                self.delete(
                    server,
                    format!("/api/v1/leads/{}/notes/{}", self.lead, self.note),
                )
                .await;
            }
            25 => {
                let path = format!("/api/v1/appointments/{}/cancel", self.appointment);
                let call = server.post(path).token(&self.ana.token).json(&json!({}));
                call.expect(200).await;
            }
            26 => {
                self.delete(server, format!("{here}/questions/{}", self.question))
                    .await;
            }
            27 => {
                self.delete(server, format!("{here}/sources/{}", self.source))
                    .await;
            }
            28 => {
                self.delete(
                    server,
                    format!("{here}/integration_tokens/{}", self.integration_token),
                )
                .await;
            }
            29 => {
                let picture = json!({"user_id": self.bea.person.id, "avatar_base64": picture()});
                let changed = self
                    .put(server, "/api/v1/users/avatar".to_owned(), picture)
                    .await;
                let route = changed["user"]["avatar_route"].as_str().expect("an avatar");
                let file = route.rsplit('/').next();
                file.expect("a file").clone_into(&mut self.avatar);
            }
            30 => {
                let path = format!("/api/v1/leads/{}", self.twin);
                self.put(server, path, json!({"email": null, "first_name": "Lucia"}))
                    .await;
            }
            31 => {
                let path = format!("{here}/membership/cancel");
                let call = server.post(path).token(&self.ana.token);
                call.json(&json!({"immediately": true})).expect(200).await;
            }
            32 => {
                let invitation = json!({"email": "eli@people.example", "company_id": self.company, "access_id": 4});
                let made = self
                    .post(server, "/api/v1/invitations".to_owned(), invitation)
                    .await;
                self.invitation = int(&made["invitation"]["id"]);
                let code = made["invitation"]["code"].as_str();
                code.expect("a code").clone_into(&mut self.code);
            }
            33 => {
                self.delete(server, format!("/api/v1/invitations/{}", self.invitation))
                    .await;
            }
            34 => {
                let path = format!(
                    "/api/v1/users/{}/user_access/{}",
                    self.bea.person.id, self.access
                );
                self.delete(server, path).await;
            }
            _ => {
                let path = format!("/api/v1/companies/{}", self.child);
                self.put(server, path, json!({"default": true, "name": "Casa Rosa"}))
                    .await;
                let ana = format!("/api/v1/users/{}", self.ana.id);
                self.put(server, ana, json!({"first_name": "Anabel"})).await;
                let platform = server.person(self.platform.id, &self.platform.email).await;
                let more = json!({"title": "Terms", "content": "Be better.", "version": "second of this life"});
                let call = server.post("/api/v1/legal_terms").token(&platform.token);
                call.json(&more).expect(201).await;
            }
        }
    }
}

fn picture() -> String {
    let mut bytes = Vec::new();
    RgbImage::from_pixel(60, 30, image::Rgb([9, 0, 0]))
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        .expect("a picture");
    STANDARD.encode(bytes)
}
