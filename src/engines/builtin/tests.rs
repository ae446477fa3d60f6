//! Questions to a shop and the statements they become: each form of question once, and each reason to abstain.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::date;

use super::{Lexicon, interpret};
use crate::domain::{
    Column, ColumnPath, ColumnType, ColumnValues, DatabaseKind, Facts, ForeignKey, Schema, Table, TableKind, ValueIndex,
};

fn table(name: &str, columns: &[(&str, ColumnType)], references: &[(&str, &str)]) -> Table {
    let column = |(name, kind): &(&str, ColumnType)| Column {
        name: (*name).to_owned(),
        declared_type: String::new(),
        kind: *kind,
        nullable: *name != "id",
        default: None,
        comment: None,
        enum_labels: Vec::new(),
        generated: false,
    };
    let key = |(column, parent): &(&str, &str)| ForeignKey {
        name: None,
        columns: vec![(*column).to_owned()],
        referenced_schema: "public".to_owned(),
        referenced_table: (*parent).to_owned(),
        referenced_columns: vec!["id".to_owned()],
    };
    Table {
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: TableKind::Table,
        columns: columns.iter().map(column).collect(),
        primary_key: vec!["id".to_owned()],
        unique_keys: Vec::new(),
        foreign_keys: references.iter().map(key).collect(),
        comment: None,
        row_count: None,
    }
}

fn shop(dialect: DatabaseKind) -> Lexicon {
    use ColumnType::{Date, Decimal, Integer, Text};
    let tables = vec![
        table("categories", &[("id", Integer), ("name", Text)], &[]),
        table(
            "customers",
            &[
                ("id", Integer),
                ("first_name", Text),
                ("last_name", Text),
                ("country", Text),
                ("phone", Text),
                ("signup_date", Date),
            ],
            &[],
        ),
        table(
            "orders",
            &[("id", Integer), ("customer_id", Integer), ("order_date", Date), ("status", Text)],
            &[("customer_id", "customers")],
        ),
        table(
            "products",
            &[("id", Integer), ("name", Text), ("price", Decimal), ("stock", Integer), ("category_id", Integer)],
            &[("category_id", "categories")],
        ),
    ];
    let values = |table: &str, column: &str, values: &[&str]| {
        let path = ColumnPath { schema: "public".to_owned(), table: table.to_owned(), column: column.to_owned() };
        let distinct = values.iter().map(|value| (*value).to_owned()).collect();
        (path, ColumnValues { distinct, complete: true })
    };
    let index = HashMap::from([
        values("categories", "name", &["Lighting", "Garden"]),
        values("customers", "country", &["France", "Germany"]),
        values("customers", "first_name", &["Zoë"]),
        values("orders", "status", &["cancelled", "shipped"]),
    ]);
    Lexicon::new(Arc::new(Facts::new(
        Arc::new(Schema { dialect, tables, fingerprint: String::new() }),
        Arc::new(ValueIndex::new(index)),
        date(2026, 11, 23),
    )))
}

fn check(question: &str, expected: &str) {
    match interpret(question, &shop(DatabaseKind::Sqlite)) {
        Ok(readings) => assert_eq!(readings[0].sql, expected, "{question}"),
        Err(abstention) => panic!("{question}: {abstention}"),
    }
}

fn check_abstains(question: &str, word: &str) {
    let abstention = interpret(question, &shop(DatabaseKind::Sqlite)).map(|readings| readings[0].sql.clone());
    let text = abstention.expect_err(question).to_string();
    assert!(text.contains(word), "{question}: {text}");
}

#[test]
fn lists_and_counts() {
    check("How many customers do we have?", "SELECT COUNT(*) FROM customers");
    check("List the names and prices of all products.", "SELECT name, price FROM products");
    check("Show the first and last names of customers.", "SELECT first_name, last_name FROM customers");
    check("How many different countries are there?", "SELECT COUNT(DISTINCT country) FROM customers");
}

#[test]
fn aggregates() {
    check("What is the average price of our products?", "SELECT AVG(price) FROM products");
    check("What is the total stock of all products?", "SELECT SUM(stock) FROM products");
    check("Show the minimum and maximum price of products.", "SELECT MIN(price), MAX(price) FROM products");
}

#[test]
fn filters() {
    check("How many customers are from France?", "SELECT COUNT(*) FROM customers WHERE country = 'France'");
    check(
        "How many customers are from France or Germany?",
        "SELECT COUNT(*) FROM customers WHERE country IN ('France', 'Germany')",
    );
    check("Show the names of products with a price above 20.", "SELECT name FROM products WHERE price > 20");
    check(
        "Show the names of products whose price is between 20 and 25.",
        "SELECT name FROM products WHERE price BETWEEN 20 AND 25",
    );
    check("What is the last name of the customer Zoe?", "SELECT last_name FROM customers WHERE first_name = 'Zoë'");
    check(
        "Show the names of products whose name contains 'lamp'.",
        "SELECT name FROM products WHERE name LIKE '%lamp%'",
    );
    check("Show the last names of customers who have no phone.", "SELECT last_name FROM customers WHERE phone IS NULL");
}

