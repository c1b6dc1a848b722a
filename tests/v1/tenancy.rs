//! Tenancy: the API description is walked, so that an operation that forgets to ask who calls is found here.

use aggregates::access::Role;
use axum::http::Method;
use serde_json::{Value, json};

use crate::server::{Person, TestServer, int};

/// An operation of the description that takes a token.
struct Operation {
    method: Method,
    path: String,
    /// Whether it works without a token too.
    optional: bool,
}

/// Every operation under `/api/v1`, but for those that nobody is signed in for.
async fn operations(server: &TestServer) -> Vec<Operation> {
    const OPEN: [(&str, &str); 2] = [("post", "/api/v1/users/login"), ("post", "/api/v1/users")];
    let document = server.get("/openapi.json").expect(200).await;
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let Ok(known) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            if !path.starts_with("/api/v1") || !operation.is_object() {
                continue;
            }
            let security = operation["security"].as_array();
            found.push(Operation {
                method: known,
                path: path.clone(),
                optional: OPEN.contains(&(method, path))
                    || security.is_none_or(Vec::is_empty) && is_declared_open(path),
            });
        }
    }
    assert!(found.len() >= 24, "only {} operations", found.len());
    found
}

/// What the contract marks as working without a login.
fn is_declared_open(path: &str) -> bool {
    [
        "/api/v1/users/reset_password",
        "/api/v1/users/password",
        "/api/v1/users/email/prove",
        "/api/v1/avatars/{file}",
        "/api/v1/invitations/{code}",
        "/api/v1/import/uploads/{upload_id}/parts/{part}",
        "/api/v1/invitations/accept",
    ]
    .contains(&path)
}

#[tokio::test]
async fn every_operation_asks_who_calls() {
    let server = TestServer::start().await;
    let mut asked = 0;
    for operation in operations(&server).await {
        if operation.optional {
            continue;
        }
        let path = filled(&operation.path, |_| "1".to_owned());
        for token in [None, Some("no.token.this")] {
            let call = server
                .call(operation.method.clone(), &path)
                .json(&json!({}));
            let call = match token {
                Some(token) => call.token(token),
                None => call,
            };
            let answer = call.answer().await;
            assert_eq!(
                answer.status, 401,
                "{} {path}: {}",
                operation.method, answer.body
            );
        }
        asked += 1;
    }
    assert!(asked >= 22, "only {asked} operations take a token");
}

/// A company with one of everything, and somebody who has nothing to do with it.
struct Neighbours {
    stranger: Person,
    owner: Person,
    company: i64,
    member: i64,
    access: i64,
    lead: i64,
    note: i64,
    invitation: i64,
    campaign: i64,
    question: i64,
    appointment: i64,
    source: i64,
    import: String,
}

async fn neighbours(server: &TestServer) -> Neighbours {
    let (owner, stranger) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    // The stranger has plenty of rights, but elsewhere.
    server.company(&stranger, "Elsewhere").await;
    let company = server.company(&owner, "Acme").await;
    let bob = server.member(company, &owner, Role::Agent, "Bob").await;
    let lead = int(&server
        .lead(&owner, company, json!({"email": "l@example.com"}))
        .await["id"]);
    let call = server
        .post(format!("/api/v1/leads/{lead}/notes"))
        .token(&owner.token);
    let note = call.json(&json!({"content": "n"})).expect(201).await;
    let call = server.post("/api/v1/invitations").token(&owner.token);
    let body = json!({"email": "cleo@people.example", "company_id": company, "access_id": 4});
    let invitation = call.json(&body).expect(201).await;
    let campaign = server.campaign(&owner, company, json!({"name": "C"})).await;
    let question = json!({"text": "Q", "question_type": "text"});
    let question = server.question(&owner, company, question).await;
    let call = server
        .post(format!("/api/v1/leads/{lead}/appointments"))
        .token(&owner.token);
    let meeting = json!({"title": "A", "starts_at": "2027-01-01T10:00:00Z", "ends_at": "2027-01-01T11:00:00Z"});
    let appointment = call.json(&meeting).expect(201).await;
    let source = server.source(&owner, company, "Web").await;
    let people = format!("/api/v1/companies/{company}/sources/{source}/user_access");
    let call = server.post(people).token(&owner.token);
    let body = json!({"user_access_id": bob.access_id});
    call.json(&body).expect(201).await;
    let file = json!({"file_base64": "ZW1haWwKbkBiLmNjCg=="});
    let path = format!("/api/v1/companies/{company}/import/leads");
    let call = server.post(path).token(&owner.token).json(&file);
    let import = call.expect(201).await;
    let import = crate::imports::code(&import["import_file"]).to_owned();
    crate::imports::ended(server, &owner, &import).await;
    Neighbours {
        import,
        stranger,
        owner,
        company,
        member: bob.person.id,
        access: bob.access_id,
        lead,
        note: int(&note["note"]["id"]),
        invitation: int(&invitation["invitation"]["id"]),
        campaign,
        question: int(&question["id"]),
        appointment: int(&appointment["appointment"]["id"]),
        source,
    }
}

impl Neighbours {
    /// The path with the ids of what is there; none for a kind of thing that has no id of this company's here.
    fn path(&self, template: &str) -> Option<String> {
        let mut complete = true;
        let path = filled(template, |name| {
            let before = template
                .split(&format!("/{{{name}}}"))
                .next()
                .unwrap_or_default();
            match name {
                "import_code" => return self.import.clone(),
                "upload_id" => return "01890000-0000-7000-8000-000000000000".to_owned(),
                _ => {}
            }
            let id = match (before.rsplit('/').next().unwrap_or_default(), name) {
                ("companies", _) => self.company,
                ("users", _) => self.member,
                ("user_access", _) => self.access,
                ("leads", _) => self.lead,
                ("notes", _) => self.note,
                ("invitations", _) => self.invitation,
                ("campaigns", _) => self.campaign,
                ("questions", _) => self.question,
                ("appointments", _) => self.appointment,
                ("sources", _) => self.source,
                _ => {
                    complete = false;
                    0
                }
            };
            id.to_string()
        });
        (complete && template.contains('{')).then_some(path)
    }

