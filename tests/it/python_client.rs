//! The Python client of `examples/python`, with stubs generated from `proto/`, against a served demo.

use std::net::SocketAddr;
use std::process::Output;

use arrow_ipc::reader::StreamReader;

use crate::support::process::python;
use crate::support::server::Server;

const QUESTION: &str = "How many customers are there?";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/ask.py");

async fn ask(address: SocketAddr, question: &str, connection: &str) -> (Output, String) {
    let arguments = [SCRIPT, question, "--connection", connection, "--server", &address.to_string()];
    let output = python().args(arguments).output().await.unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    (output, said)
}

#[tokio::test]
async fn a_question_is_asked_and_watched() {
    let server = Server::demo(&[]).await;
    let (output, said) = ask(server.address, QUESTION, "DEMO").await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for step in ["planner", "mapper", "composer", "validator", "execution"] {
        assert!(said.lines().any(|line| line.contains("step_completed") && line.contains(step)), "{step}: {said}");
    }
    assert!(said.contains("SELECT") && said.lines().last().unwrap().contains("completed"), "{said}");
}

#[tokio::test]
async fn exit_codes_tell_why() {
    let server = Server::demo(&[]).await;
    let (output, said) = ask(server.address, "Blue yonder wherefore?", "demo").await;
    assert_eq!(output.status.code(), Some(1), "{said}{output:?}");
    let address = server.address;
    server.stop().await;
    let (output, _) = ask(address, "How many customers?", "demo").await;
    assert_eq!(output.status.code(), Some(4), "{output:?}");
}

#[tokio::test]
async fn a_result_is_written_as_an_arrow_stream() {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/arrow.py");
    let server = Server::demo(&[]).await;
    let address = server.address.to_string();
    let sql = "SELECT 1 AS n UNION ALL SELECT 2";
    let output = python().args([SCRIPT, sql, "--connection", "demo", "--server", &address]).output().await.unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b"2 rows\n"[..]), "{output:?}");
    let reader = StreamReader::try_new(std::io::Cursor::new(output.stdout), None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
}
