//! The web UI in a real Chromium, on real servers. Each flow is a script in `tests/browser`; what only the server's side
//! can do, such as letting a model answer, happens here when the script says so.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::header;
use prost::Message;
use pulse::pb::v1::resume_workflow_request::Action;
use pulse::pb::v1::{ListWorkflowsRequest, RatingVerdict, ResumeWorkflowRequest};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::databases::{creation, spec, sqlite};
use crate::support::http as web;
use crate::support::model_server::{ModelServer, Reply};
use crate::support::proxy::{Proxy, Weather};
use crate::support::replicas::Replicas;
use crate::support::script::{self, ANSWER, ENDLESS, QUESTION, mapping, model, plan, statement};
use crate::support::server::{Folder, Server};
use crate::support::servers::{Gateway, free_port};

/// Longest a flow may take, or keep this side waiting for a word.
const PATIENCE: Duration = Duration::from_mins(5);

/// A flow that runs in a browser. Dropping it ends both.
struct Browser {
    script: Child,
    words: Lines<BufReader<ChildStdout>>,
    ears: ChildStdin,
    said: Vec<String>,
}

impl Browser {
    /// Starts `tests/browser/FLOW.mjs` on the server behind this port.
    fn on(port: u16, flow: &str, arguments: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = root.join("web/node_modules/playwright-core");
        assert!(packages.exists(), "the browser's packages are missing: install npm, then build again");
        let mut script = Command::new("node")
            .arg(root.join("tests/browser").join(format!("{flow}.mjs")))
            .arg(format!("http://127.0.0.1:{port}"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        let words = BufReader::new(script.stdout.take().unwrap()).lines();
        let ears = script.stdin.take().unwrap();
        Self { script, words, ears, said: Vec::new() }
    }

    /// Waits until the script says this word.
    async fn says(&mut self, word: &str) {
        let heard = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = self.words.next_line().await.unwrap() {
                if line == format!("@{word}") {
                    return true;
                }
                self.said.push(line);
            }
            false
        });
        assert!(heard.await.expect("the flow comes that far"), "the flow ended before `{word}`: {:?}", self.said);
    }

    /// Says a word to the script.
    async fn tell(&mut self, word: &str) {
        self.ears.write_all(format!("{word}\n").as_bytes()).await.unwrap();
    }

    /// Waits until the script has ended, and well.
    async fn passes(mut self) {
        let status = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = self.words.next_line().await.unwrap() {
                println!("{line}");
            }
            self.script.wait().await.unwrap()
        });
        assert!(status.await.expect("the flow ends").success(), "the flow failed; its output above says where");
    }
}

#[tokio::test]
async fn a_question_is_asked_answered_and_used() {
    let server = Server::demo(&[]).await;
    Browser::on(server.address.port(), "ask", &[]).passes().await;
}

#[tokio::test]
async fn a_reload_goes_on_and_two_windows_show_the_same() {
    let model = model(ANSWER, Some("composer")).await;
    let server = script::server(&model, &[]).await;
    let mut browser = Browser::on(server.address.port(), "follow", &[QUESTION]);
    browser.says("waiting").await;
    model.release("composer");
    browser.tell("answered").await;
    browser.passes().await;
}

#[tokio::test]
async fn stop_stops_the_statement() {
    let model = model(ENDLESS, None).await;
    let server = script::server(&model, &[]).await;
    Browser::on(server.address.port(), "stop", &[QUESTION]).passes().await;
}

#[tokio::test]
async fn attempts_are_told_apart() {
    let model = ModelServer::start().await;
    model.on("planner", plan()).on("mapper", mapping());
    model.on("composer", statement("SELECT nickname FROM customers")).on("composer", statement(ANSWER));
    let server = script::server(&model, &[]).await;
    Browser::on(server.address.port(), "retries", &[QUESTION]).passes().await;
}

#[tokio::test]
async fn candidates_are_seen_apart() {
    let model = ModelServer::start().await;
    model.on("planner", plan()).on("mapper", mapping()).on("composer", statement("SELECT count(*) FROM orders"));
    for words in ["settle first what one row", "the plan and the mapping may be wrong"] {
        model.on_told("composer", words, statement(ANSWER));
    }
    let server = script::server(&model, &[]).await;
    Browser::on(server.address.port(), "candidates", &["Is the shop doing fine, all things considered?"])
        .passes()
        .await;
}

