//! `leadledger import`: its leads are matched and routed like all others, straight into the ledger and through a server.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aggregates::access::Role;
use clap::Parser;
use leadledger::config::{Cli, Command};
use leadledger::import::command::{self, Report};
use serde_json::{Value, json};

use crate::server::{TestServer, int};

async fn run(arguments: &[&str]) -> Report {
    tried(arguments).await.expect("an import to its end")
}

async fn tried(arguments: &[&str]) -> anyhow::Result<Report> {
    let line = ["leadledger", "import"].iter().chain(arguments);
    let cli = Cli::parse_from(line);
    let Some(Command::Import(arguments)) = cli.command else {
        panic!("the import command")
    };
    command::run(&cli.settings, &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_leads_fall_into_territories_and_go_to_their_sources_people() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let source = server.source(&ana, company, "Fair").await;
    let people = format!("/api/v1/companies/{company}/sources/{source}/user_access");
    for name in ["Abel", "Bea", "Cid"] {
        let agent = server.member(company, &ana, Role::Agent, name).await;
        let body = json!({"user_access_id": agent.access_id});
        let call = server.post(&people).token(&ana.token).json(&body);
        call.expect(201).await;
    }
    let territories = json!({"territories": [{"name": "Centre", "postal_codes": ["06*"]}]});
    let call = server.post(format!("/api/v1/companies/{company}/territories"));
    let call = call.token(&ana.token).json(&territories);
    call.expect(201).await;

    let folder = tempfile::tempdir().expect("a folder");
    let file = |n: usize| {
        let mut text = "First name,E-mail,Código Postal\n".to_owned();
        for row in 0..10 {
            let code = if row < 4 { "06700" } else { "11000" };
            writeln!(text, "L{row},l{row}of{n}@example.com,{code}").expect("writing into a text");
        }
        let path = folder.path().join(format!("{n}.csv"));
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let (company_text, source_text) = (company.to_string(), source.to_string());
    let to = ["--company", &company_text, "--source", &source_text];
    let database = server.database.url();
    let files = [file(1), file(2)];
    let [direct, remote] = [
        vec![files[0].as_str(), "--database-url", &database],
        vec![
            files[1].as_str(),
            "--url",
            server.url(),
            "--token",
            &ana.token,
        ],
    ];
    for arguments in [direct, remote] {
        let report = run(&[&arguments[..], &to].concat()).await;
        assert_eq!((report.counts.imported, report.counts.failed), (10, 0));
    }
    let leads = server
        .get(format!("/api/v1/companies/{company}/leads?per_page=100"))
        .token(&ana.token)
        .expect(200)
        .await;
    let leads = leads["leads"].as_array().expect("a list");
    assert_eq!(leads.len(), 20);
    let mut by_person: BTreeMap<i64, usize> = BTreeMap::new();
    for lead in leads {
        *by_person
            .entry(int(&lead["user_access"]["id"]))
            .or_default() += 1;
        assert_eq!(lead["source"]["name"], "Fair");
    }
    let mut counts: Vec<_> = by_person.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [6, 7, 7]);
    let centre = leads
        .iter()
        .filter(|lead| lead["territory"]["name"] == "Centre");
    assert_eq!(centre.count(), 8);
    assert!(leads.iter().any(|lead| lead["territory"] == Value::Null));

    // A source that is not the company's is told before anything happens.
    let wrong = ["--company", &company_text, "--source", "999999"];
    for arguments in [
        vec![files[0].as_str(), "--force", "--database-url", &database],
        vec![
            files[0].as_str(),
            "--force",
            "--url",
            server.url(),
            "--token",
            &ana.token,
        ],
    ] {
        let refusal = tried(&[&arguments[..], &wrong[..]].concat()).await;
        let refusal = refusal.expect_err("a refusal");
        assert!(refusal.to_string().contains("source"), "{refusal}");
    }
    server.assert_sound().await;
}

/// As a shell makes one of `<(…)`.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_read_until_it_ends() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let database = server.database.url();
    for (name, way) in [
        ("direct", ["--database-url", &database].as_slice()),
        ("remote", &["--url", server.url(), "--token", &ana.token]),
    ] {
        let pipe = folder.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo").success());
        let text = format!("email\n{name}@example.com\n");
        let (arguments, whole) = (
            [pipe.to_str().expect("UTF-8"), "--company", &company],
            pipe.clone(),
        );
        let writing = tokio::task::spawn_blocking(move || std::fs::write(whole, text));
        let report = run(&[&arguments, way].concat()).await;
        writing.await.expect("a thread").expect("a pipe");
        assert_eq!(report.counts.imported, 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said_in_full_both_ways() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let database = server.database.url();
    let direct = ["--company", &company, "--database-url", &database];
    let remote = [
        "--company",
        &company,
        "--url",
        server.url(),
        "--token",
        &ana.token,
    ];
    for (n, way) in [&direct[..], &remote[..]].into_iter().enumerate() {
        let said = async |arguments: &[&str]| {
            let refusal = tried(&[arguments, way].concat()).await;
            format!("{:#}", refusal.expect_err("a refusal"))
        };
        let wide = format!("a{n}@example.com{}\n", ",x".repeat(1_500));
        let wide = file("wide.csv", &format!("email,b\na@example.com,1\n{wide}"));
        let failed = said(&[&wide]).await;
        assert!(
            failed.contains("the import is failed: the file"),
            "{failed}"
        );
        assert!(
            failed.contains("columns in line 3 (unreadable_file)"),
            "{failed}"
        );

        let good = file("good.csv", &format!("email\ngood{n}@example.com\n"));
        let report = run(&[&[good.as_str()], way].concat()).await;
        let code = report.code.expect("a code");
        let path = format!("/api/v1/import/{code}");
        let again = said(&[&good]).await;
        let named = format!("(import {code})");
        assert!(
            again.contains(&named) && again.contains("--force"),
            "{again}"
        );
        let undo = server.post(format!("{path}/undo")).token(&ana.token);
        undo.expect(202).await;

        let folder = folder.path().to_str().expect("a path in UTF-8");
        let no_file = said(&[folder]).await;
        assert_eq!(no_file, format!("{folder} is a folder"));
        let missing = said(&["/no/such.csv"]).await;
        assert!(missing.contains("/no/such.csv"), "{missing}");
        let blank = file("blank.csv", "\n\n");
        let unreadable = said(&[&blank]).await;
        assert!(unreadable.contains("the file"), "{unreadable}");
    }
    let both = ["leadledger", "import", "f.csv", "--company", "1"];
    let both = both.into_iter().chain(["--dry-run", "--rejected", "r.csv"]);
    let refusal = Cli::try_parse_from(both).expect_err("a refusal");
    assert!(refusal.to_string().contains("--rejected"), "{refusal}");
    server.assert_sound().await;
}

/// Whoever reads the history of a lead is told that an operator imported it, and why; through a server it is told who did.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_at_the_console_says_so_and_why() {
    let server = TestServer::start().await;
    let ana = server.sign_up("Ana").await;
    let company = server.company(&ana, "Acme").await;
    let folder = tempfile::tempdir().expect("a folder");
    let database = server.database.url();
    let to = [
        "--company",
        &company.to_string(),
        "--reason",
        " Ticket 7, años ",
    ]
    .map(str::to_owned);
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    for (name, way, actor) in [
        ("direct", ["--database-url", &database].as_slice(), "system"),
        (
            "remote",
            &["--url", server.url(), "--token", &ana.token],
            "user",
        ),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, format!("email\n{name}@example.com\n")).expect("a file");
        let file = [file.to_str().expect("UTF-8")];
        let report = run(&[&file[..], way, &to[..]].concat()).await;
        let code = report.code.expect("a code");
        let leads = server.get(format!("/api/v1/companies/{company}/leads?search={name}"));
        let leads = leads.token(&ana.token).expect(200).await;
        let path = format!("/api/v1/leads/{}/history", leads["leads"][0]["id"]);
        let history = server.get(path).token(&ana.token).expect(200).await;
        let entry = &history["history"][0];
        assert_eq!(entry["through"], format!("import {code} row 2"), "{entry}");
        assert_eq!(entry["actor"]["type"], actor, "{entry}");
        assert_eq!(entry["reason"], "Ticket 7, años", "{entry}");
        let console = entry["user_agent"] == "leadledger import (console)";
        assert_eq!(console, name == "direct", "{entry}");
        let stored: String = sqlx::query_scalar(
            "SELECT metadata->>'source' FROM events WHERE event_type = 'ImportRequested' AND aggregate_id = \
             (SELECT id::text FROM imports WHERE import_code = $1::text)",
        )
        .bind(&code)
        .fetch_one(server.database.pool())
        .await
        .expect("the request");
        assert_eq!(stored == "console", name == "direct", "{stored}");
    }
    let long = "x".repeat(501);
    let words = [
        "x.csv",
        "--company",
        "1",
        "--database-url",
        &database,
        "--reason",
        &long,
    ];
    let refused = tried(&words).await.expect_err("a refusal").to_string();
    assert!(refused.contains("--reason"), "{refused}");
    server.assert_sound().await;
}
