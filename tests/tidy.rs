//! The rules of the house that a program can check. clippy, rustfmt and the compiler check theirs; these are the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below this folder of the repository, by its path in it.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let inside = path.strip_prefix(root()).expect("a path below the root");
                found.push(inside.to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every Rust file of the house.
fn sources() -> Vec<PathBuf> {
    let folders = [
        "src",
        "aggregates/src",
        "projections/src",
        "tests",
        "benches",
    ];
    let all = folders.into_iter().flat_map(files);
    let all: Vec<_> = all.filter(|path| extension(path) == "rs").collect();
    assert!(all.len() > 200, "only {} sources were found", all.len());
    all
}

fn extension(path: &Path) -> &str {
    path.extension()
        .and_then(|text| text.to_str())
        .unwrap_or_default()
}

fn text(path: &Path) -> String {
    fs::read_to_string(root().join(path)).expect("a file in UTF-8")
}

/// The lines of these files that have one of the words, comments left out.
fn lines_with<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in paths {
        for (n, line) in text(path).lines().enumerate() {
            let code = line.trim_start();
            if !code.starts_with("//") && words.iter().any(|word| code.contains(word)) {
                found.push(format!("{}:{}: {code}", path.display(), n + 1));
            }
        }
    }
    found
}

#[track_caller]
fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn every_source_says_first_what_it_holds() {
    let silent = sources().into_iter();
    let silent = silent.filter(|path| !text(path).starts_with("//! "));
    let silent: Vec<_> = silent.map(|path| path.display().to_string()).collect();
    assert_none("a file opens with `//!`", &silent);
}

#[test]
fn no_file_is_called_after_nothing_in_particular() {
    let vague = [
        "util", "utils", "helper", "helpers", "manager", "common", "misc",
    ];
    let stem = |path: &PathBuf| {
        path.file_stem()
            .and_then(|stem| stem.to_str())
            .map(str::to_owned)
    };
    let found = sources().into_iter();
    let found = found.filter(|path| stem(path).is_some_and(|stem| vague.contains(&stem.as_str())));
    let found: Vec<_> = found.map(|path| path.display().to_string()).collect();
    assert_none("a name says what a file holds", &found);
}

#[test]
fn sql_is_in_the_read_models_and_in_the_ledger_only() {
    const SQL: [&str; 4] = ["sqlx::query", "sqlx::raw_sql", "QueryBuilder", "SELECT "];
    let elsewhere: Vec<_> = files("src")
        .into_iter()
        .filter(|path| {
            !path.starts_with("src/ledger")
                && !SQL_BESIDES
                    .iter()
                    .any(|(known, _)| path == Path::new(known))
        })
        .collect();
    assert_none(
        "SQL is in projections and src/ledger",
        &lines_with(&elsewhere, &SQL),
    );
}

/// What speaks to a server rather than to its tables.
const SQL_BESIDES: [(&str, &str); 3] = [
    ("src/database.rs", "settings of a connection"),
    (
        "src/embedded/mod.rs",
        "the embedded server's database is made",
    ),
    (
        "src/worker.rs",
        "the lock of whoever works in the background",
    ),
];

#[test]
fn the_dialects_do_not_know_each_other() {
    let all = files("src/api");
    let in_dialect = |name: &str| {
        let (file, folder) = (format!("src/api/{name}.rs"), format!("src/api/{name}/"));
        let of = all.iter().filter(move |path| {
            let path = path.to_string_lossy();
            path == file || path.starts_with(&folder)
        });
        of.collect::<Vec<_>>()
    };
    let v1 = lines_with(in_dialect("v1"), &["api::ghl", "super::ghl"]);
    assert_none("API V1 knows nothing of the other dialect", &v1);
    let ghl = lines_with(in_dialect("ghl"), &["api::v1", "super::v1"]);
    assert_none("the GoHighLevel dialect knows nothing of API V1", &ghl);
}