#[test]
fn dates() {
    check(
        "How many orders were placed in December 2024?",
        "SELECT COUNT(*) FROM orders WHERE (order_date >= '2024-12-01' AND order_date < '2025-01-01')",
    );
    check("How many orders were placed after 2024?", "SELECT COUNT(*) FROM orders WHERE order_date >= '2025-01-01'");
    check(
        "How many orders were placed last month?",
        "SELECT COUNT(*) FROM orders WHERE (order_date >= '2026-10-01' AND order_date < '2026-11-01')",
    );
    check(
        "How many orders were placed in each year?",
        "SELECT COUNT(*), strftime('%Y', order_date) FROM orders GROUP BY strftime('%Y', order_date)",
    );
}

#[test]
fn groups_order_and_superlatives() {
    check("How many orders are there for each status?", "SELECT COUNT(*), status FROM orders GROUP BY status");
    check("Show the names of products ordered by price.", "SELECT name FROM products ORDER BY price, id");
    check(
        "What is the name of the most expensive product?",
        "SELECT name FROM products ORDER BY price DESC, id LIMIT 1",
    );
    check(
        "Which country has the most customers?",
        "SELECT country FROM customers GROUP BY country ORDER BY COUNT(*) DESC, country LIMIT 1",
    );
    check(
        "Show the countries with at least 3 customers.",
        "SELECT country FROM customers GROUP BY country HAVING COUNT(*) >= 3",
    );
    check(
        "Show the names of products with a price above the average.",
        "SELECT name FROM products WHERE price > (SELECT AVG(price) FROM products)",
    );
}

#[test]
fn joins_and_what_is_missing() {
    check(
        "How many products are in the Lighting category?",
        "SELECT COUNT(*) FROM products JOIN categories ON products.category_id = categories.id WHERE categories.name = \
         'Lighting'",
    );
    check(
        "How many customers have never placed an order?",
        "SELECT COUNT(*) FROM customers WHERE id NOT IN (SELECT customer_id FROM orders WHERE customer_id IS NOT NULL)",
    );
    check(
        "How many customers have an order that is cancelled?",
        "SELECT COUNT(DISTINCT customers.id) FROM customers JOIN orders ON orders.customer_id = customers.id WHERE \
         orders.status = 'cancelled'",
    );
}

#[test]
fn what_is_not_known_is_named() {
    check_abstains("What is the average salary of our customers?", "'salary'");
    check_abstains("Which marketing campaign brought in the most customers?", "'campaign'");
    check_abstains("Will it rain tomorrow?", "'rain'");
    check_abstains("How many customers use our mobile app?", "'app'");
    check_abstains("Hello", "does not say what to show");
}

#[test]
fn the_dialect_decides_the_spelling() {
    let print =
        |dialect| interpret("How many orders were placed in each year?", &shop(dialect)).unwrap()[0].sql.clone();
    assert_eq!(
        print(DatabaseKind::Postgresql),
        "SELECT COUNT(*), to_char(order_date, 'YYYY') FROM orders GROUP BY to_char(order_date, 'YYYY')"
    );
    assert!(print(DatabaseKind::Mysql).contains("date_format(order_date, '%Y')"));
}

#[test]
fn the_same_question_has_the_same_readings() {
    let sql = |lexicon: &Lexicon| -> Vec<String> {
        interpret("Show the names of customers and the status of their orders", lexicon).map_or_else(
            |why| vec![why.to_string()],
            |readings| readings.into_iter().map(|reading| reading.sql).collect(),
        )
    };
    assert_eq!(sql(&shop(DatabaseKind::Sqlite)), sql(&shop(DatabaseKind::Sqlite)));
}

#[test]
fn turns_of_phrase_are_said_plainly() {
    check("Which products are out of stock?", "SELECT name FROM products WHERE stock = 0");
    check("Which products cost between 20 and 25 euros?", "SELECT name FROM products WHERE price BETWEEN 20 AND 25");
    check("What are the lowest and the highest product price?", "SELECT MIN(price), MAX(price) FROM products");
    check(
        "What is the most expensive product and what does it cost?",
        "SELECT name, price FROM products ORDER BY price DESC, id LIMIT 1",
    );
}

