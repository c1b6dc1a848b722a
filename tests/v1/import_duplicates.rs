//! What becomes of rows that are like a lead, or like a row before; and a dry run, which must tell the same.

use serde_json::{Value, json};

use crate::imports::{Scene, assert_sums};
use crate::server::int;

/// One lead that is there, then rows that are like it, like one another, and like nobody.
const FILE: &str = "First name,Last name,E-mail,Phone,City\n\
    Annie,Gómez,ana@example.com,504-621-8927,Metairie\n\
    Bea,,bea@example.com,,\n\
    Beatrix,Cruz,BEA@example.com,,Lima\n\
    Cid,,no,,\n\
    Dan,,dan@example.com,,\n";

const COUNTS: [&str; 5] = [
    "imported_rows",
    "updated_rows",
    "skipped_rows",
    "failed_rows",
    "duplicate_rows",
];

async fn with_ana() -> (Scene, i64) {
    let scene = Scene::start().await;
    let ana = json!({"first_name": "Ana", "email": "ana@example.com", "extra": {"Hobby": "chess"}});
    let ana = scene.server.lead(&scene.ana, scene.company, ana).await;
    (scene, int(&ana["id"]))
}

/// Rehearses, then imports, and compares what both tell; answers the import.
async fn rehearsed_and_imported(scene: &Scene, fields: &[(&str, &str)]) -> Value {
    let dry = scene.server.post(format!("{}?dry_run=true", scene.path()));
    let dry = dry.token(&scene.ana.token);
    let dry = dry.upload("leads.csv", FILE, fields).expect(200).await;
    let import = scene.import(FILE, fields).await;
    assert_sums(&import);
    assert_eq!(dry["total_rows"], import["total_rows"]);
    for count in COUNTS {
        assert_eq!(dry[count], import[count], "{count} of {dry:#}");
    }
    let outcomes: Vec<String> = scene
        .server
        .payloads("import", int(&import["id"]))
        .await
        .iter()
        .filter_map(|event| event.get("ImportRowsProcessed"))
        .flat_map(|event| rows_of(&event["rows"]))
        .collect();
    let told = dry["rows"].as_array().expect("rows").iter();
    let told: Vec<String> = told
        .map(|row| {
            format!(
                "{} {}",
                row["row"],
                row["outcome"].as_str().expect("an outcome")
            )
        })
        .collect();
    assert_eq!(told, outcomes);
    let rows = dry["rows"].as_array().expect("rows").iter();
    let duplicates = rows.filter(|row| row["duplicate"] == true).count();
    assert_eq!(json!(duplicates), dry["duplicate_rows"], "{dry:#}");
    import
}

fn rows_of(rows: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for (list, outcome) in [
        ("created", "created"),
        ("updated", "updated"),
        ("skipped", "skipped"),
        ("failed", "failed"),
    ] {
        for row in rows[list].as_array().into_iter().flatten() {
            for n in 0..row["count"].as_i64().unwrap_or(1) {
                all.push((int(&row["row"]) + n, outcome));
            }
        }
    }
    all.sort_unstable();
    all.iter()
        .map(|(row, outcome)| format!("{row} {outcome}"))
        .collect()
}

fn counts(import: &Value) -> [i64; 5] {
    COUNTS.map(|count| int(&import[count]))
}