#[test]
fn the_domain_is_pure_and_the_arrows_do_not_turn_round() {
    let domain = text(Path::new("aggregates/Cargo.toml"));
    for impure in [
        "projections",
        "sqlx",
        "axum",
        "reqwest",
        "rand",
        "getrandom",
        "uuid",
    ] {
        let depends = domain.lines().any(|line| {
            let name = line.split(['.', ' ', '=']).next();
            name == Some(impure)
        });
        assert!(!depends, "the domain depends on {impure}");
    }
    let read_models = text(Path::new("projections/Cargo.toml"));
    for above in ["axum", "leadledger", "reqwest", "utoipa"] {
        assert!(
            !read_models.contains(above),
            "the read models depend on {above}"
        );
    }
    let impure = [
        "Utc::now",
        "SystemTime",
        "Instant::now",
        "std::env",
        "std::fs",
        "std::net",
        "thread_rng",
    ];
    let found = lines_with(&files("aggregates/src"), &impure);
    assert_none("the domain has no clock, chance, files or network", &found);
}

#[test]
fn migrations_have_a_number_each() {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files("migrations") {
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let (number, rest) = name.split_once('_').expect("a number and a name");
        assert!(
            number.len() == 4 && number.parse::<u16>().is_ok(),
            "{name}: four digits come first"
        );
        let stem = rest.strip_suffix(".sql").expect("SQL");
        let snake = stem
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        assert!(snake, "{name}: a name in snake_case");
        names.entry(number.to_owned()).or_default().push(name);
    }
    let shared: Vec<_> = names
        .into_values()
        .filter(|names| names.len() > 1)
        .collect();
    assert!(
        shared.is_empty(),
        "one number, several migrations: {shared:?}"
    );
}

/// A file that no `mod` names is compiled by nobody, and its tests never fail.
#[test]
fn every_test_module_is_named_by_its_binary() {
    for binary in ["ghl", "ledger", "v1"] {
        let folder = format!("tests/{binary}");
        let main = text(Path::new(&format!("{folder}/main.rs")));
        let named: BTreeSet<&str> = main
            .lines()
            .filter_map(|line| line.trim().strip_prefix("mod ")?.strip_suffix(';'))
            .collect();
        for path in files(&folder) {
            let inside = path.strip_prefix(&folder).expect("a path in the folder");
            if inside.components().count() > 1
                || extension(inside) != "rs"
                || inside == Path::new("main.rs")
            {
                continue;
            }
            let stem = inside
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            assert!(
                named.contains(stem.as_str()),
                "{} is not named in main.rs",
                path.display()
            );
        }
    }
}

/// The repository speaks of the product, and runs anywhere.
#[test]
fn no_tracked_file_names_a_place_of_the_machine_it_was_written_on() {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output();
    // A tree without git, as in an archive of a release, was checked where it came from.
    let Ok(listed) = listed else { return };
    if !listed.status.success() {
        return;
    }
    let paths = String::from_utf8(listed.stdout).expect("paths in UTF-8");
    let places = ["/home/", "/root/", "/Users/", "/work/", "/private/tmp"]
        .map(|place| (place, "/home/linuxbrew/"));
    let mut found = Vec::new();
    for path in paths
        .split('\0')
        .filter(|path| !path.is_empty() && *path != "tests/tidy.rs")
    {
        // Binary files have no lines to read; a file may be removed and not yet committed.
        let Ok(text) = fs::read_to_string(root().join(path)) else {
            continue;
        };
        for (n, line) in text.lines().enumerate() {
            for (place, known) in places {
                if line.replace(known, "").contains(place) {
                    found.push(format!("{path}:{}: {place}", n + 1));
                }
            }
        }
    }
    assert_none("no path of a machine", &found);
}

/// Whoever starts the program says where it may write: in a clone that is served from, the files of a test would be taken for the ledger's own.
#[test]
fn every_started_program_is_told_its_data_directory() {
    let program = format!("env!(\"CARGO_BIN_{}", "EXE_leadledger\")");
    for path in files("tests") {
        if extension(&path) != "rs" {
            continue;
        }
        let text = text(&path);
        let started = text.matches(&program).count();
        let told = text.matches("\"LEADLEDGER_DATA_DIR\"").count();
        assert!(
            told >= started,
            "{}: {started} programs, {told} directories",
            path.display()
        );
    }
}