#[test]
fn who_did_something_first_has_the_earliest_date_of_it() {
    let first = "SELECT first_name, last_name FROM customers WHERE signup_date IS NOT NULL \
                 ORDER BY signup_date, id LIMIT 1";
    check("Which customer signed up first?", first);
    check("Which customer was the first to sign up?", first);
    check("Who signed up first?", first);
    let last = "SELECT first_name, last_name FROM customers ORDER BY signup_date DESC, id LIMIT 1";
    check("Which customer signed up last?", last);
    check("Which customer was the last to sign up?", last);
    check("Which order was placed last?", "SELECT id FROM orders ORDER BY order_date DESC, id LIMIT 1");
    check(
        "How many customers signed up in 2024?",
        "SELECT COUNT(*) FROM customers WHERE (signup_date >= '2024-01-01' AND signup_date < '2025-01-01')",
    );
}

#[test]
fn two_superlatives_are_one_too_many() {
    check_abstains("What is the date of the first order and of the last order?", "superlative");
}

#[test]
fn what_is_not_said_exactly_is_not_guessed() {
    check_abstains("What is the average number of orders per customer?", "average number");
    check_abstains("What is the total value of all orders?", "value");
    check_abstains("List the products with price not between 10 and 100", "all but a range");
    check_abstains("How many products do not cost between 20 and 50?", "all but a range");
    check_abstains("How many orders were not placed between 2024-01-01 and 2024-03-31?", "all but a range");
}

#[test]
fn rows_are_counted_for_what_is_shown() {
    check(
        "Which country has the most orders?",
        "SELECT customers.country FROM customers JOIN orders ON orders.customer_id = customers.id \
         GROUP BY customers.country ORDER BY COUNT(*) DESC, customers.country LIMIT 1",
    );
}

/// One table of people with a column of this name and kind.
fn people(dialect: DatabaseKind, column: (&str, ColumnType)) -> Lexicon {
    use ColumnType::{Integer, Text};
    let tables = vec![
        table("customers", &[("id", Integer), ("name", Text), ("country", Text), column], &[]),
        table(
            "orders",
            &[("id", Integer), ("customer_id", Integer), ("status", Text)],
            &[("customer_id", "customers")],
        ),
    ];
    Lexicon::new(Arc::new(Facts::new(
        Arc::new(Schema { dialect, tables, fingerprint: String::new() }),
        Arc::new(ValueIndex::new(HashMap::new())),
        date(2026, 11, 23),
    )))
}

const DIALECTS: [DatabaseKind; 3] = [DatabaseKind::Sqlite, DatabaseKind::Postgresql, DatabaseKind::Mysql];

fn read(question: &str, lexicon: &Lexicon) -> String {
    match interpret(question, lexicon) {
        Ok(readings) => readings[0].sql.clone(),
        Err(abstention) => panic!("{question}: {abstention}"),
    }
}

#[test]
fn what_happened_in_a_period_is_looked_up_in_the_column_that_says_when() {
    use ColumnType::{Date, Timestamp, TimestampTz};
    for dialect in DIALECTS {
        for kind in [Date, Timestamp, TimestampTz] {
            for column in ["signed_up", "signup_date", "signed_up_at", "signed_up_on"] {
                let lexicon = people(dialect, (column, kind));
                for (question, from, to) in [
                    ("How many customers signed up in 2025?", "2025-01-01", "2026-01-01"),
                    ("How many customers signed up in March 2025?", "2025-03-01", "2025-04-01"),
                    ("How many customers who signed up in 2025 are there?", "2025-01-01", "2026-01-01"),
                ] {
                    let expected =
                        format!("SELECT COUNT(*) FROM customers WHERE ({column} >= '{from}' AND {column} < '{to}')");
                    assert_eq!(read(question, &lexicon), expected, "{dialect:?} {kind:?}");
                }
                let listed = read("Show the names of customers who signed up in 2025.", &lexicon);
                assert!(listed.starts_with("SELECT name FROM customers WHERE"), "{listed}");
            }
        }
    }
}

#[test]
fn a_flag_before_a_thing_restricts_it() {
    for dialect in DIALECTS {
        let (yes, no) = if dialect == DatabaseKind::Postgresql { ("TRUE", "FALSE") } else { ("1", "0") };
        for (column, word) in [("vip", "VIP"), ("is_vip", "VIP"), ("active", "active"), ("is_premium", "premium")] {
            let lexicon = people(dialect, (column, ColumnType::Boolean));
            for (question, select) in [
                (format!("How many {word} customers are there?"), "SELECT COUNT(*)"),
                (format!("How many {word} customers do we have?"), "SELECT COUNT(*)"),
                (format!("Show the names of all {word} customers."), "SELECT name"),
                (format!("How many customers are {word}?"), "SELECT COUNT(*)"),
            ] {
                let expected = format!("{select} FROM customers WHERE {column} = {yes}");
                assert_eq!(read(&question, &lexicon), expected, "{dialect:?}");
            }
            let denied = read(&format!("How many customers are not {word}?"), &lexicon);
            assert_eq!(denied, format!("SELECT COUNT(*) FROM customers WHERE {column} = {no}"), "{dialect:?}");
        }
    }
}
