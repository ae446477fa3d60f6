//! `pulse eval`: what it says of answers, and how it comes by them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::model_server::{ModelServer, Reply};
use crate::support::process::{Process, pulse, python};
use crate::support::script::{self, ANSWER, KEY, QUESTION};
use crate::support::server::Folder;
use crate::support::servers::{self, Database, READ_ONLY};

/// Exit code, standard output, standard error.
type Ended = (i32, String, String);

async fn finish(command: &mut tokio::process::Command) -> Ended {
    let output = tokio::time::timeout(Duration::from_mins(4), command.output());
    let output = output.await.expect("the program ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Questions about the demo database, and a folder for whatever comes of them.
struct Bench {
    folder: Folder,
    suite: PathBuf,
}

impl Bench {
    fn new(items: &[Value]) -> Self {
        let folder = Folder::with_demo();
        let suite = lines(folder.path(), "shop.jsonl", items);
        Self { folder, suite }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    async fn eval(&self, flags: &[&str]) -> Ended {
        let mut command = pulse();
        command.args(["eval", "--suite"]).arg(&self.suite).arg("--databases").arg(self.folder.databases());
        finish(command.args(flags)).await
    }

    /// With a model that is asked on this day.
    async fn ask(&self, model: &ModelServer, flags: &[&str]) -> Ended {
        self.eval(&[&script::shared_flags(model, &["--today", "2026-11-23"]), flags].concat()).await
    }
}

fn lines(folder: &Path, name: &str, lines: &[Value]) -> PathBuf {
    let path = folder.join(name);
    let text: String = lines.iter().map(|line| line.to_string() + "\n").collect();
    std::fs::write(&path, text).unwrap();
    path
}

fn question(id: &str, gold: Option<&str>) -> Value {
    json!({ "id": id, "db": "demo", "question": QUESTION, "gold_sql": gold, "difficulty": "easy" })
}

/// The cells of the line that begins with this word.
fn row(said: &str, name: &str) -> Vec<String> {
    let line = said.lines().find(|line| line.split_whitespace().next() == Some(name));
    let line = line.unwrap_or_else(|| panic!("no line `{name}`: {said}"));
    line.replace(" %", "%").split_whitespace().skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn answers_are_scored_by_their_rows() {
    let flagged = json!({
        "id": "flagged", "db": "demo", "question": "Whose?", "difficulty": "hard", "flags": ["empty"],
        "gold_sql": "SELECT 1", "gold_alt": ["SELECT 'other'"]
    });
    let bench = Bench::new(&[
        question("right", Some(ANSWER)),
        question("wrong", Some(ANSWER)),
        question("abstained", Some(ANSWER)),
        question("no answer", None),
        flagged,
    ]);
    let answer = |id: &str, sql: Value| json!({ "id": id, "sql": sql });
    let answers = [
        answer("right", json!("select count(id) AS n FROM customers;")),
        answer("wrong", json!("SELECT count(*), 1 FROM customers")),
        answer("abstained", Value::Null),
        answer("flagged", json!("SELECT 'other'")),
    ];
    let answers = lines(bench.folder.path(), "answers.jsonl", &answers);
    let (code, said, errors) = bench.eval(&["--score", answers.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{said}{errors}");
    let total = ["5", "3", "60.0%", "60.0%", "66.7%", "4", "50.0%", "50.0%"];
    assert_eq!(row(&said, "total"), total, "{said}");
    assert_eq!(row(&said, "shop"), total, "{said}");
    assert_eq!(row(&said, "easy"), ["4", "2", "50.0%", "50.0%", "50.0%", "4", "50.0%", "50.0%"], "{said}");
    assert_eq!(row(&said, "hard"), ["1", "1", "100.0%", "100.0%", "100.0%", "0", "0.0%", "-"], "{said}");
}

#[tokio::test]
async fn the_second_state_counts_where_it_is_there() {
    let bench = Bench::new(&[question("a", Some(ANSWER)), {
        let mut apart = question("b", Some(ANSWER));
        apart["alt"] = json!(false);
        apart
    }]);
    let alt = bench.folder.path().join("alt");
    std::fs::create_dir(&alt).unwrap();
    let state = rusqlite::Connection::open(alt.join("demo.sqlite")).unwrap();
    state.execute_batch("CREATE TABLE customers (id INTEGER)").unwrap();
    drop(state);
    let (_, count, _) = bench.eval(&["--engine", "builtin", "--predictions", &bench.at("out.jsonl")]).await;
    assert_eq!(row(&count, "total")[3], "100.0%", "{count}");
    // Right by luck: the number itself.
    let lucky = format!("SELECT {}", customers(&bench));
    let answers = ["a", "b"].map(|id| json!({ "id": id, "sql": lucky }));
    let answers = lines(bench.folder.path(), "answers.jsonl", &answers);
    let flags = ["--score", answers.to_str().unwrap()];
    let (_, one, _) = bench.eval(&flags).await;
    let (_, both, errors) = bench.eval(&[&flags[..], &["--alt", alt.to_str().unwrap()]].concat()).await;
    assert_eq!(
        (row(&one, "total")[3].as_str(), row(&both, "total")[3].as_str()),
        ("100.0%", "50.0%"),
        "{both}{errors}"
    );
}

fn customers(bench: &Bench) -> i64 {
    let database = rusqlite::Connection::open(bench.folder.databases().join("demo.sqlite")).unwrap();
    database.query_row("SELECT count(*) FROM customers", [], |row| row.get(0)).unwrap()
}

/// The scorer that is the measure of this one, on the gold statements as they are, moved, and altered.
#[tokio::test]
async fn figures_are_those_of_the_shared_scorer() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/eval");
    let (suite, databases) = (shared.join("suites/defog_classic.jsonl"), shared.join("databases"));
    let text = std::fs::read_to_string(&suite).unwrap_or_else(|error| {
        panic!("{}: {error}: the tests need the folder `shared` beside the repository", suite.display())
    });
    let items: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answers = items.iter().enumerate().map(|(index, item)| {
        let gold = item["gold_sql"].as_str().unwrap();
        let sql = match index % 6 {
            0 => json!(gold),
            1 => Value::Null,
            2 => items[(index + 1) % items.len()]["gold_sql"].clone(),
            3 => json!(format!("-- as asked\n{gold};")),
            4 => json!(gold.replacen("SELECT ", "SELECT DISTINCT ", 1).replace(" DESC", " ASC")),
            _ => json!(format!("{gold}; DELETE FROM nowhere")),
        };
        json!({ "id": item["id"], "sql": sql })
    });
    let folder = Folder::new();
    let answers = lines(folder.path(), "answers.jsonl", &answers.collect::<Vec<_>>());
    let figures = folder.path().join("figures.json");
    let mut scorer = python();
    scorer.arg(shared.join("score.py")).args([&suite, &databases, &answers]).arg("--json").arg(&figures);
    scorer.arg("--alt").arg(shared.join("databases_alt"));
    let (code, _, errors) = finish(&mut scorer).await;
    assert_eq!(code, 0, "{errors}");
    let figures: Value = serde_json::from_str(&std::fs::read_to_string(figures).unwrap()).unwrap();

    let mut command = pulse();
    command.args(["eval", "--suite"]).arg(&suite).arg("--databases").arg(&databases);
    command.arg("--alt").arg(shared.join("databases_alt")).arg("--score").arg(&answers);
    let (code, said, errors) = finish(&mut command).await;
    assert_eq!(code, 0, "{said}{errors}");
    let cells = |of: &Value| {
        let percent = |name: &str| of[name].as_f64().map_or("-".to_owned(), |share| format!("{:.1}%", 100.0 * share));
        let counts = [of["n"].to_string(), of["answered"].to_string()];
        counts.into_iter().chain(["coverage", "accuracy", "precision"].map(percent)).collect::<Vec<_>>()
    };
    let accuracy = figures["all"]["accuracy"].as_f64().unwrap();
    assert!(0.3 < accuracy && accuracy < 0.9, "both right and wrong ones are compared: {figures}");
    assert_eq!(row(&said, "total")[..5], cells(&figures["all"])[..], "{said}");
    let unflagged = cells(&figures["unflagged"]);
    assert_eq!(row(&said, "total")[5..], [&unflagged[0], &unflagged[3], &unflagged[4]].map(String::clone), "{said}");
    for (difficulty, figures) in figures["difficulty"].as_object().unwrap() {
        assert_eq!(row(&said, difficulty)[..5], cells(figures)[..], "{difficulty}: {said}");
    }
}

#[tokio::test]
async fn recorded_answers_are_given_again_without_the_model() {
    let bench = Bench::new(&[question("a", Some(ANSWER)), question("b", Some("SELECT 0"))]);
    let (recordings, predictions) = (bench.at("recordings"), bench.at("predictions.jsonl"));
    let model = script::model(ANSWER, None).await;
    let (code, first, errors) = bench.ask(&model, &["--record", &recordings, "--predictions", &predictions]).await;
    assert_eq!(code, 0, "{first}{errors}");
    assert_eq!(row(&first, "total")[..4], ["2", "2", "100.0%", "50.0%"], "{first}");
    assert_eq!(model.requests().len(), 2, "one call answers a question");
    let written = std::fs::read_to_string(&predictions).unwrap();
    assert!(written.lines().count() == 2 && written.contains(ANSWER), "{written}");
    drop(model);

    // Both questions are the same, so one answer serves both, whatever the fences of the prompts were.
    let kept: Vec<String> = std::fs::read_dir(&recordings)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].contains("FROM customers") && !kept[0].contains(KEY) && !kept[0].contains(QUESTION), "{kept:?}");

    let again = ["--today", "2026-11-23", "--replay", &recordings];
    let (code, second, errors) = bench.eval(&again).await;
    assert_eq!(code, 0, "{second}{errors}");
    // Time is what differs.
    let without_time = |said: &str| {
        let costs = |name| {
            let line = said.lines().filter(|line| line.split_whitespace().next() == Some(name)).nth(1).unwrap();
            line.split_whitespace().take(7).map(str::to_owned).collect::<Vec<_>>()
        };
        (row(said, "total"), costs("total"), costs("shop"))
    };
    assert_eq!(without_time(&first), without_time(&second), "{first}{second}");

    let (code, said, errors) = bench.eval(&["--today", "2026-11-24", "--replay", &recordings]).await;
    assert_eq!(code, 1, "{said}{errors}");
    let missing = "No recording answers this request";
    assert!(said.contains("not asked 2 times: MODEL_UNAVAILABLE") && said.contains(missing), "{said}");
    assert!(said.contains(".json does not exist") && said.contains(QUESTION), "the request is named: {said}");
}

#[tokio::test]
async fn a_model_is_asked_in_whole_workflows() {
    let mut item = question("a", Some(ANSWER));
    item["evidence"] = json!("customers are rows of customers");
    let bench = Bench::new(&[item]);
    let model = ModelServer::start().await;
    model.on("planner", script::plan()).on("mapper", script::mapping());
    model
        .on("composer", script::statement("SELECT count(*) FROM custommers"))
        .on("composer", script::statement(ANSWER));
    let (code, said, errors) = bench.ask(&model, &["--engine", "openai", "--evidence"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    assert_eq!(row(&said, "total")[3], "100.0%", "the validator had the first statement mended: {said}");
    let calls = said.lines().filter(|line| line.split_whitespace().next() == Some("total")).nth(1).unwrap();
    assert_eq!(calls.split_whitespace().nth(1), Some("2"), "{said}");
    let prompt = model.requests()[0].prompt();
    assert!(prompt.contains("customers are rows of customers") && prompt.contains("2026-11-23"), "{prompt}");
}

#[tokio::test]
async fn a_model_that_is_not_there_is_no_abstention() {
    let bench = Bench::new(&[question("a", None)]);
    let model = ModelServer::start().await;
    model.on("planner", Reply::error(401, "who are you?"));
    let (code, said, errors) = bench.ask(&model, &[]).await;
    assert_eq!(code, 1, "{said}{errors}");
    assert!(said.contains("not asked 1 times: MODEL_AUTH") && said.contains("OPENAI_API_KEY"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_said() {
    let bench = Bench::new(&[question("a", None)]);
    let suite = bench.suite.to_str().unwrap();
    let (nowhere, file, around) = (bench.at("nowhere"), bench.at("shop.jsonl"), bench.at("./shop.jsonl"));
    for (flags, said) in [
        (vec!["--suite", suite, "--predictions", "out.jsonl"], "--predictions and --score are for one --suite"),
        (vec!["--engine", "builtin", "--suite", suite], "shop.jsonl is given twice"),
        (vec!["--context", "--suite", &around], "shop.jsonl is given twice"),
        (vec!["--engine", "openai"], "OPENAI_API_KEY"),
        (vec!["--record", &nowhere], "OPENAI_API_KEY"),
        (vec!["--replay", &nowhere], "--replay: "),
        (vec!["--engine", "builtin", "--replay", &nowhere], "leave out --engine builtin"),
        (vec!["--today", "tomorrow"], "--today"),
        (vec!["--score", &nowhere], "nowhere: "),
        (vec!["--score", &file, "--suite", &nowhere], "one --suite"),
        (vec!["--engine", "builtin", "--suite", &nowhere], "nowhere: "),
    ] {
        let (code, _, errors) = bench.eval(&flags).await;
        assert!(code == 2 && errors.contains(said) && !errors.contains("panicked"), "{flags:?}: {code} {errors}");
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let bench = Bench::new(&[question("a", Some(ANSWER))]);
    for mode in ["--engine=builtin", "--context", "--check-gold"] {
        let mut command = pulse();
        command.args(["eval", mode, "--suite"]).arg(&bench.suite).arg("--databases").arg(bench.folder.databases());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = tokio::time::timeout(Duration::from_mins(4), child.wait_with_output());
        let output = output.await.expect("the program ends").unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !errors.contains("panicked"), "{mode}: {}: {errors}", output.status);
    }
}

#[tokio::test]
async fn folders_that_are_not_there_are_no_empty_ones() {
    let bench = Bench::new(&[question("a", Some(ANSWER))]);
    let answers = lines(bench.folder.path(), "answers.jsonl", &[json!({ "id": "a", "sql": null })]);
    let score = ["--score", answers.to_str().unwrap()];
    let (nowhere, empty) = (bench.at("nowhere"), bench.at("empty"));
    std::fs::create_dir(&empty).unwrap();
    for (alt, said) in [(&nowhere, "nowhere is not a folder"), (&empty, "empty has no database of")] {
        let (code, _, errors) = bench.eval(&[&score[..], &["--alt", alt]].concat()).await;
        assert!(code == 2 && errors.contains("--alt: ") && errors.contains(said), "{code} {errors}");
    }
    for mode in [&score[..], &["--engine", "builtin"], &["--context"], &["--check-gold"]] {
        let mut command = pulse();
        command.args(["eval", "--suite"]).arg(&bench.suite).args(["--databases", &nowhere]).args(mode);
        let (code, _, errors) = finish(&mut command).await;
        assert!(
            code == 2 && errors.contains("--databases: ") && errors.contains("nowhere is not a folder"),
            "{errors}"
        );
    }
}

#[tokio::test]
async fn gold_that_gives_nothing_is_named_and_said_how_it_counts() {
    let mut mended = question("mended", Some("SELECT count(*) FROM custommers"));
    mended["gold_alt"] = json!([ANSWER]);
    let bench = Bench::new(&[
        question("good", Some(ANSWER)),
        question("broken", Some("SELECT count(*) FROM custommers")),
        question("writes", Some("DELETE FROM customers")),
        question("endless", Some(script::ENDLESS)),
        mended,
    ]);
    let answers = ["good", "broken", "writes", "mended"].map(|id| json!({ "id": id, "sql": ANSWER }));
    let answers = lines(bench.folder.path(), "answers.jsonl", &answers);
    let (code, said, errors) = bench.eval(&["--score", answers.to_str().unwrap()]).await;
    assert_eq!(code, 1, "{said}{errors}");
    assert_eq!(row(&said, "total")[..4], ["5", "4", "80.0%", "40.0%"], "{said}");
    let told = |id: &str| {
        let line = said.lines().find(|line| line.contains(&format!("`gold_sql` of `{id}` gives no rows")));
        line.unwrap_or_else(|| panic!("nothing is said of {id}: {said}"))
    };
    for (id, line, why) in [
        ("broken", 2, "no such table: custommers"),
        ("writes", 3, "not one SELECT"),
        ("endless", 4, "longer than 10 s"),
        ("mended", 5, "no such table: custommers"),
    ] {
        assert!(told(id).contains(why) && told(id).contains(&format!("shop.jsonl, line {line}:")), "{id}: {said}");
    }
    assert!(
        told("broken").contains("no answer to it can be right") && told("mended").contains("its other gold"),
        "{said}"
    );
    assert!(!said.contains("`good`"), "{said}");
}

#[tokio::test]
async fn what_counts_otherwise_than_it_seems_is_warned_of() {
    let mut forgotten = question("forgotten", None);
    forgotten.as_object_mut().unwrap().remove("gold_sql");
    let bench = Bench::new(&[question("a", Some(ANSWER)), question("b", Some(ANSWER)), forgotten]);
    let answers =
        [json!({ "id": "a", "sql": ANSWER }), json!({ "id": "A", "sql": ANSWER }), json!({ "id": "b", "sql": "" })];
    let answers = lines(bench.folder.path(), "answers.jsonl", &answers);
    let (code, said, errors) = bench.eval(&["--score", answers.to_str().unwrap()]).await;
    assert_eq!((code, &row(&said, "total")[..4]), (0, &["3", "1", "33.3%", "66.7%"].map(String::from)[..]), "{said}");
    for warning in [
        "shop.jsonl: 1 lines have no `gold_sql`, line 3 is the first",
        "answers.jsonl: 1 lines are for no question of the suite and do not count; mend their `id`: `A` (line 2)",
        "answers.jsonl: 1 lines have an empty `sql`",
        "answers.jsonl: 1 questions have no line and count as abstentions: `forgotten`",
    ] {
        assert!(errors.contains("pulse: warning: ") && errors.contains(warning), "{warning}: {errors}");
    }
    for (suite, said) in [
        (vec![question("a", None), question("a", None)], "line 2: `id` is `a`, which line 1 has already"),
        (Vec::new(), "the suite has no question"),
        (vec![question("", None)], "line 1: `id` is empty"),
        (vec![question("a", Some(""))], "line 1: `gold_sql` is empty"),
    ] {
        let suite = lines(bench.folder.path(), "bad.jsonl", &suite);
        for mode in [&["--engine", "builtin"][..], &["--context"], &["--check-gold"]] {
            let mut command = pulse();
            command.args(["eval", "--suite"]).arg(&suite).arg("--databases").arg(bench.folder.databases()).args(mode);
            let (code, _, errors) = finish(&mut command).await;
            assert!(code == 2 && errors.contains("bad.jsonl") && errors.contains(said), "{mode:?}: {errors}");
        }
    }
}

#[tokio::test]
async fn figures_are_told_by_database_and_kind_where_asked_for() {
    let counting = |id: &str| {
        let mut item = question(id, Some(ANSWER));
        item["kind"] = json!("counting");
        item
    };
    let bench = Bench::new(&[counting("a"), counting("b"), question("c", Some("SELECT 1"))]);
    let (_, plain, _) = bench.eval(&["--engine", "builtin"]).await;
    assert!(!plain.lines().any(|line| line.starts_with("demo") || line.starts_with("counting")), "{plain}");
    let (code, said, errors) = bench.eval(&["--engine", "builtin", "--by", "database", "--by", "kind"]).await;
    assert_eq!(code, 0, "{said}{errors}");
    assert_eq!(row(&said, "demo"), row(&said, "total"), "{said}");
    assert_eq!(row(&said, "counting")[..4], ["2", "2", "100.0%", "100.0%"], "{said}");
    let seconds = said.lines().filter(|line| line.split_whitespace().next() == Some("counting")).nth(1);
    assert!(seconds.is_some_and(|line| line.split_whitespace().count() == 9), "time is told of each group: {said}");
}

/// The questions about Chinook in a dialect, with the name that their database really has.
fn chinook(dialect: &str, db: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/eval").join(dialect).join("chinook.jsonl");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let items = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    items
        .map(|mut item| {
            item["db"] = json!(db);
            item
        })
        .collect()
}

/// Answers that are made wrong.
const ALTERED: usize = 10;

/// Asks the builtin engine about Chinook on a server and on the same data in SQLite; the ids of questions on which they differ.
async fn differing_from_sqlite(database: &Database<'_>, dialect: &str) -> Vec<String> {
    let folder = Folder::new();
    std::fs::copy(servers::chinook_sqlite(), folder.databases().join("chinook.sqlite")).unwrap();
    let url = database.server.url(READ_ONLY, "{db}");
    let on_server = chinook(dialect, &database.name);
    let ids: HashSet<&str> = on_server.iter().map(|item| item["id"].as_str().unwrap()).collect();
    let mut in_file = chinook("suites", "chinook");
    in_file.retain(|item| ids.contains(item["id"].as_str().unwrap()));
    assert!(in_file.len() > 130, "{} questions are in both", in_file.len());

    let eval = async |suite: &[Value], databases: &[&str], flags: &[&str]| {
        let suite = lines(folder.path(), "chinook.jsonl", suite);
        let mut command = pulse();
        command.args(["eval", "--today", "2026-11-23", "--suite"]).arg(suite).args(databases).args(flags);
        let (code, said, errors) = finish(&mut command).await;
        assert_eq!(code, 0, "{said}{errors}");
        assert!(!said.contains(READ_ONLY.password) && !errors.contains(READ_ONLY.password), "{said}{errors}");
        said
    };
    // Each gold statement, as an answer, is right where it leaves no order open; altered ones are not.
    let unflagged: Vec<&Value> = on_server.iter().filter(|item| item.get("flags").is_none()).collect();
    let answers = unflagged.iter().enumerate().map(|(index, item)| {
        let gold = item["gold_sql"].as_str().unwrap();
        let sql = if index < ALTERED { format!("SELECT 'other' FROM ({gold}) AS g") } else { gold.to_owned() };
        json!({ "id": item["id"], "sql": sql })
    });
    let answers = lines(folder.path(), "answers.jsonl", &answers.collect::<Vec<_>>());
    let said = eval(&on_server, &["--database-url", &url], &["--score", answers.to_str().unwrap()]).await;
    let accuracy = 100.0 * (unflagged.len() - ALTERED) as f64 / unflagged.len() as f64;
    assert_eq!(row(&said, "total")[5..7], [unflagged.len().to_string(), format!("{accuracy:.1}%")], "{said}");

    // Which of the questions are right shows when each is a group of its own.
    let alone = |items: &[Value]| {
        let kinds = items.iter().cloned().map(|mut item| {
            item["kind"] = item["id"].clone();
            item
        });
        kinds.collect::<Vec<Value>>()
    };
    let by = ["--engine", "builtin", "--by", "kind"];
    let databases = folder.databases();
    let server = eval(&alone(&on_server), &["--database-url", &url], &by).await;
    let file = eval(&alone(&in_file), &["--databases", databases.to_str().unwrap()], &by).await;
    assert!(row(&file, "total")[3].trim_end_matches('%').parse::<f64>().unwrap() > 50.0, "{file}");
    let ids = in_file.iter().map(|item| item["id"].as_str().unwrap());
    ids.filter(|id| row(&server, id)[..4] != row(&file, id)[..4]).map(str::to_owned).collect()
}

#[tokio::test]
async fn postgres_is_asked_and_scored_like_sqlite() {
    assert_eq!(differing_from_sqlite(servers::chinook_postgres().await, "server/postgres").await, [""; 0]);
}

#[tokio::test]
async fn mariadb_is_asked_and_scored_like_sqlite() {
    let differing = differing_from_sqlite(servers::chinook_mariadb().await, "server/mysql").await;
    // The gold orders by titles alone, and leaves open how: `Minha Historia` and `Minha História` are one to MariaDB.
    assert_eq!(differing, ["chinook_spider/0873", "chinook_spider/0874"]);
}

#[tokio::test]
async fn a_server_that_is_wrongly_named_is_said_without_its_password() {
    let bench = Bench::new(&[question("a", Some(ANSWER)), {
        let mut other = question("b", None);
        other["db"] = json!("other");
        other
    }]);
    let closed = servers::free_port();
    let refused = format!("postgres://ann:hunter2@127.0.0.1:{closed}/{{db}}");
    for (url, said) in [
        ("postgres://ann:hunter2@localhost/shop", "write {db} where a database's name belongs"),
        ("postgres://ann:hunter2@localhost:x/{db}", "--database-url: it has a port"),
        ("sqlite://hunter2.db", "--databases DIR"),
        (&refused, "database demo: "),
    ] {
        for by_flag in [true, false] {
            let mut command = pulse();
            command.args(["eval", "--engine", "builtin", "--suite"]).arg(&bench.suite);
            if by_flag {
                command.args(["--database-url", url])
            } else {
                command.env("PULSE_EVAL_DATABASE_URL", url)
            };
            let (code, printed, errors) = finish(&mut command).await;
            assert!(code == 2 && errors.contains(said), "{url}: {code} {errors}");
            assert!(!format!("{printed}{errors}").contains("hunter2"), "{errors}");
        }
    }
    let (code, _, errors) = bench.eval(&["--database-url", &refused]).await;
    assert!(code == 2 && errors.contains("--databases") && !errors.contains("hunter2"), "{errors}");
    let mut command = pulse();
    let (code, _, errors) = finish(command.args(["eval", "--suite"]).arg(&bench.suite)).await;
    assert!(code == 2 && errors.contains("--databases <DIR>"), "{errors}");
}

#[tokio::test]
async fn model_calls_are_traced_by_the_names_of_opentelemetry() {
    let folder = Folder::with_demo();
    let model = script::model(ANSWER, None).await;
    let flags = script::shared_flags(&model, &["--log", "info,pulse::llm=debug"]);
    let server = Process::serve(folder.path(), &[&flags[..], &["--demo"]].concat()).await;
    let url = format!("http://{}", server.address);
    let mut ask = pulse();
    let (code, said, errors) = finish(ask.args(["ask", QUESTION, "-c", "demo", "--server", &url])).await;
    assert_eq!(code, 0, "{said}{errors}");
    let log = server.log();
    let call = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let call = call.into_iter().find(|line| line["message"] == "the model answered");
    let call = call.unwrap_or_else(|| panic!("no line about the call: {log}"));
    let fields: HashMap<String, Value> = serde_json::from_value(call["span"].clone()).unwrap();
    for (name, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("openai")),
        ("gen_ai.request.model", json!("gpt-4.1-mini")),
        ("agents", json!("planner-mapper-composer")),
        ("attempts", json!(1)),
    ] {
        assert_eq!(fields.get(name), Some(&value), "{name}: {call}");
    }
    for count in ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
        assert!(fields.get(count).and_then(Value::as_u64).is_some_and(|count| count > 0), "{count}: {call}");
    }
    assert!(fields["gen_ai.response.time_to_first_chunk"].is_number(), "{call}");
    for hidden in [KEY, QUESTION, "FROM customers"] {
        assert!(!log.contains(hidden), "`{hidden}` is in the log");
    }
    server.kill().await;
}
