//! An agency with two locations, and a program that calls for it.

use axum::http::Method;
use leadledger::ledger::verify;
use serde_json::{Value, json};

use crate::server::{Call, Person, TestServer};

/// What most tests begin with.
pub struct Agency {
    pub server: TestServer,
    pub owner: Person,
    pub id: i64,
    pub north: i64,
    pub south: i64,
    pub token: String,
}

pub const ALL: [&str; 2] = ["users.readonly", "users.write"];
pub const PASSWORD: &str = "Long-enough-2026";

impl Agency {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further arguments of the server's command line.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let server = TestServer::start_with(arguments).await;
        let owner = server.sign_up("Olivia").await;
        let id = server.company(&owner, "Agency").await;
        let below = async |name: &str| {
            let body = json!({"name": name, "parent_company_id": id});
            server.company_with(&owner, body).await
        };
        let (north, south) = (below("North").await, below("South").await);
        let token = token(&server, &owner, id, &ALL).await;
        Self {
            server,
            owner,
            id,
            north,
            south,
            token,
        }
    }

    pub fn call(&self, method: Method, path: impl AsRef<str>) -> Call {
        let call = self.server.call(method, path);
        call.token(&self.token).header("version", "2021-07-28")
    }

    pub fn get(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: impl AsRef<str>, body: &Value) -> Call {
        self.call(Method::POST, path).json(body)
    }

    pub fn put(&self, path: impl AsRef<str>, body: &Value) -> Call {
        self.call(Method::PUT, path).json(body)
    }

    pub fn delete(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::DELETE, path)
    }

    /// A body that creates a user of the northern location.
    pub fn new_user(&self, first_name: &str) -> Value {
        json!({
            "companyId": self.id.to_string(),
            "firstName": first_name,
            "lastName": "Tester",
            "email": format!("{}@people.example", first_name.to_lowercase()),
            "password": PASSWORD,
            "type": "account",
            "role": "user",
            "locationIds": [self.north.to_string()],
        })
    }

    /// Creates that user, with these changes of the body.
    pub async fn create(&self, first_name: &str, changes: Value) -> Value {
        let mut body = self.new_user(first_name);
        for (name, value) in changes.as_object().expect("an object") {
            body[name] = value.clone();
        }
        self.post("/users/", &body).expect(201).await
    }

    /// The path of a user.
    pub fn path(user: &Value) -> String {
        format!("/users/{}", user["id"].as_str().expect("an id in text"))
    }

    /// The first names found, in their order, and the count.
    pub async fn search(&self, query: &str) -> (Vec<String>, i64) {
        let path = format!("/users/search?companyId={}&{query}", self.id);
        let found = self.get(path).expect(200).await;
        let names = found["users"].as_array().expect("users").iter();
        let names = names.map(|user| user["firstName"].as_str().expect("a name").to_owned());
        (names.collect(), found["count"].as_i64().expect("a count"))
    }

    /// Every read table is what the ledger says.
    pub async fn assert_sound(&self) {
        let options = self.server.database.connect_options();
        let found = verify::run(&options, &[], |_, _| ()).await;
        let found = found.expect("a database that answers");
        assert_eq!(found.differences, Vec::<String>::new());
    }
}

/// A new token of a company.
pub async fn token(server: &TestServer, owner: &Person, company: i64, scopes: &[&str]) -> String {
    let path = format!("/api/v1/companies/{company}/integration_tokens");
    let body = json!({"name": "Test", "scopes": scopes});
    let made = server.post(path).token(&owner.token).json(&body);
    let made = made.expect(201).await;
    let token = made["integration_token"]["token"].as_str();
    token.expect("the token").to_owned()
}