#[tokio::test]
async fn a_lost_connection_is_said_and_taken_up_again() {
    let model = model(ANSWER, Some("composer")).await;
    let server = script::server(&model, &[]).await;
    let proxy = Proxy::to(server.address.port()).await;
    let mut browser = Browser::on(proxy.port, "lost", &[QUESTION]);
    browser.says("running").await;
    proxy.set(Weather::Refused).await;
    browser.tell("lost").await;
    browser.says("noticed").await;
    model.release("composer");
    proxy.set(Weather::Fair).await;
    browser.tell("back").await;
    browser.passes().await;
}

#[tokio::test]
async fn a_question_is_asked_through_the_gateway() {
    let server = Server::demo(&[]).await;
    let gateway = Gateway::before(&[server.address], &[]).await;
    Browser::on(gateway.address.port(), "ask", &[]).passes().await;
}

#[tokio::test]
async fn a_reload_goes_on_through_the_gateway() {
    let model = model(ANSWER, Some("composer")).await;
    let server = script::server(&model, &[]).await;
    let gateway = Gateway::before(&[server.address], &[]).await;
    let mut browser = Browser::on(gateway.address.port(), "follow", &[QUESTION]);
    browser.says("waiting").await;
    model.release("composer");
    browser.tell("answered").await;
    browser.passes().await;
}

#[tokio::test]
async fn a_page_goes_on_when_its_server_dies() {
    let mut replicas = Replicas::start().await;
    let mut browser = Browser::on(replicas.gateway.address.port(), "replica", &[QUESTION]);
    browser.says("running").await;
    replicas.kill_first().await;
    browser.tell("killed").await;
    browser.passes().await;
}

#[tokio::test]
async fn sql_is_approved_changed_and_rejected() {
    let server = Server::demo(&[]).await;
    Browser::on(server.address.port(), "approve", &[QUESTION]).passes().await;
}

#[tokio::test]
async fn a_question_back_is_answered_by_a_button() {
    let model = ModelServer::start().await;
    let back = serde_json::json!({ "question": "Which customers?", "options": ["all of them", "those who ordered"] });
    let ambiguous = serde_json::json!({
        "intent": "Count customers.", "entities": [], "filters": [], "aggregations": [], "group_by": [], "order_by": [],
        "limit": null, "clarification": back, "confidence": 0.4
    });
    model.on("planner", Reply::json(ambiguous)).on("planner", plan());
    model.on("mapper", mapping()).on("composer", statement(ANSWER));
    let server = script::server(&model, &[]).await;
    Browser::on(server.address.port(), "clarify", &[QUESTION, "those who ordered", "Count the customers."])
        .passes()
        .await;
}

/// Things with names, of two kinds.
const NAMED_THINGS: &str = "
    CREATE TABLE categories (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL, category_id INTEGER REFERENCES categories (id));
    INSERT INTO categories VALUES (1, 'Lighting'), (2, 'Garden');
    INSERT INTO products VALUES (1, 'Lamp', 20, 1), (2, 'Torch', 10, 1), (3, 'Spade', 30, 2);";

#[tokio::test]
async fn questions_are_asked_back_and_followed_up_without_a_model() {
    let mut server = Server::start().await;
    server.database("shop", NAMED_THINGS).await;
    let ambiguous = "How many different names are there?";
    Browser::on(server.address.port(), "clarify", &[ambiguous, "name of products", "3"]).passes().await;
    let thread = ["How many products have a price above 15?", "and above 25?", "and above 5?"];
    Browser::on(server.address.port(), "thread", &thread).passes().await;
}

#[tokio::test]
async fn knowledge_is_written_used_and_verified() {
    let server = Server::demo(&[]).await;
    Browser::on(server.address.port(), "knowledge", &[]).passes().await;
}

