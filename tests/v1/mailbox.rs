//! The mails of a test's server, which are files in its data directory.

use std::time::{Duration, Instant};

use crate::server::TestServer;

/// Waits for the nth mail (from 1) to this address whose link has this path, and answers its token.
pub async fn token(server: &TestServer, to: &str, path: &str, nth: usize) -> String {
    let (begin, address) = (Instant::now(), format!("To: {to}\r\n"));
    loop {
        let mut found = mails(server);
        found.retain(|mail| mail.contains(&address) && mail.contains(path));
        if let Some(mail) = found.get(nth - 1) {
            let (_, rest) = mail.split_once("?token=").expect("a link with a token");
            return rest.split('&').next().expect("a token").to_owned();
        }
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "no mail {nth} with {path} to {to}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every mail so far, oldest first, its lines as they were before they were encoded.
pub fn mails(server: &TestServer) -> Vec<String> {
    let folder = server.data.path().join("mailbox");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "eml"))
        .collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).expect("a mail");
        text.replace("=\r\n", "").replace("=3D", "=")
    };
    paths.iter().map(read).collect()
}
