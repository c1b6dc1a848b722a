//! What an import does to a lead tells who asked for it, from where and why, and so does what its undo does.

use aggregates::access::Role;
use serde_json::{Value, json};

use crate::imports::{Scene, code};
use crate::server::{Person, int};

async fn entries(scene: &Scene, who: &Person, lead: &str) -> Vec<Value> {
    let path = format!("{lead}/history");
    let history = scene.server.get(path).token(&who.token).expect(200).await;
    history["history"].as_array().expect("entries").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_import_did_tells_from_where_and_why_it_was_asked_for() {
    let scene = Scene::start().await;
    let (server, ana) = (&scene.server, &scene.ana);
    let call = server.post(scene.path()).token(&ana.token);
    let call = call
        .header("x-reason", "bought list")
        .header("x-request-id", "the-upload")
        .header("user-agent", "Uploader 1");
    let file = "first_name,last_name,email\nBo,Li,bo@people.example\n";
    let begun = call.upload("leads.csv", file, &[]).expect(201).await;
    let import = &begun["import_file"];
    scene.ended(code(import)).await;
    let lead = format!("/api/v1/leads/{}", int(&scene.leads().await[0]["id"]));
    let bob = server
        .member(scene.company, ana, Role::Admin, "Bob")
        .await
        .person;
    let call = server.post(format!("/api/v1/import/{}/undo", code(import)));
    let call = call
        .token(&bob.token)
        .header("x-reason", "it was stolen")
        .header("x-request-id", "the-undo")
        .header("user-agent", "Undoer 2");
    call.expect(202).await;
    scene.ended(code(import)).await;

    let told = entries(&scene, ana, &lead).await;
    let wanted = [
        (ana.id, "bought list", "the-upload", "Uploader 1", ""),
        (bob.id, "it was stolen", "the-undo", "Undoer 2", " undo"),
    ];
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    for (entry, (actor, reason, request, agent, undo)) in told.iter().zip(wanted) {
        let through = format!("import {} row 2{undo}", code(import));
        assert_eq!(entry["through"], through, "{entry}");
        assert_eq!(entry["actor"]["id"], actor, "{entry}");
        assert_eq!(entry["reason"], reason, "{entry}");
        assert_eq!(entry["request_id"], request, "{entry}");
        assert_eq!(entry["user_agent"], agent, "{entry}");
        assert_eq!(entry["ip"], "127.0.0.1", "{entry}");
    }
    // Free words about a person go with the person.
    let id = lead.rsplit('/').next().and_then(|id| id.parse().ok());
    let stored = server.metadata("lead", id.expect("an id")).await;
    assert!(
        stored.iter().all(|of| of.get("reason").is_none()),
        "{stored:?}"
    );
    for step in ["block", "erase"] {
        let call = server.post(format!("{lead}/erasure")).token(&ana.token);
        let body = json!({"step": step, "reason": "subject_request"});
        call.json(&body).expect(200).await;
    }
    for entry in &entries(&scene, ana, &lead).await[..2] {
        assert!(entry["reason"].is_null(), "{entry}");
        assert_eq!(entry["ip"], "127.0.0.1", "{entry}");
    }
    server.assert_sound().await;
}