/// A person's part in a run: what the page shows and sends, on events made here. The calls do not reach a server.
#[tokio::test]
async fn a_person_answers_and_approves() {
    use pulse::pb::v1::awaiting::Need;
    use pulse::pb::v1::resumed::Action as Answered;
    use pulse::pb::v1::workflow_event::Event;
    use pulse::pb::v1::{
        Approval, Awaiting, Clarification, ClarificationOption, Resumed, WorkflowCompleted, WorkflowEvent,
        WorkflowStarted,
    };

    let option = |answer: &str| ClarificationOption { answer: answer.into(), description: "in euros".into() };
    let clarification = Clarification {
        question: "Which revenue?".into(),
        options: vec![option("before discounts"), option("after discounts")],
    };
    let approval = Approval { sql: "SELECT 1".into(), explanation: "Says one.".into(), ..Approval::default() };
    let awaiting = |need| Event::Awaiting(Awaiting { need: Some(need), expire_time: None });
    let resumed = |action| Event::Resumed(Resumed { action: Some(action), principal: "local".into() });
    let events = [
        Event::WorkflowStarted(WorkflowStarted { question: "What revenue?".into(), ..WorkflowStarted::default() }),
        awaiting(Need::Clarification(clarification)),
        resumed(Answered::Answer("after discounts".into())),
        awaiting(Need::Approval(approval)),
        resumed(Answered::EditedSql("SELECT 2".into())),
        Event::Completed(WorkflowCompleted { sql: "SELECT 2".into(), ..WorkflowCompleted::default() }),
    ];
    let frames: Vec<String> = (1..)
        .zip(events)
        .map(|(sequence, event)| {
            let event = WorkflowEvent { sequence, event: Some(event), ..WorkflowEvent::default() };
            let message = pulse::pb::v1::WatchWorkflowResponse::from(Some(event)).encode_to_vec();
            let mut frame = vec![0];
            frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            hex::encode([frame, message].concat())
        })
        .collect();
    let server = Server::start().await;
    let arguments: Vec<&str> = frames.iter().map(String::as_str).collect();
    let mut browser = Browser::on(server.address.port(), "awaiting", &arguments);
    browser.says("done").await;
    let sent: Vec<_> = browser.said.iter().filter_map(|line| line.strip_prefix("resume ")).collect();
    let sent: Vec<ResumeWorkflowRequest> =
        sent.iter().map(|line| ResumeWorkflowRequest::decode(&hex::decode(line).unwrap()[5..]).unwrap()).collect();
    let seen: Vec<_> =
        sent.iter().map(|request| (request.action.clone().unwrap(), request.expected_sequence)).collect();
    let expected =
        [(Action::Answer("after discounts".into()), Some(2)), (Action::EditedSql("SELECT 2".into()), Some(4))];
    assert_eq!(seen, expected);
    browser.passes().await;
}

#[tokio::test]
async fn connections_are_made_looked_at_changed_and_deleted() {
    const SHOP: &str = "
        CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
        CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), total DECIMAL(10,2));
        INSERT INTO customers VALUES (1, 'Eve');";
    let server = Server::start().await;
    sqlite(&server.databases(), "shop.sqlite", SHOP);
    let closed = free_port().to_string();
    Browser::on(server.address.port(), "connections", &[&closed]).passes().await;
}

#[tokio::test]
async fn sql_of_every_size_and_nothing_as_html() {
    const ODD: &str = r#"
        CREATE TABLE many (n INTEGER PRIMARY KEY);
        WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 100000)
        INSERT INTO many SELECT n FROM counted;
        CREATE TABLE "<img src=x onerror=pwned=1>" ("<script>pwned=1</script>" TEXT, big INTEGER, empty TEXT, missing TEXT);
        INSERT INTO "<img src=x onerror=pwned=1>" VALUES ('<script>pwned=1</script>', 9223372036854775807, '', NULL);"#;
    let mut server = Server::start().await;
    server.database("odd", ODD).await;
    Browser::on(server.address.port(), "sql", &[]).passes().await;
}

#[tokio::test]
async fn an_answer_is_rated() {
    let mut server = Server::demo(&[]).await;
    let mut browser = Browser::on(server.address.port(), "rating", &[]);
    browser.says("rated").await;
    let listed = server.workflows.list_workflows(ListWorkflowsRequest::default()).await.unwrap().into_inner();
    let rating = listed.workflows[0].rating.clone().unwrap();
    assert_eq!((rating.verdict(), rating.comment.as_str()), (RatingVerdict::Up, ""));
    browser.tell("looked").await;
    browser.passes().await;
}

#[tokio::test]
async fn the_contract_is_read_and_tried() {
    let server = Server::demo(&[]).await;
    Browser::on(server.address.port(), "docs", &[]).passes().await;
}

#[tokio::test]
async fn a_key_is_asked_for() {
    const API_KEY: &str = "key-of-the-browser-5b0e7a3f9c214d68";
    let folder = Folder::new();
    let digest = hex::encode(Sha256::digest(API_KEY));
    let scopes = ["read", "run", "manage"];
    let keys = serde_json::json!([{ "name": "browser", "tenant": "a", "scopes": scopes, "sha256": digest }]);
    let file = folder.path().join("keys.json");
    std::fs::write(&file, keys.to_string()).unwrap();
    sqlite(&folder.databases(), "t.sqlite", "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);");
    let mut server = Server::on(folder, &["--api-keys-file", file.to_str().unwrap()], false).await;
    let mut request = tonic::Request::new(creation(spec("t", "t.sqlite")));
    request.metadata_mut().insert("authorization", format!("Bearer {API_KEY}").parse().unwrap());
    server.connections.create_connection(request).await.unwrap();
    Browser::on(server.address.port(), "key", &[API_KEY]).passes().await;
}

