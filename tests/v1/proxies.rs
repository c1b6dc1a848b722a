//! Where a change came from, with a proxy in front: the tests' client stands for it.

use serde_json::json;

use crate::server::{TestServer, int};

#[tokio::test]
async fn a_history_tells_the_clients_address_where_a_trusted_proxy_says_it() {
    for (arguments, expected) in [
        (&[][..], "127.0.0.1"),
        (
            &["--trusted-proxies", "10.0.0.0/8,127.0.0.1"],
            "198.51.100.7",
        ),
    ] {
        let server = TestServer::start_with(arguments).await;
        let ana = server.sign_up("Ana").await;
        let company = server.company(&ana, "Acme").await;
        let lead = server.lead(&ana, company, json!({"first_name": "Eva"}));
        let lead = format!("/api/v1/leads/{}", int(&lead.await["id"]));
        let change = server.put(&lead).token(&ana.token);
        let change = change.header("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.1.2.3");
        change.json(&json!({"first_name": "Eve"})).expect(200).await;
        let history = server.get(format!("{lead}/history")).token(&ana.token);
        let history = history.expect(200).await;
        assert_eq!(history["history"][1]["ip"], expected, "{history}");
    }
}