#[tokio::test(flavor = "multi_thread")]
async fn created_duplicates_are_flagged() {
    let (scene, ana) = with_ana().await;
    let import = rehearsed_and_imported(&scene, &[]).await;
    assert_eq!(counts(&import), [4, 0, 0, 1, 2]);
    let leads = scene.leads().await;
    let annie = leads
        .iter()
        .find(|lead| lead["first_name"] == "Annie")
        .expect("Annie");
    assert_eq!(annie["duplicate_of_id"], ana);
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_duplicates_change_nothing() {
    let (scene, ana) = with_ana().await;
    let before = scene.server.events("lead", ana).await;
    let import = rehearsed_and_imported(&scene, &[("duplicates", "skip")]).await;
    assert_eq!(counts(&import), [2, 0, 2, 1, 2]);
    assert_eq!(scene.server.events("lead", ana).await, before);
    assert_eq!(scene.leads().await.len(), 3);
    scene.server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filling_gives_what_is_lacking_and_overwriting_all() {
    for (update, first_name) in [("fill", "Ana"), ("overwrite", "Annie")] {
        let (scene, ana) = with_ana().await;
        let fields = [("duplicates", "update"), ("update", update)];
        let import = rehearsed_and_imported(&scene, &fields).await;
        assert_eq!(counts(&import), [2, 2, 0, 1, 2], "{update}");
        let path = format!("/api/v1/leads/{ana}");
        let lead = scene
            .server
            .get(path)
            .token(&scene.ana.token)
            .expect(200)
            .await;
        let lead = &lead["lead"];
        assert_eq!(lead["first_name"], first_name);
        assert_eq!(lead["last_name"], "Gómez");
        assert_eq!(lead["extra"], json!({"Hobby": "chess", "City": "Metairie"}));
        let metadata = scene.server.metadata("lead", ana).await;
        let source = metadata.last().expect("an event")["source"]
            .as_str()
            .expect("a source")
            .to_owned();
        assert!(source.ends_with(" row 2"), "{source}");
        let bea = scene
            .leads()
            .await
            .into_iter()
            .find(|lead| lead["email"] == "bea@example.com");
        let bea = bea.expect("Bea");
        let wanted = if update == "fill" { "Bea" } else { "Beatrix" };
        assert_eq!(
            (bea["first_name"].as_str(), bea["last_name"].as_str()),
            (Some(wanted), Some("Cruz"))
        );
        scene.server.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_name_what_the_company_has() {
    let scene = Scene::start().await;
    let (server, ana, company) = (&scene.server, &scene.ana, scene.company);
    let source = server.source(ana, company, "Feria").await;
    let territory = server.territory(ana, company, "Norte").await;
    let campaign = server.campaign(ana, company, json!({"name": "Mayo"})).await;
    let bob = server
        .member(company, ana, aggregates::access::Role::Agent, "Bob")
        .await;
    let colour = json!({"text": "Which colour?", "question_type": "multiple_choice",
        "options": [{"value": "Red"}, {"value": "Green"}, {"value": "Blue"}]});
    let colour = server.question(ana, company, colour).await;
    let file = format!(
        "name,etapa,Fuente,Campaña,Territorio,Responsable,which colour?\n\
         Ana,contacted,feria,MAYO,norte,bob@people.example,\"red, blue\"\n\
         Bea,3,{source},{campaign},{territory},{},GREEN\n\
         Cid,,Elsewhere,,,,\n\
         Dan,,,,,,Purple\n",
        bob.access_id
    );
    let import = scene.import(&file, &[]).await;
    assert_eq!(counts(&import), [2, 0, 0, 2, 0], "{import:#}");
    assert_eq!(
        import["errors"][0]["message"],
        "Fuente: is not a source of this company"
    );
    assert_eq!(import["errors"][1]["code"], "invalid_answer");
    for (name, stage, chosen) in [
        ("Ana", "contacted", "Red, Blue"),
        ("Bea", "qualified", "Green"),
    ] {
        let leads = scene.leads().await;
        let lead = leads
            .iter()
            .find(|lead| lead["first_name"] == name)
            .expect("a lead");
        assert_eq!(lead["stage"]["code"], stage);
        assert_eq!(lead["source"]["id"], source);
        assert_eq!(lead["campaign"]["id"], campaign);
        assert_eq!(lead["territory"]["id"], territory);
        assert_eq!(lead["user_access"]["id"], bob.access_id);
        assert_eq!(lead["answers"][0]["question_id"], colour["id"]);
        assert_eq!(lead["answers"][0]["value"], chosen);
    }
    server.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_that_creates_tells_whom_each_row_is_like() {
    let (scene, ana) = with_ana().await;
    let file = "email\nana@example.com\nbo@example.com\nbo@example.com\nno address\n";
    let dry = scene.server.post(format!("{}?dry_run=true", scene.path()));
    let dry = dry.token(&scene.ana.token).upload("leads.csv", file, &[]);
    let dry = dry.expect(200).await;
    let told = dry["rows"].as_array().expect("rows").iter();
    let told: Vec<_> = told
        .map(|row| json!([row["outcome"], row["duplicate"], row["lead_id"]]))
        .collect();
    let expected = [
        json!(["created", true, ana]),
        json!(["created", false, null]),
        json!(["created", true, null]),
        json!(["failed", false, null]),
    ];
    assert_eq!(told, expected);
}

/// The texts of options may have what stands between options in them.
#[tokio::test(flavor = "multi_thread")]
async fn several_options_are_found_whatever_stands_in_their_texts() {
    let scene = Scene::start().await;
    let options = ["Casa", "Depa, grande", "Lote", "Casa, con patio; o sin"];
    let options: Vec<Value> = options
        .iter()
        .map(|value| json!({"value": value}))
        .collect();
    let wishes =
        json!({"text": "Intereses", "question_type": "multiple_choice", "options": options});
    scene
        .server
        .question(&scene.ana, scene.company, wishes)
        .await;
    let file = "Nombre;Intereses\nA;Lote, Depa, grande\nB;\"casa, con patio; o sin, lote\"\nC;Casa|Depa, grande,Lote\nD;Depa, Lote\nE;\"Casa,\"\n";
    let import = scene.import(file, &[]).await;
    assert_eq!(counts(&import), [3, 0, 0, 2, 0], "{import:#}");
    let mut leads = scene.leads().await;
    leads.sort_by_key(|lead| int(&lead["id"]));
    let chosen: Vec<_> = leads
        .iter()
        .map(|lead| lead["answers"][0]["value"].clone())
        .collect();
    let expected = [
        "Depa, grande, Lote",
        "Lote, Casa, con patio; o sin",
        "Casa, Depa, grande, Lote",
    ];
    assert_eq!(chosen, expected);
}