#[tokio::test]
async fn every_page_is_accessible_in_light_dark_and_narrow() {
    let server = Server::demo(&[]).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screens");
    Browser::on(server.address.port(), "pages", &[folder.to_str().unwrap()]).passes().await;
}

#[tokio::test]
async fn pages_run_nothing_but_their_own_files() {
    let server = Server::start().await;
    let client = web::client();
    let get = async |path: &str, coding: &str| {
        let request = client.get(web::url(server.address, path)).header(header::ACCEPT_ENCODING, coding);
        request.send().await.unwrap()
    };
    let said = |response: &reqwest::Response, name: header::HeaderName| {
        response.headers().get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    let mut documents = Vec::new();
    for path in [
        "/",
        "/history",
        "/runs/0198c0de-0000-7000-8000-000000000000",
        "/connections",
        "/connections/new",
        "/sql",
        "/status",
        "/docs",
        "/docs/QueryService/ExecuteQuery",
    ] {
        let page = get(path, "identity").await;
        assert_eq!((page.status().as_u16(), &*said(&page, header::CACHE_CONTROL)), (200, "no-cache"), "{path}");
        let policy = said(&page, header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        documents.push(page.text().await.unwrap());
    }
    assert!(documents.iter().all(|document| document == &documents[0]), "one document for every page");

    let script =
        documents[0].split('"').find(|text| text.starts_with("/assets/index-") && text.contains(".js")).unwrap();
    let plain = get(script, "identity").await;
    assert_eq!(said(&plain, header::CONTENT_TYPE), "text/javascript; charset=utf-8");
    assert_eq!(said(&plain, header::CACHE_CONTROL), "public, max-age=31536000, immutable");
    assert_eq!(said(&plain, header::CONTENT_ENCODING), "");
    let packed = get(script, "br, gzip;q=0.8").await;
    assert_eq!(
        (said(&packed, header::CONTENT_ENCODING), said(&packed, header::VARY)),
        ("gzip".into(), "accept-encoding".into())
    );
    assert!(packed.bytes().await.unwrap().len() * 2 < plain.bytes().await.unwrap().len());
    let refused = get(script, "gzip;q=0").await;
    assert_eq!(said(&refused, header::CONTENT_ENCODING), "");
    assert_eq!(get("/assets/nothing.js", "identity").await.status().as_u16(), 404);
}

#[tokio::test]
async fn addresses_that_people_type_lead_to_their_page() {
    let server = Server::start().await;
    let client = web::client();
    for (typed, page) in [
        ("/docs/", "/docs"),
        ("/docs/QueryService/?example=1", "/docs/QueryService?example=1"),
        ("/connections/", "/connections"),
        ("/knowledge", "/connections"),
        ("/knowledge/", "/connections"),
    ] {
        let answer = client.get(web::url(server.address, typed)).send().await.unwrap();
        let path = answer.url().as_str().split_once(&server.address.to_string()).unwrap().1;
        assert_eq!((answer.status().as_u16(), path), (200, page), "{typed}");
    }
}

#[tokio::test]
async fn unknown_addresses_are_told_in_the_form_that_is_read() {
    let server = Server::start().await;
    let get = async |path: &str, accept: &str| {
        let request = web::client().get(web::url(server.address, path)).header(header::ACCEPT, accept);
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 404, "{path}");
        let content_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (content_type, response.text().await.unwrap())
    };
    let (content_type, text) = get("/nowhere/at/all", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8").await;
    assert_eq!(content_type, "text/html; charset=utf-8");
    assert!(text.contains("<div id=\"root\">"), "{text}");
    let (content_type, text) = get("/nowhere", "*/*").await;
    assert_eq!(content_type, "text/plain; charset=utf-8");
    assert!(text.starts_with("There is no such page."), "{text}");
    // REST is the gateway's; who looks for it here is sent there.
    for accept in ["*/*", "text/html"] {
        let (content_type, text) = get("/api/v1/instances", accept).await;
        assert_eq!(content_type, "application/json");
        let error: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(error["code"], 5);
        assert!(error["message"].as_str().unwrap().contains("scripts/gateway"), "{text}");
    }
}