    /// A body that suits every operation that takes one.
    fn body(&self) -> Value {
        let mut body = json!({"name": "M", "cycles": true, "start_date": "2020-01-01", "end_date": "2020-01-02", "text": "M",
            "question_type": "text", "question_ids": [], "questions": [], "title": "M", "starts_at": "2027-01-01T10:00:00Z",
            "ends_at": "2027-01-01T11:00:00Z", "scopes": ["users.write"]});
        let more = json!({"company_id": self.company, "access_id": 5, "primary": true, "content": "x", "first_name": "Mallory",
            "source_ids": [self.source], "user_access_id": self.access, "territories": [{"name": "Mallory's"}],
            "legal_term_id": 1, "provider": "google", "id_token": "x.y.z", "file_base64": "ZW1haWwKYUBiLmNjCg=="});
        let more = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        body
    }

    async fn everything(&self, server: &TestServer) -> Vec<Value> {
        let mut all = Vec::new();
        for path in [
            format!("/api/v1/companies/{}", self.company),
            format!("/api/v1/companies/{}/users", self.company),
            format!("/api/v1/companies/{}/leads", self.company),
            format!("/api/v1/companies/{}/sources", self.company),
            format!("/api/v1/companies/{}/territories", self.company),
            format!("/api/v1/users/{}", self.member),
            format!("/api/v1/leads/{}", self.lead),
            format!("/api/v1/companies/{}/invitations", self.company),
            format!("/api/v1/companies/{}/questions", self.company),
            format!("/api/v1/companies/{}/cycles", self.company),
            format!("/api/v1/campaigns/{}", self.campaign),
            "/api/v1/appointments".to_owned(),
        ] {
            all.push(server.get(path).token(&self.owner.token).expect(200).await);
        }
        all
    }
}

fn filled(template: &str, mut id: impl FnMut(&str) -> String) -> String {
    let part = |part: &str| match part
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    {
        Some(name) => id(name),
        None => part.to_owned(),
    };
    template.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn a_stranger_reaches_nothing_of_another_company() {
    let server = TestServer::start().await;
    let scene = neighbours(&server).await;
    let nobody = server.sign_up("Nobody").await;
    let before = scene.everything(&server).await;
    let mut tried = 0;
    for operation in operations(&server).await {
        let Some(path) = scene.path(&operation.path) else {
            continue;
        };
        tried += 1;
        for caller in [&scene.stranger, &nobody] {
            let call = server
                .call(operation.method.clone(), &path)
                .token(&caller.token);
            let call = if operation.method == Method::GET {
                call
            } else {
                call.json(&scene.body())
            };
            let answer = call.answer().await;
            let refused = matches!(answer.status, 403 | 404);
            assert!(
                refused,
                "{} {path}: {} {}",
                operation.method, answer.status, answer.body
            );
        }
    }
    assert!(tried >= 15, "only {tried} operations have such ids");
    assert_eq!(scene.everything(&server).await, before);
}

#[tokio::test]
async fn a_strangers_lists_hold_nothing_of_another_company() {
    let server = TestServer::start().await;
    let scene = neighbours(&server).await;
    let get = |path: String| server.get(path).token(&scene.stranger.token).expect(200);
    let users = get(format!("/api/v1/users?company_id={}", scene.company)).await;
    assert_eq!(users["users"], json!([]));
    let users = get("/api/v1/users".to_owned()).await;
    assert_eq!(users["meta"]["total_count"], 1, "{users}");
    let companies = get(format!(
        "/api/v1/companies?parent_company_id={}",
        scene.company
    ))
    .await;
    assert_eq!(companies["companies"], json!([]));
    let companies = get("/api/v1/companies?search=acme".to_owned()).await;
    assert_eq!(companies["companies"], json!([]));
}

#[tokio::test]
async fn who_shares_one_company_does_not_see_the_others() {
    let server = TestServer::start().await;
    let scene = neighbours(&server).await;
    // Bob works for Ana and, as an agent, for Eve: Eve sees only the role that he has with her.
    let own = server
        .get("/api/v1/companies")
        .token(&scene.stranger.token)
        .expect(200)
        .await;
    let elsewhere = int(&own["companies"][0]["id"]);
    let platform = server.owner().await;
    let path = format!("/api/v1/users/{}/user_access", scene.member);
    let body = json!({"company_id": elsewhere, "access_id": 4});
    server
        .post(&path)
        .token(&platform.token)
        .json(&body)
        .expect(201)
        .await;
    let seen = server
        .get(&path)
        .token(&scene.stranger.token)
        .expect(200)
        .await;
    assert_eq!(seen["meta"]["total_count"], 1);
    assert_eq!(seen["user_accesses"][0]["company"]["id"], elsewhere);
    // The role in Ana's company is neither hers to change nor to see.
    let foreign = format!("{path}/{}", scene.access);
    server
        .delete(&foreign)
        .token(&scene.stranger.token)
        .expect(404)
        .await;
    let user = server
        .get(format!("/api/v1/users/{}", scene.member))
        .token(&scene.stranger.token)
        .expect(200)
        .await;
    assert_ne!(
        user["user"]["primary_company"]["id"], scene.company,
        "{user}"
    );
    let list = server
        .get("/api/v1/users")
        .token(&scene.stranger.token)
        .expect(200)
        .await;
    assert!(!list.to_string().contains("Acme"), "{list}");
}
