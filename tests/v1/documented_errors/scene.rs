//! Who asks and what is there: a company with one of everything, its owner, and tokens that open little.

use serde_json::{Value, json};

use crate::role_table::Place;
use crate::server::{Call, Person, TestServer, int};

/// A picture of one pixel.
pub const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// The idempotency key that stands for another request already, of Ana as of whoever is not signed in.
pub const SPENT_KEY: &str = "spent";

pub struct Scene {
    pub server: TestServer,
    /// Owner of the company.
    pub ana: Person,
    /// Owner of the whole platform.
    pub owner: Person,
    /// Signed up, and nowhere a member.
    pub eve: Person,
    pub company: i64,
    pub place: Place,
    /// Of legal terms.
    pub terms: i64,
    /// Integration tokens of the company: one reads cycles, the other reads users.
    pub tokens: [String; 2],
}

impl Scene {
    pub async fn set() -> Self {
        // Every refusal in one go is more than a token may ask for in ten seconds.
        let server = TestServer::start_with(&["--token-rate", "10000"]).await;
        let owner = server.owner().await;
        let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
        let call = server.post("/api/v1/companies").token(&ana.token);
        let acme = call.header("idempotency-key", SPENT_KEY);
        let acme = acme.json(&json!({"name": "Acme"})).expect(201).await;
        let company = int(&acme["company"]["id"]);
        let anonymous = server.post("/api/v1/users");
        let anonymous = anonymous.header("idempotency-key", SPENT_KEY);
        let body = json!({"first_name": "Uma", "email": "uma@people.example"});
        anonymous.json(&body).expect(201).await;
        let terms = server.post("/api/v1/legal_terms").token(&owner.token);
        let terms = terms.json(&json!({"title": "Terms", "content": "Be kind."}));
        let terms = int(&terms.expect(201).await["legal_term"]["id"]);
        let place = Place::in_company(&server, &ana, company).await;
        let plan = format!("/api/v1/companies/{company}/membership?membership_id=4");
        server.post(plan).token(&ana.token).expect(201).await;
        let mut tokens = [String::new(), String::new()];
        for (token, scope) in tokens.iter_mut().zip(["cycles.readonly", "users.readonly"]) {
            let path = format!("/api/v1/companies/{company}/integration_tokens");
            let call = server.post(path).token(&ana.token);
            let made = call.json(&json!({"scopes": [scope]})).expect(201).await;
            let secret = made["integration_token"]["token"].as_str();
            secret.expect("a secret").clone_into(token);
        }
        Self {
            server,
            ana,
            owner,
            eve,
            company,
            place,
            terms,
            tokens,
        }
    }

    /// A valid body of the operation.
    pub fn body(&self, operation: &str) -> Value {
        match operation {
            "PUT /users/avatar" => json!({"avatar_base64": PICTURE}),
            "PUT /companies/avatar" => {
                json!({"company_id": self.company, "avatar_base64": PICTURE})
            }
            "POST /companies/{company_id}/import/leads" => json!({"file_base64": "ZW1haWwK"}),
            "DELETE /companies/avatar" => json!({"company_id": self.company}),
            "DELETE /users/avatar" | "POST /companies/{company_id}/membership/cancel" => json!({}),
            "PUT /users/{user_id}/onboarding/terms_and_conditions" => {
                json!({"legal_term_id": self.terms})
            }
            "POST /users/login" | "POST /users/reset_password" => {
                json!({"email": "x@people.example", "password": "x"})
            }
            "PUT /users/password" => json!({"token": "x", "password": "x"}),
            _ => self.place.body(operation, &self.place.member),
        }
    }

    /// By Ana: the owner of what is there.
    pub fn post(&self, path: impl AsRef<str>, body: &Value) -> Call {
        self.server.post(v1(path)).token(&self.ana.token).json(body)
    }

    /// By Ana.
    pub fn put(&self, path: impl AsRef<str>, body: &Value) -> Call {
        self.server.put(v1(path)).token(&self.ana.token).json(body)
    }

    /// By Ana.
    pub fn get(&self, path: impl AsRef<str>) -> Call {
        self.server.get(v1(path)).token(&self.ana.token)
    }

    /// By Ana.
    pub fn delete(&self, path: impl AsRef<str>) -> Call {
        self.server.delete(v1(path)).token(&self.ana.token)
    }

    /// What Ana's request made.
    pub async fn made(&self, path: impl AsRef<str>, body: &Value) -> Value {
        self.post(path, body).expect(201).await
    }
}

fn v1(path: impl AsRef<str>) -> String {
    format!("/api/v1{}", path.as_ref())
}
