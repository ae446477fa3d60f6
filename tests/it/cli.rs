//! The program as a person at a shell uses it: what it prints, and what its exit codes say.

use std::net::SocketAddr;
use std::path::Path;

use crate::support::process::{Process, pulse};
use crate::support::server::{Folder, Server};

const QUESTION: &str = "How many customers are there?";

/// Runs the program to its end: exit code, standard output, standard error.
async fn run(arguments: &[&str]) -> (i32, String, String) {
    finish(pulse().args(arguments)).await
}

async fn finish(command: &mut tokio::process::Command) -> (i32, String, String) {
    let output = tokio::time::timeout(std::time::Duration::from_mins(2), command.output());
    let output = output.await.expect("the program ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// `pulse ask` on a running server.
async fn ask(address: SocketAddr, arguments: &[&str]) -> (i32, String, String) {
    let server = format!("http://{address}");
    run(&[&["ask", "--server", &server], arguments].concat()).await
}

#[tokio::test]
async fn help_lists_every_command_and_every_setting() {
    let (code, help, _) = run(&["--help"]).await;
    assert_eq!(code, 0);
    for command in ["serve", "demo", "ask", "resume", "health", "knowledge", "eval", "guard", "Exit codes"] {
        assert!(help.contains(command), "{command}: {help}");
    }
    let (code, help, _) = run(&["serve", "--help"]).await;
    assert_eq!(code, 0);
    for setting in settings() {
        assert!(help.contains(&setting), "{setting}: {help}");
    }
}

/// The environment variables that `config.rs` declares.
fn settings() -> Vec<String> {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/config.rs")).unwrap();
    let declared = source.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let settings: Vec<String> = declared.collect();
    assert!(settings.len() > 15, "{settings:?}");
    settings
}

#[tokio::test]
async fn the_demo_answers_three_questions_on_a_fresh_machine() {
    let folder = Folder::new();
    let data_dir = folder.path().join("new");
    let busy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = busy.local_addr().unwrap().to_string();
    let (code, said, errors) =
        run(&["demo", "--once", "--listen", &listen, "--data-dir", data_dir.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.contains(&format!("Port {} is busy; using ", busy.local_addr().unwrap().port())), "{said}");
    for question in pulse::demo::QUESTIONS {
        let (_, answer) = said.split_once(question).unwrap_or_else(|| panic!("{question}: {said}"));
        let answer = answer.split('»').next().unwrap();
        for part in ["planner", "mapper", "composer", "validator", "execution", " ms", "SELECT", "│"] {
            assert!(answer.contains(part), "{question}: {part}: {answer}");
        }
        assert!(!answer.contains("not answered"), "{answer}");
    }
    assert!(data_dir.join("databases").join(pulse::demo::DATABASE_FILE).is_file());
}

#[tokio::test]
async fn ask_says_by_its_exit_code_how_it_went() {
    let server = Server::demo(&[]).await;
    let (code, said, errors) = ask(server.address, &[QUESTION, "--connection", "Demo"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    assert!(said.contains("SELECT") && said.contains("│") && said.contains("validator"), "{said}");

    let (code, said, _) = ask(server.address, &["Blue yonder wherefore?", "--connection", "demo"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("not answered: "), "{said}");

    let (code, _, errors) = ask(server.address, &["", "--connection", "demo"]).await;
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("FIELD_INVALID") && errors.contains("question"), "{errors}");

    let (code, _, errors) = ask(server.address, &[QUESTION, "--connection", "nowhere"]).await;
    assert_eq!(code, 4, "{errors}");
    assert!(errors.contains("no connection is named `nowhere`"), "{errors}");

    let (code, _, errors) = ask("127.0.0.1:1".parse().unwrap(), &[QUESTION, "--connection", "demo"]).await;
    assert_eq!(code, 4, "{errors}");
    assert!(errors.contains("no server answers") && errors.contains("pulse serve"), "{errors}");
}

#[tokio::test]
async fn ask_prints_events_as_json_lines() {
    let server = Server::demo(&[]).await;
    let (code, said, errors) = ask(server.address, &[QUESTION, "--connection", "demo", "--json"]).await;
    assert_eq!(code, 0, "{errors}");
    let events: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sequences: Vec<&str> = events.iter().map(|event| event["sequence"].as_str().unwrap()).collect();
    assert_eq!(sequences, (1..=events.len()).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(events[0]["workflow_started"].is_object() && events.last().unwrap()["completed"].is_object(), "{said}");
    assert!(events.iter().any(|event| event["result"]["sql"].as_str().is_some_and(|sql| sql.contains("SELECT"))));
}

#[tokio::test]
async fn ask_without_execution_stops_at_the_sql() {
    let server = Server::demo(&[]).await;
    let flags = [QUESTION, "--connection", "demo", "--no-execute"];
    let (code, said, errors) = ask(server.address, &flags).await;
    assert_eq!(code, 0, "{said}{errors}");
    assert!(!said.contains("│"), "nothing was executed: {said}");
    let statement = said.lines().find(|line| line.trim_start().starts_with("SELECT "));
    assert!(statement.is_some_and(|sql| sql.contains("customers")), "the statement is the answer: {said}");
}

#[tokio::test]
async fn health_asks_a_running_server() {
    let server = Server::start().await;
    let address = format!("http://{}", server.address);
    let (code, said, errors) = run(&["health", "--server", &address]).await;
    assert_eq!(code, 0, "{errors}");
    assert_eq!(said.lines().filter(|line| line.starts_with("pulse.v1.") && line.ends_with(": SERVING")).count(), 4);
    server.stop().await;
    let (code, _, errors) = run(&["health", "--server", &address]).await;
    assert_eq!(code, 4, "{errors}");
}

#[tokio::test]
async fn two_processes_do_not_share_a_data_folder() {
    let folder = Folder::new();
    let first = Process::serve(folder.path(), &[]).await;
    let second = ["serve", "--listen", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()];
    let (code, _, errors) = run(&second).await;
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("PULSE_DATA_DIR") && errors.contains("another"), "{errors}");
    first.channel().await;
    first.kill().await;
    // A lock left behind by a killed process locks nobody out.
    Process::serve(folder.path(), &[]).await.kill().await;
}

#[tokio::test]
async fn a_bad_setting_is_named() {
    let folder = Folder::new();
    let data_dir = folder.path().to_str().unwrap();
    for (flags, named) in [
        (["--listen", "nowhere"], "--listen"),
        (["--step-timeout", "0s"], "PULSE_STEP_TIMEOUT"),
        (["--step-timeout", "soon"], "--step-timeout"),
        (["--encryption-key", "short"], "PULSE_ENCRYPTION_KEY"),
        (["--store", "sqlite://store"], "PULSE_STORE"),
        (["--store", "redis://127.0.0.1"], "PULSE_ENCRYPTION_KEY"),
        (["--api-keys-file", "/no/such/file"], "PULSE_API_KEYS_FILE"),
        (["--openai-base-url", "models"], "OPENAI_BASE_URL"),
        (["--log", "==="], "PULSE_LOG"),
    ] {
        // The usual port may be taken by a server that somebody uses.
        let listen = if flags[0] == "--listen" { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        let (code, _, errors) = run(&[&["serve", "--data-dir", data_dir], listen, &flags[..]].concat()).await;
        assert_eq!(code, 2, "{flags:?}: {errors}");
        assert!(errors.contains(named), "{flags:?}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let (code, _, errors) = run(&["serve", "--data-dir", data_dir, "--listen", &listen]).await;
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("PULSE_LISTEN") && errors.contains(&listen), "{errors}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, _, errors) = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", file.to_str().unwrap()]).await;
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("PULSE_DATA_DIR"), "{errors}");
}

#[tokio::test]
async fn settings_come_from_env_files_variables_and_flags() {
    let folder = Folder::new();
    std::fs::write(folder.path().join(".env"), "PULSE_STEP_TIMEOUT=from-file\n").unwrap();
    let serve = |directory: &Path| {
        let mut command = pulse();
        command.current_dir(directory).args(["serve", "--data-dir"]).arg(directory.join("data"));
        command
    };
    // Each is a value that the refusal repeats, so that it shows which one counted.
    let (code, _, errors) = finish(&mut serve(folder.path())).await;
    assert!(code == 2 && errors.contains("from-file"), "{code}: {errors}");
    let (code, _, errors) = finish(serve(folder.path()).env("PULSE_STEP_TIMEOUT", "from-variable")).await;
    assert!(code == 2 && errors.contains("from-variable"), "{code}: {errors}");
    let mut flag = serve(folder.path());
    let (code, _, errors) = finish(flag.args(["--step-timeout", "from-flag"])).await;
    assert!(code == 2 && errors.contains("from-flag"), "{code}: {errors}");

    std::fs::write(folder.path().join(".env"), "PULSE_STEP_TIMEOUT='unclosed\n").unwrap();
    let (code, _, errors) = finish(&mut serve(folder.path())).await;
    assert!(code == 2 && errors.contains(".env"), "{code}: {errors}");
}

#[tokio::test]
async fn descriptors_describe_the_contract_and_its_errors() {
    let output = pulse().arg("descriptors").output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let pool = prost_reflect::DescriptorPool::decode(&output.stdout[..]).unwrap();
    for name in ["pulse.v1.WorkflowService", "google.rpc.ErrorInfo", "google.rpc.Status", "pulse.v1.SqlErrorDetail"] {
        let known = pool.get_service_by_name(name).is_some() || pool.get_message_by_name(name).is_some();
        assert!(known, "{name}");
    }
    assert!(pool.get_extension_by_name("google.api.http").is_some());
}

#[tokio::test]
async fn knowledge_is_imported_and_exported() {
    let server = Server::demo(&[]).await;
    let url = format!("http://{}", server.address);
    let folder = Folder::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/knowledge/demo.yaml");
    let knowledge = async |arguments: &[&str]| run(&[&["knowledge"], arguments, &["--server", &url]].concat()).await;
    let (code, said, errors) = knowledge(&["import", "demo", example, "--check"]).await;
    assert_eq!((code, said.contains("checked, not saved")), (0, true), "{said}{errors}");
    assert_eq!(knowledge(&["export", "demo"]).await, (0, "{}\n".to_owned(), String::new()));
    let (code, said, errors) = knowledge(&["import", "demo", example]).await;
    assert_eq!((code, said.as_str()), (0, "demo: tables 3, measures 2, joins 1, examples 2\n"), "{errors}");
    let (_, exported, _) = knowledge(&["export", "DEMO"]).await;
    let file = folder.path().join("again.yaml");
    std::fs::write(&file, &exported).unwrap();
    let (code, again, errors) = knowledge(&["import", "demo", file.to_str().unwrap()]).await;
    assert_eq!((code, again), (0, said), "{errors}");
    std::fs::write(&file, "measures:\n- {name: a, table: nowhere, expression: count(*)}\n- {name: b}\n").unwrap();
    let (code, _, errors) = knowledge(&["import", "demo", file.to_str().unwrap()]).await;
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("measures[1].table") && errors.contains("measures[1].expression"), "{errors}");
    let (code, _, errors) = knowledge(&["import", "demo", "no/such/file"]).await;
    assert_eq!((code, errors.contains("no/such/file")), (2, true), "{errors}");
    assert_eq!(knowledge(&["export", "nothing"]).await.0, 4);
}

// --- A person's part ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn ask_follows_up() {
    let server = Server::demo(&[]).await;
    let (code, said, errors) = ask(server.address, &[QUESTION, "--connection", "demo"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    let id = said.rsplit("--follow-up ").next().unwrap().trim();
    let (code, said, errors) = ask(server.address, &["and products?", "-c", "demo", "--follow-up", id]).await;
    assert!(code == 0 && said.contains("FROM products"), "{said}{errors}");
    let (code, _, errors) = ask(server.address, &["and products?", "-c", "demo", "--follow-up", "7"]).await;
    assert!(code == 2 && errors.contains("previous_workflow_id"), "{errors}");
}

#[tokio::test]
async fn where_nobody_sits_ask_says_how_to_answer() {
    let server = Server::demo(&[]).await;
    let url = format!("http://{}", server.address);
    let waiting = async || {
        let (code, said, errors) = ask(server.address, &[QUESTION, "--connection", "demo", "--approve"]).await;
        assert!(code == 1 && said.contains("Reads customers.") && !said.contains("│"), "{said}{errors}");
        let (_, rest) = said.split_once("pulse resume ").unwrap_or_else(|| panic!("{said}"));
        rest.split(' ').next().unwrap().to_owned()
    };
    let resume = async |arguments: &[&str]| run(&[&["resume", "--server", &url], arguments].concat()).await;
    let id = waiting().await;
    let (code, said, errors) = resume(&[&id, "--sql", "DELETE FROM customers"]).await;
    assert!(code == 1 && said.contains("That did not run: ") && said.contains("pulse resume"), "{said}{errors}");
    let (code, said, errors) = resume(&[&id, "--approve"]).await;
    assert!(code == 0 && said.contains("execution") && said.contains("│"), "{said}{errors}");
    let (code, _, errors) = resume(&[&id, "--approve"]).await;
    assert!(code == 4 && errors.contains("COMPLETED"), "{errors}");
    let id = waiting().await;
    let (code, said, errors) = resume(&[&id, "--reject", "too dear"]).await;
    assert!(code == 3 && said.contains("cancelled: too dear"), "{said}{errors}");
    let (code, _, errors) = resume(&[&id]).await;
    assert!(code == 2 && errors.contains("--approve"), "{errors}");
}

/// What a person at a terminal is shown when they type these lines.
async fn at_a_terminal(arguments: &[&str], lines: &str) -> String {
    const SPAWN: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut command = crate::support::process::python();
    command.args(["-c", SPAWN, env!("CARGO_BIN_EXE_pulse")]).args(arguments);
    let pipe = std::process::Stdio::piped;
    let mut child = command.stdin(pipe()).stdout(pipe()).stderr(pipe()).kill_on_drop(true).spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut keyboard, lines.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(std::time::Duration::from_mins(2), child.wait_with_output());
    let output = output.await.expect("the program ends").unwrap();
    drop(keyboard);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{output:?}");
    said
}

#[tokio::test]
async fn a_person_at_a_terminal_is_asked() {
    use crate::support::databases::{creation, spec, sqlite};
    let mut server = Server::start().await;
    let tables =
        "CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE b (id INTEGER PRIMARY KEY, name TEXT);
        INSERT INTO b VALUES (1, 'x'), (2, 'y');";
    sqlite(&server.databases(), "two.sqlite", tables);
    server.connections.create_connection(creation(spec("two", "two.sqlite"))).await.unwrap();
    let url = format!("http://{}", server.address);
    let arguments = ["ask", "How many different names are there?", "-c", "two", "--approve", "--server", &url];
    let said = at_a_terminal(&arguments, "\n2\nmaybe\nyes\n").await;
    assert!(said.contains("1. name of a") && said.contains("2. name of b"), "{said}");
    assert_eq!(said.matches("A number, or your own words: ").count(), 2, "an empty line is no answer: {said}");
    assert!(said.contains("Run it? yes, no, or SQL to run instead: ") && said.contains("FROM b"), "{said}");
    assert!(said.contains("--follow-up "), "{said}");
}
