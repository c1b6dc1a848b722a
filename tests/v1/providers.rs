//! What a user can be known by.

#![expect(
    clippy::unwrap_used,
    reason = "a test reports what it did not expect by panicking"
)]

use aggregates::access::Role;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::contract::assert_as_in;
use crate::server::TestServer;

/// A key of its own for the test: its private half signs, its public half is in the file of keys.
struct Issuer {
    key: EncodingKey,
    jwks: tempfile::NamedTempFile,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref()).unwrap();
        // An uncompressed point: a mark, then both coordinates.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwks = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig",
            "x": part(x), "y": part(y)}]});
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), jwks.to_string()).unwrap();
        Self {
            key: EncodingKey::from_ec_der(private.as_ref()),
            jwks: file,
        }
    }

    fn settings(&self) -> String {
        json!([{"provider": "google", "issuer": "https://issuer.example", "audience": "leadledger",
            "jwks": self.jwks.path()}])
        .to_string()
    }

    fn token(&self, changes: &Value) -> String {
        let mut claims = json!({"iss": "https://issuer.example", "aud": "leadledger", "sub": "g-1",
            "exp": 4_000_000_000_u32, "email": "ana@elsewhere.example", "email_verified": true});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("one".to_owned());
        encode(&header, &claims, &self.key).unwrap()
    }
}

#[tokio::test]
async fn an_identity_that_the_issuer_vouches_for_is_linked_and_unlinked() {
    let issuer = Issuer::new();
    let server = TestServer::start_with(&["--oidc", &issuer.settings()]).await;
    let (ana, eve) = (server.sign_up("Ana").await, server.sign_up("Eve").await);
    let path = format!("/api/v1/users/{}/providers", ana.id);
    let list = || server.get(&path).token(&ana.token).expect(200);
    assert_eq!(list().await["providers"], json!([]));
    let body = |changes: Value| json!({"provider": "google", "id_token": issuer.token(&changes)});
    let link = |changes: Value| server.post(&path).token(&ana.token).json(&body(changes));
    let linked = link(json!({})).expect(201).await;
    let listed = list().await;
    assert_as_in("GET /api/v1/users/{user_id}/providers", &listed);
    assert_eq!(listed["providers"], json!([linked["provider"]]));
    assert_eq!(linked["provider"]["uid"], "g-1");
    assert_eq!(link(json!({})).expect(201).await, linked);

    for wrong in [
        json!({"iss": "https://other.example"}),
        json!({"aud": "another"}),
        json!({"exp": 1_000_000_000}),
        json!({"sub": ""}),
    ] {
        let refused = link(wrong).expect(422).await;
        assert!(refused["errors"]["id_token"].is_array(), "{refused}");
    }
    let other = Issuer::new();
    let forged = json!({"provider": "google", "id_token": other.token(&json!({"sub": "g-2"}))});
    server
        .post(&path)
        .token(&ana.token)
        .json(&forged)
        .expect(422)
        .await;
    let unknown = json!({"provider": "apple", "id_token": "x.y.z"});
    server
        .post(&path)
        .token(&ana.token)
        .json(&unknown)
        .expect(422)
        .await;

    let eves = format!("/api/v1/users/{}/providers", eve.id);
    let taken = server.post(&eves).token(&eve.token).json(&body(json!({})));
    assert_eq!(taken.expect(422).await["code"], "identity_taken");
    let one = format!("{path}/{}", linked["provider"]["id"]);
    server.delete(&one).token(&eve.token).expect(404).await;
    server.delete(&one).token(&ana.token).expect(200).await;
    server.delete(&one).token(&ana.token).expect(404).await;
    assert_eq!(list().await["providers"], json!([]));
}

#[tokio::test]
async fn the_password_is_a_provider_and_providers_are_ones_own() {
    let server = TestServer::start().await;
    let (owner, eve) = (server.owner().await, server.sign_up("Eve").await);
    let company = server.company(&eve, "Acme").await;
    let bob = server.member(company, &eve, Role::Agent, "Bob").await;
    let path = format!("/api/v1/users/{}/providers", owner.id);
    let listed = server.get(&path).token(&owner.token).expect(200).await;
    assert_as_in("GET /api/v1/users/{user_id}/providers", &listed);
    assert_eq!(listed["providers"][0]["provider"], "password");
    server.get(&path).expect(401).await;
    server.get(&path).token(&eve.token).expect(404).await;
    let bobs = format!("/api/v1/users/{}/providers", bob.person.id);
    server.get(&bobs).token(&eve.token).expect(403).await;
    let body = json!({"provider": "google", "id_token": "x.y.z"});
    server
        .post(&bobs)
        .token(&eve.token)
        .json(&body)
        .expect(403)
        .await;
    server.post(&bobs).json(&body).expect(401).await;
    // Without any issuer configured there is nothing to link.
    server
        .post(&bobs)
        .token(&bob.person.token)
        .json(&body)
        .expect(422)
        .await;
    server
        .post(&bobs)
        .token(&bob.person.token)
        .raw("{")
        .expect(400)
        .await;
    server.delete(format!("{bobs}/1")).expect(401).await;
}
