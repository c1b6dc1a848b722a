//! Who may do what: every operation of the description by every role, in their own company, in one below it, in the one
//! above it and in a stranger's, compared with a table.

use std::collections::BTreeSet;

use aggregates::access::Role;
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::imports;
use crate::server::{Call, Person, TestServer, int};

/// How an operation is granted.
enum Row {
    /// By the role held in the company that the thing belongs to. One letter a role, in the catalogue's order:
    /// `Y` allowed, `F` forbidden (403), `4` allowed and not there (404). In a company that the caller cannot see, everybody gets a 404.
    ByRole(&'static str),
    /// Likewise, of a company that only the body names: one that the caller cannot see is a wrong value (422).
    InBody(&'static str),
    /// By the role held anywhere, whatever it is asked about.
    ByAnyRole(&'static str),
    /// To everybody who is signed in; what is shown follows from who they are.
    SignedIn,
    /// To the user that the path names, and to nobody else (403 if the caller can see them).
    Oneself,
    /// To the platform's owner alone.
    Platform,
    /// Without a login: whoever has the code, the link or the password.
    Open,
}
use Row::{ByAnyRole, ByRole, InBody, Oneself, Open, Platform, SignedIn};

const GOVERN: Row = ByRole("YFFFFF");
const ADMINISTER: Row = ByRole("YYFFFF");
const CONFIGURE: Row = ByRole("YYYFFF");
/// For somebody else, which an agent may not; nor may they change a lead that is nobody's, though they read it.
const CHANGE_LEADS: Row = ByRole("YYYFFF");
/// History, and whatever else is for whoever audits.
const AUDIT: Row = ByRole("YYYFFY");
const READ: Row = ByRole("YYYYYY");

const TABLE: &[(&str, Row)] = &[
    ("GET /accesses", SignedIn),
    ("GET /accesses/{id}", SignedIn),
    ("GET /appointments", SignedIn),
    ("GET /appointments/{id}", READ),
    ("PUT /appointments/{id}", CHANGE_LEADS),
    ("POST /appointments/{id}/cancel", CHANGE_LEADS),
    ("GET /avatars/{file}", Open),
    ("GET /campaigns/{campaign_id}/questions", READ),
    ("PUT /campaigns/{campaign_id}/questions/options", CONFIGURE),
    ("GET /campaigns/{id}", READ),
    ("PUT /campaigns/{id}", CONFIGURE),
    ("GET /checkpoint", ByAnyRole("YYYFFY")),
    ("GET /companies", SignedIn),
    ("POST /companies", InBody("YYFFFF")),
    ("DELETE /companies/avatar", ADMINISTER),
    ("PUT /companies/avatar", ADMINISTER),
    ("GET /companies/{company_id}/campaigns", READ),
    ("POST /companies/{company_id}/campaigns", CONFIGURE),
    ("GET /companies/{company_id}/cycles", READ),
    ("POST /companies/{company_id}/cycles", CONFIGURE),
    ("PUT /companies/{company_id}/cycles", CONFIGURE),
    ("GET /companies/{company_id}/integration_tokens", ADMINISTER),
    (
        "POST /companies/{company_id}/integration_tokens",
        ADMINISTER,
    ),
    (
        "DELETE /companies/{company_id}/integration_tokens/{id}",
        ADMINISTER,
    ),
    ("POST /companies/{company_id}/import/leads", CONFIGURE),
    (
        "GET /companies/{company_id}/import/leads/template",
        CONFIGURE,
    ),
    ("POST /companies/{company_id}/import/uploads", CONFIGURE),
    (
        "POST /companies/{company_id}/import/uploads/{upload_id}/complete",
        // Those who may are told that there are no parts.
        ByRole("444FFF"),
    ),
    // What one may not see is not in the list.
    ("GET /import", SignedIn),
    ("GET /import/{import_code}", CONFIGURE),
    ("POST /import/{import_code}/cancel", CONFIGURE),
    ("GET /import/{import_code}/errors", CONFIGURE),
    ("GET /import/{import_code}/events", CONFIGURE),
    ("GET /import/{import_code}/kept_leads", CONFIGURE),
    ("POST /import/{import_code}/undo", CONFIGURE),
    // By the signature of its address.
    ("PUT /import/uploads/{upload_id}/parts/{part}", Open),
    ("GET /companies/{company_id}/invitations", ADMINISTER),
    ("GET /companies/{company_id}/leads", READ),
    ("POST /companies/{company_id}/leads", CHANGE_LEADS),
    ("GET /companies/{company_id}/leads/duplicates", READ),
    ("GET /companies/{company_id}/leads/export", READ),
    ("GET /companies/{company_id}/leads/metrics", READ),
    ("GET /companies/{company_id}/leads/unassigned", READ),
    ("GET /companies/{company_id}/membership", ADMINISTER),
    ("GET /companies/{company_id}/membership/history", AUDIT),
    ("POST /companies/{company_id}/membership", GOVERN),
    ("POST /companies/{company_id}/membership/cancel", GOVERN),
    ("GET /companies/{company_id}/questions", READ),
    ("POST /companies/{company_id}/questions", CONFIGURE),
    ("PUT /companies/{company_id}/questions/priority", CONFIGURE),
    ("DELETE /companies/{company_id}/questions/{id}", CONFIGURE),
    ("GET /companies/{company_id}/sources", READ),
    ("POST /companies/{company_id}/sources", CONFIGURE),
    ("PUT /companies/{company_id}/sources/priority", CONFIGURE),
    ("DELETE /companies/{company_id}/sources/{id}", CONFIGURE),
    (
        "POST /companies/{company_id}/sources/{source_id}/user_access",
        CONFIGURE,
    ),
    (
        "DELETE /companies/{company_id}/sources/{source_id}/user_access/{user_access_id}",
        CONFIGURE,
    ),
    ("GET /companies/{company_id}/territories", READ),
    ("POST /companies/{company_id}/territories", CONFIGURE),
    ("GET /companies/{company_id}/users", READ),
    ("GET /companies/{id}", READ),
    ("PUT /companies/{id}", ADMINISTER),
    ("GET /companies/{id}/legal_holds", AUDIT),
    ("POST /companies/{id}/legal_holds", GOVERN),
    ("POST /companies/{id}/legal_holds/{hold_id}/release", GOVERN),
    ("GET /companies/{id}/history", AUDIT),
    ("POST /invitations", ADMINISTER),
    // Somebody else's e-mail: an administrator sees what their own companies sent it.
    ("GET /invitations/pending", ByAnyRole("YYFFFF")),
    ("GET /invitations/accept", Open),
    ("POST /invitations/accept", Open),
    ("DELETE /invitations/{code}", ADMINISTER),
    ("GET /invitations/{code}", Open),
    ("POST /invitations/{code}/accept", Open),
    ("GET /invitations/{code}/history", AUDIT),
    ("GET /leads/{id}", READ),
    ("PUT /leads/{id}", CHANGE_LEADS),
    ("DELETE /leads/{id}/erasure", GOVERN),
    ("GET /leads/{id}/erasure", AUDIT),
    ("POST /leads/{id}/erasure", GOVERN),
    ("GET /leads/{id}/legal_holds", AUDIT),
    ("POST /leads/{id}/legal_holds", GOVERN),
    ("POST /leads/{id}/legal_holds/{hold_id}/release", GOVERN),
    ("GET /leads/{id}/personal_data", GOVERN),
    ("GET /leads/{id}/reads", AUDIT),
    ("GET /leads/{id}/evidence", ByRole("YYYFFY")),
    ("GET /leads/{id}/history", AUDIT),
    ("GET /leads/{id}/stages", READ),
    ("POST /leads/{lead_id}/appointments", CHANGE_LEADS),
    ("POST /leads/{lead_id}/notes", CHANGE_LEADS),
    ("DELETE /leads/{lead_id}/notes/{id}", CHANGE_LEADS),
    ("POST /legal_terms", Platform),
    ("GET /legal_terms/current", SignedIn),
    ("GET /legal_terms/{id}", SignedIn),
    ("GET /memberships", SignedIn),
    ("GET /memberships/{id}", SignedIn),
    ("GET /proofs/consistency", ByAnyRole("YYYFFY")),
    ("GET /proofs/inclusion", ByAnyRole("YYYFFY")),
    ("GET /questions/{id}", READ),
    ("GET /stages", SignedIn),
    ("GET /users", SignedIn),
    ("POST /users", InBody("YYFFFF")),
    ("DELETE /users/avatar", ADMINISTER),
    ("PUT /users/avatar", ADMINISTER),
    ("GET /users/email/prove", Open),
    ("POST /users/email/prove", Open),
    ("PUT /users/email/prove", Open),
    ("POST /users/email/prove/resend", SignedIn),
    ("GET /users/find_by_email", READ),
    ("POST /users/login", Open),
    ("GET /users/password", Open),
    ("POST /users/password", Open),
    ("PUT /users/password", Open),
    ("POST /users/reset_password", Open),
    ("GET /users/validate_jwt", SignedIn),
    ("GET /users/{id}", READ),
    ("PUT /users/{id}", ADMINISTER),
    ("GET /users/{id}/history", AUDIT),
    ("PUT /users/{user_id}/onboarding/complete", Oneself),
    (
        "PUT /users/{user_id}/onboarding/terms_and_conditions",
        Oneself,
    ),
    ("GET /users/{user_id}/providers", Oneself),
    ("POST /users/{user_id}/providers", Oneself),
    ("DELETE /users/{user_id}/providers/{id}", Oneself),
    ("GET /users/{user_id}/user_access", READ),
    ("POST /users/{user_id}/user_access", ADMINISTER),
    (
        "DELETE /users/{user_id}/user_access/{user_access_id}",
        ADMINISTER,
    ),
    (
        "PUT /users/{user_id}/user_access/{user_access_id}",
        ADMINISTER,
    ),
];

/// A company with one of everything in it.
pub struct Place {
    pub company: i64,
    pub owner: Person,
    pub member: Person,
    pub access: i64,
    pub lead: i64,
    pub note: i64,
    pub appointment: i64,
    pub invitation: i64,
    pub campaign: i64,
    pub question: i64,
    pub source: i64,
    pub integration_token: i64,
    /// Released ones: a standing one would stop half of the table.
    pub lead_hold: i64,
    pub company_hold: i64,
    /// The code of one that is at rest.
    pub import: String,
}

impl Place {
    /// One of everything is made in the company.
    pub async fn in_company(server: &TestServer, owner: &Person, company: i64) -> Self {
        let post = async |path: String, body: Value| {
            let call = server.post(path).token(&owner.token).json(&body);
            call.expect(201).await
        };
        let name = unique();
        let here = format!("/api/v1/companies/{company}");
        let member = server.member(company, owner, Role::Analyst, &name).await;
        let lead = int(&server
            .lead(owner, company, json!({"first_name": name}))
            .await["id"]);
        let of_lead = format!("/api/v1/leads/{lead}");
        let note = post(format!("{of_lead}/notes"), json!({"content": "n"})).await;
        let meeting = json!({"title": "A", "starts_at": "2027-01-01T10:00:00Z", "ends_at": "2027-01-01T11:00:00Z"});
        let meeting = post(format!("{of_lead}/appointments"), meeting).await;
        let mail = format!("{}@people.example", unique());
        let invitation = json!({"email": mail, "company_id": company, "access_id": 4});
        let invitation = post("/api/v1/invitations".to_owned(), invitation).await;
        let campaign = json!({"name": name});
        let question = json!({"text": name, "question_type": "text"});
        let source = server.source(owner, company, &name).await;
        let people = format!("{here}/sources/{source}/user_access");
        post(people, json!({"user_access_id": member.access_id})).await;
        let token = json!({"name": name, "scopes": ["users.readonly"]});
        let token = post(format!("{here}/integration_tokens"), token).await;
        let hold = async |thing: &str| {
            let holds = format!("{thing}/legal_holds");
            let made = post(holds.clone(), json!({"reason": "r"})).await;
            let id = int(&made["legal_hold"]["id"]);
            let release = server.post(format!("{holds}/{id}/release"));
            release.token(&owner.token).expect(200).await;
            id
        };
        let file = STANDARD.encode(format!("email,name\n,{name}\n"));
        let import = post(format!("{here}/import/leads"), json!({"file_base64": file})).await;
        let import = imports::code(&import["import_file"]).to_owned();
        imports::ended(server, owner, &import).await;
        Self {
            company,
            owner: owner.clone(),
            import,
            member: member.person,
            access: member.access_id,
            lead,
            note: int(&note["note"]["id"]),
            appointment: int(&meeting["appointment"]["id"]),
            invitation: int(&invitation["invitation"]["id"]),
            campaign: server.campaign(owner, company, campaign).await,
            question: int(&server.question(owner, company, question).await["id"]),
            source,
            integration_token: int(&token["integration_token"]["id"]),
            lead_hold: hold(&of_lead).await,
            company_hold: hold(&here).await,
        }
    }

    /// The operation on what is here, with a body that suits every operation.
    fn call(&self, server: &TestServer, operation: &str, user: &Person) -> Call {
        let (method, _) = operation.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let path = format!("/api/v1{}", self.path(operation, user));
        server.call(method, path).json(&self.body(operation, user))
    }

    /// Below `/api/v1`, with the ids of what is here and the query that the operation needs.
    pub fn path(&self, operation: &str, user: &Person) -> String {
        let (_, template) = operation.split_once(' ').expect("a method and a path");
        let (mut path, mut before) = (String::new(), "");
        for part in template.split('/').skip(1) {
            path.push('/');
            if part.starts_with('{') {
                let id = match before {
                    "legal_holds" if template.starts_with("/leads") => self.lead_hold.to_string(),
                    "import" => self.import.clone(),
                    "uploads" => "01890000-0000-7000-8000-000000000000".to_owned(),
                    kind => self.id(kind, user).to_string(),
                };
                path.push_str(&id);
            } else {
                path.push_str(part);
                before = part;
            }
        }
        let query = match operation {
            "POST /companies/{company_id}/membership" => "?membership_id=4".to_owned(),
            "DELETE /companies/avatar" => format!("?company_id={}", self.company),
            "GET /proofs/inclusion" => "?position=1".to_owned(),
            "GET /proofs/consistency" => "?from=1".to_owned(),
            "DELETE /users/avatar" => format!("?user_id={}", user.id),
            "GET /users/find_by_email" | "GET /invitations/pending" => {
                format!("?email={}", user.email)
            }
            _ => String::new(),
        };
        path.push_str(&query);
        path
    }

    fn id(&self, kind: &str, user: &Person) -> i64 {
        match kind {
            "companies" => self.company,
            "users" => user.id,
            "user_access" => self.access,
            "leads" => self.lead,
            "notes" => self.note,
            "appointments" => self.appointment,
            "invitations" => self.invitation,
            "campaigns" => self.campaign,
            "questions" => self.question,
            "sources" => self.source,
            "integration_tokens" => self.integration_token,
            "legal_holds" => self.company_hold,
            // A catalogue's, which are the same for everybody.
            _ => 1,
        }
    }

    /// A body that suits the operation, and others too.
    pub fn body(&self, operation: &str, user: &Person) -> Value {
        let name = unique();
        match operation {
            "POST /users" => json!({"first_name": name, "email": format!("{name}@people.example"),
                "user_accesses_attributes": [{"company_id": self.company, "access_id": 5, "primary": true}]}),
            "POST /companies" => json!({"name": name, "parent_company_id": self.company}),
            "POST /invitations" => {
                json!({"email": format!("{name}@people.example"), "company_id": self.company, "access_id": 5})
            }
            "PUT /users/avatar" | "PUT /companies/avatar" => {
                json!({"user_id": user.id, "company_id": self.company, "avatar_base64": "AAAA", "name": "a.png",
                    "type": "image/png"})
            }
            "POST /companies/{company_id}/cycles" => {
                json!({"name": name, "start_date": "2020-01-01", "end_date": "2020-01-02"})
            }
            "PUT /companies/{company_id}/cycles" => json!({"cycles": true}),
            "POST /leads/{id}/erasure" => json!({"step": "block", "reason": "other"}),
            "PUT /companies/{id}" | "PUT /campaigns/{id}" => json!({"name": name}),
            "PUT /users/{id}" | "PUT /leads/{id}" => json!({"first_name": name}),
            _ => {
                json!({"name": name, "text": name, "question_type": "text", "question_ids": [], "source_ids": [],
                "questions": [], "title": name, "starts_at": "2027-01-01T10:00:00Z", "ends_at": "2027-01-01T11:00:00Z",
                "scopes": ["users.readonly"], "content": name, "first_name": name, "user_access_id": self.access,
                "territories": [{"name": name}], "legal_term_id": 1, "provider": "google", "id_token": "x.y.z",
                "company_id": self.company, "access_id": 5, "version": name, "reason": name, "file_base64": "ZW1haWwKYUBiLmNjCg=="})
            }
        }
    }
}

/// A name that no other thing of this process has.
fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("n{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// What the status says about the right; a refused body or rule comes after it.
fn class(status: u16) -> &'static str {
    match status {
        401 => "401",
        403 => "403",
        404 => "404",
        500.. => "broken",
        _ => "allowed",
    }
}

/// The operations of the description, named as in the table.
async fn described(server: &TestServer) -> BTreeSet<String> {
    let document = server.get("/openapi.json").expect(200).await;
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let Some(path) = path.strip_prefix("/api/v1") else {
            continue;
        };
        let methods = item.as_object().expect("operations").keys();
        let methods = methods.filter(|m| ["get", "post", "put", "delete"].contains(&m.as_str()));
        found.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    found
}

#[tokio::test]
async fn every_operation_has_one_row() {
    let server = TestServer::start().await;
    let described = described(&server).await;
    let rows: BTreeSet<String> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(rows.len(), TABLE.len(), "an operation has two rows");
    let without: Vec<_> = described.difference(&rows).collect();
    let gone: Vec<_> = rows.difference(&described).collect();
    assert!(
        without.is_empty() && gone.is_empty(),
        "no row for {without:?}; not described {gone:?}"
    );
}

#[tokio::test]
async fn every_role_may_what_the_table_grants_and_no_more() {
    let server = TestServer::start().await;
    let (root, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let above = server.company(&root, "Above").await;
    let own = json!({"name": "Own", "parent_company_id": above});
    let own = server.company_with(&root, own).await;
    let below = json!({"name": "Below", "parent_company_id": own});
    let below = server.company_with(&root, below).await;
    let elsewhere = server.company(&eve, "Elsewhere").await;
    let mut places = Vec::new();
    for (name, company, owner, seen) in [
        ("own", own, &root, true),
        ("below", below, &root, true),
        ("above", above, &root, false),
        ("elsewhere", elsewhere, &eve, false),
    ] {
        let place = Place::in_company(&server, owner, company).await;
        let plan = format!("/api/v1/companies/{company}/membership?membership_id=4");
        server.post(plan).token(&owner.token).expect(201).await;
        places.push((name, place, seen));
    }
    let mut members = Vec::new();
    for role in Role::ALL {
        let member = server.member(own, &root, role, role.name()).await;
        members.push(member.person);
    }
    let mut wrong = Vec::new();
    for (operation, row) in TABLE {
        for (n, caller) in members.iter().enumerate() {
            for (name, place, seen) in &places {
                let wanted = match (row, seen) {
                    (Open, _) => continue,
                    (SignedIn, _) => "allowed",
                    (Platform, _) | (Oneself, true) => "403",
                    (ByRole(_) | Oneself, false) => "404",
                    (InBody(_), false) => "422",
                    (ByRole(roles) | InBody(roles), true) | (ByAnyRole(roles), _) => {
                        match roles.as_bytes()[n] {
                            b'Y' => "allowed",
                            b'4' => "404",
                            _ => "403",
                        }
                    }
                };
                let user = if matches!(row, SignedIn) {
                    caller
                } else {
                    &place.member
                };
                // What is deleted is not there for the next one.
                let spent = operation.starts_with("DELETE") && wanted == "allowed";
                let answer = if spent {
                    let fresh = Place::in_company(&server, &place.owner, place.company).await;
                    let call = fresh.call(&server, operation, &fresh.member);
                    call.token(&caller.token).answer().await
                } else {
                    let call = place.call(&server, operation, user);
                    call.token(&caller.token).answer().await
                };
                let found = match answer.status {
                    422 if wanted == "422" => "422",
                    status => class(status),
                };
                if found != wanted {
                    let role = Role::ALL[n].code();
                    let (status, detail) = (answer.status, &answer.body["detail"]);
                    wrong.push(format!(
                        "{operation} by {role} {name}: {status} {detail}, not {wanted}"
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn what_is_ones_own_is_open_to_every_role() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let place = Place::in_company(&server, &ana, company).await;
    for role in Role::ALL {
        let caller = server.member(company, &ana, role, role.name()).await.person;
        for (operation, row) in TABLE {
            // They have no provider that could be taken away.
            if !matches!(row, Oneself) || operation.starts_with("DELETE") {
                continue;
            }
            let call = place.call(&server, operation, &caller);
            let answer = call.token(&caller.token).answer().await;
            assert_eq!(
                class(answer.status),
                "allowed",
                "{operation} {}",
                answer.body
            );
        }
        let mine = ["GET /users/{id}", "PUT /users/{id}", "DELETE /users/avatar"];
        for operation in mine {
            let call = place.call(&server, operation, &caller);
            call.token(&caller.token).expect(200).await;
        }
    }
}
