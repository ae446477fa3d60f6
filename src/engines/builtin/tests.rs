//! Questions to a shop and the statements they become: each form of question once, and each reason to abstain.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::date;

use super::ambiguity::Settled;
use super::conversation::{Turn, converse};
use super::{Abstention, Lexicon, interpret};
use crate::domain::{ColumnPath, ColumnType, ColumnValues, DatabaseKind, Facts, Schema, Table, ValueIndex, testing};

fn table(name: &str, columns: &[(&str, ColumnType)], references: &[(&str, &str)]) -> Table {
    testing::table("public", name, columns, references)
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
fn the_last_of_a_thing_is_no_last_name() {
    check("Show the last 5 orders.", "SELECT id FROM orders ORDER BY order_date DESC, id LIMIT 5");
    let by_signup = "FROM customers WHERE signup_date IS NOT NULL ORDER BY signup_date, id";
    check("Show the first 10 customers.", &format!("SELECT first_name, last_name {by_signup} LIMIT 10"));
    check("What is the first name of the first customer?", &format!("SELECT first_name {by_signup} LIMIT 1"));
    check(
        "Which customer placed the first order?",
        "SELECT customers.first_name, customers.last_name FROM customers \
         JOIN orders ON orders.customer_id = customers.id WHERE orders.order_date IS NOT NULL \
         ORDER BY orders.order_date, orders.id LIMIT 1",
    );
    check_abstains("Show the name of the first product.", "");
    check("Show the last names of customers.", "SELECT last_name FROM customers");
    check("What was the last order date?", "SELECT MAX(order_date) FROM orders");
    check(
        "When did Zoe last order?",
        "SELECT orders.order_date FROM orders JOIN customers ON orders.customer_id = customers.id \
         WHERE customers.first_name = 'Zoë' ORDER BY orders.order_date DESC, orders.id LIMIT 1",
    );
}

#[test]
fn things_per_something_are_counted() {
    check("Customers per country", "SELECT COUNT(*), country FROM customers GROUP BY country");
    let monthly = "SELECT COUNT(*), strftime('%Y-%m', order_date) FROM orders GROUP BY strftime('%Y-%m', order_date)";
    check("Orders per month", monthly);
    check_abstains("Orders each month", "month");
    check_abstains("Show the names of products per category.", "per");
    for asked in ["List the products", "Tell me the products", "Which products", "The top 5 products"] {
        check_abstains(&format!("{asked} per category"), "per category");
    }
}

#[test]
fn what_is_denied_is_looked_up() {
    let none = "SELECT first_name, last_name FROM customers \
                WHERE id NOT IN (SELECT customer_id FROM orders WHERE customer_id IS NOT NULL)";
    check("Which customers have no orders?", none);
    // The country is the customer's; nothing says where an order is.
    check_abstains("Which customers have no orders in Germany?", "");
}

#[test]
fn a_day_may_be_the_last_one() {
    let until = "SELECT COUNT(*) FROM orders WHERE order_date < '2024-04-01'";
    for how in ["by 2024-03-31", "through March 2024", "until March 2024", "up to 2024-03-31", "up until 2024-03-31"] {
        check(&format!("How many orders were placed {how}?"), until);
    }
}

#[test]
fn the_top_of_a_list_is_by_what_is_said() {
    check("What are the top 3 products by price?", "SELECT name FROM products ORDER BY price DESC, id LIMIT 3");
    check(
        "Show the top 2 categories by total stock.",
        "SELECT categories.name FROM categories JOIN products ON products.category_id = categories.id \
         GROUP BY categories.id, categories.name ORDER BY SUM(products.stock) DESC, categories.id LIMIT 2",
    );
    check(
        "Show the top 5 countries by number of customers.",
        "SELECT country FROM customers GROUP BY country ORDER BY COUNT(*) DESC, country LIMIT 5",
    );
    check(
        "What are the top 99999999999999999999 products by price?",
        "SELECT name FROM products ORDER BY price DESC, id LIMIT 1000000000",
    );
    check_abstains("Show the top 3 products.", "surely");
    check_abstains("What are the top -3 products by price?", "-3");
    // The categories with the largest single stock, or with the most in all?
    check_abstains("Show the top 2 categories by stock.", "surely");
}

#[test]
fn when_and_where_ask_for_what_the_thing_has() {
    check(
        "When was the first order?",
        "SELECT order_date FROM orders WHERE order_date IS NOT NULL ORDER BY order_date, id LIMIT 1",
    );
    check("Where does the customer Zoe live?", "SELECT country FROM customers WHERE first_name = 'Zoë'");
    check_abstains("Where was the first order shipped?", "where");
    check_abstains("When was the product created?", "when");
}

#[test]
fn what_the_grammar_has_no_form_for_is_not_guessed() {
    check_abstains("What is the share of cancelled orders?", "share of");
    check_abstains("orders by customer", "by customer");
    check_abstains("Show the orders by customer in 2024.", "by customer");
}

#[test]
fn who_has_nothing_is_said_not_to_count() {
    for question in ["Which customers have fewer than 2 orders?", "Which customer has the fewest orders?"] {
        let readings = interpret(question, &shop(DatabaseKind::Sqlite)).unwrap();
        assert_eq!(readings[0].assumptions, ["What has no row in `orders` is not counted."], "{question}");
    }
    let most = interpret("Which customer has the most orders?", &shop(DatabaseKind::Sqlite)).unwrap();
    assert!(most[0].assumptions.is_empty());
}

#[test]
fn nobody_means_a_birthday_who_does_not_say_so() {
    let lexicon = people(DatabaseKind::Sqlite, ("birth_date", ColumnType::Date));
    assert!(interpret("Show the orders of customers in 2023.", &lexicon).is_err());
    let born = "SELECT COUNT(*) FROM customers WHERE (birth_date >= '1980-01-01' AND birth_date < '1981-01-01')";
    assert_eq!(read("How many customers have a birth date in 1980?", &lexicon), born);
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
fn numbers_keep_their_sign_and_ranges_their_order() {
    check("List the products with stock below -5", "SELECT name FROM products WHERE stock < -5");
    check("List the products with stock between 10 and -5", "SELECT name FROM products WHERE stock BETWEEN -5 AND 10");
    check("How many products cost between 100 and 50?", "SELECT COUNT(*) FROM products WHERE price BETWEEN 50 AND 100");
    check(
        "How many orders were placed between 2024-12-31 and 2024-01-01?",
        "SELECT COUNT(*) FROM orders WHERE (order_date >= '2024-01-01' AND order_date < '2025-01-01')",
    );
}

#[test]
fn what_is_counted_by_something_is_counted_for_each() {
    for question in ["How many products are there by category?", "Number of products by category"] {
        check(
            question,
            "SELECT COUNT(*), categories.name FROM products JOIN categories ON products.category_id = categories.id \
             GROUP BY categories.id, categories.name",
        );
    }
    check("How many customers are there by country?", "SELECT COUNT(*), country FROM customers GROUP BY country");
    check(
        "What is the average price by category?",
        "SELECT AVG(products.price), categories.name FROM products JOIN categories ON products.category_id = categories.id \
         GROUP BY categories.id, categories.name",
    );
    check(
        "How many orders by month in 2024?",
        "SELECT COUNT(*), strftime('%Y-%m', order_date) FROM orders \
         WHERE (order_date >= '2024-01-01' AND order_date < '2025-01-01') GROUP BY strftime('%Y-%m', order_date)",
    );
}

#[test]
fn signs_compare_as_they_are_written() {
    for (sign, printed) in [(">=", ">="), ("≥", ">="), ("<=", "<="), ("≤", "<="), (">", ">"), ("<", "<")] {
        let question = format!("List the products with price {sign} 20");
        check(&question, &format!("SELECT name FROM products WHERE price {printed} 20"));
    }
    check("How many products have stock != 0?", "SELECT COUNT(*) FROM products WHERE stock <> 0");
    check(
        "How many orders have an order date >= 2024-03-01?",
        "SELECT COUNT(*) FROM orders WHERE order_date >= '2024-03-01'",
    );
}

/// Each of these was answered, and wrongly.
#[test]
fn what_would_be_left_out_is_not_answered() {
    for question in [
        "What is the average price of the 10 cheapest products?",
        "Total stock of the top 5 products by price",
        "How many of the top 10 products by price are in Lighting?",
        "Number of orders placed by customer",
        "Highest price by category",
        "How many products have been sold?",
        "Which products were sold?",
        "How many customers and orders are there?",
        "What is the total number of orders and customers?",
        "How many customers and orders in 2024?",
        "Who placed the last order?",
        "Which customers were referred by Zoë Miller?",
        "Show the customers with or without phone",
    ] {
        let read = interpret(question, &shop(DatabaseKind::Sqlite)).map(|readings| readings[0].sql.clone());
        assert!(read.is_err(), "{question}: {read:?}");
    }
    check(
        "How many orders by customer in 2024?",
        "SELECT COUNT(*), customers.first_name, customers.last_name FROM orders \
         JOIN customers ON orders.customer_id = customers.id \
         WHERE (orders.order_date >= '2024-01-01' AND orders.order_date < '2025-01-01') \
         GROUP BY customers.id, customers.first_name, customers.last_name",
    );
    check(
        "Which customer is the newest?",
        "SELECT first_name, last_name FROM customers ORDER BY signup_date DESC, id LIMIT 1",
    );
}

#[test]
fn rows_are_counted_for_what_is_shown() {
    check(
        "Which country has the most orders?",
        "SELECT customers.country FROM customers JOIN orders ON orders.customer_id = customers.id \
         GROUP BY customers.country ORDER BY COUNT(*) DESC, customers.country LIMIT 1",
    );
}

/// A customer may have several addresses; what is paid has an amount, and what is sent two dates.
#[test]
fn what_is_counted_summed_and_dated_is_what_is_said() {
    use ColumnType::{Date, Decimal, Integer, Text};
    let of_customer = [("customer_id", "customers")];
    let lexicon = lexicon(
        DatabaseKind::Sqlite,
        vec![
            table("customers", &[("id", Integer), ("name", Text)], &[]),
            table("addresses", &[("id", Integer), ("customer_id", Integer), ("city", Text)], &of_customer),
            table("payments", &[("id", Integer), ("amount", Decimal), ("method", Text), ("paid_at", Date)], &[]),
            table("shipments", &[("id", Integer), ("shipped_at", Date), ("delivered_at", Date)], &[]),
            table("products", &[("id", Integer), ("name", Text), ("price", Decimal), ("launch_date", Date)], &[]),
        ],
    );
    for (question, expected) in [
        (
            "Which cities have more than 50 customers?",
            "SELECT addresses.city FROM addresses JOIN customers ON addresses.customer_id = customers.id \
             GROUP BY addresses.city HAVING COUNT(DISTINCT customers.id) > 50",
        ),
        ("What is the total amount of payments?", "SELECT SUM(amount) FROM payments"),
        ("When was the last shipment?", "SELECT shipped_at FROM shipments ORDER BY shipped_at DESC, id LIMIT 1"),
    ] {
        assert_eq!(read(question, &lexicon), expected, "{question}");
    }
    for (question, open) in [
        ("What are the total payments?", "how many, or how much?"),
        ("Total payments by method", "how many, or how much?"),
        ("How many products were sold in 2024?", "they were launched, which is something else"),
        ("Which product was reviewed last?", "launched last"),
        ("Which product was reviewed first?", "launched first"),
        ("What is the total shipping cost?", "no table says what shipping costs"),
    ] {
        let read = interpret(question, &lexicon).map(|readings| readings[0].sql.clone());
        assert!(read.is_err(), "{question}: {open} {read:?}");
    }
    for (question, column) in [
        ("How many products were launched in 2024?", "launch_date"),
        ("How many products are from 2024?", "launch_date"),
        ("How many payments were made in 2024?", "paid_at"),
    ] {
        let sql = read(question, &lexicon);
        assert!(sql.contains(&format!("WHERE ({column} >= '2024-01-01'")), "{sql}");
    }
}

fn lexicon(dialect: DatabaseKind, tables: Vec<Table>) -> Lexicon {
    Lexicon::new(Arc::new(Facts::new(
        Arc::new(Schema { dialect, tables, fingerprint: String::new() }),
        Arc::new(ValueIndex::new(HashMap::new())),
        date(2026, 11, 23),
    )))
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
    lexicon(dialect, tables)
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

// --- Questions back -------------------------------------------------------------------------------------------------

/// The settled readings of a conversation, each question with its answers to questions back.
fn talk(questions: &[(&str, &[&str])]) -> Result<Settled, Abstention> {
    let turns: Vec<Turn> = questions
        .iter()
        .map(|(question, answers)| Turn { question, answers: answers.to_vec(), today: date(2026, 11, 23) })
        .collect();
    let (last, before) = turns.split_last().unwrap();
    converse(before, last, &shop(DatabaseKind::Sqlite))
}

#[test]
fn a_word_with_two_meanings_is_asked_about() {
    let ask = |answers: &'static [&'static str]| talk(&[("How many different names are there?", answers)]).unwrap();
    let open = ask(&[]);
    let asked = open.open.expect("it is asked about");
    assert_eq!(asked.question, "'names' can mean several things. Which one is meant?");
    assert_eq!(asked.options, ["name of categories", "name of products"]);
    assert_eq!(open.readings[0].sql, "SELECT COUNT(DISTINCT name) FROM categories");
    assert_eq!(
        open.readings[0].assumptions,
        ["'names' means name of categories; it could also mean name of products."]
    );
    for answer in ["name of products", "2", " Name of Products. ", "the products, please", "product"] {
        let settled = talk(&[("How many different names are there?", &[answer])]).unwrap();
        assert!(settled.open.is_none(), "{answer}");
        assert_eq!(settled.readings[0].sql, "SELECT COUNT(DISTINCT name) FROM products", "{answer}");
        assert!(settled.readings[0].assumptions.is_empty(), "{answer}");
        assert!(!settled.readings.iter().any(|reading| reading.sql.contains("categories")), "{answer}");
    }
    let lost = ask(&["the weather"]).open.unwrap();
    assert!(lost.question.starts_with("'the weather' is none of these."), "{}", lost.question);
    let found = ask(&["the weather", "1"]);
    assert_eq!((found.open, found.readings[0].sql.as_str()), (None, "SELECT COUNT(DISTINCT name) FROM categories"));
}

#[test]
fn a_question_with_one_good_reading_is_not_asked_about() {
    for question in [
        "How many customers do we have?",
        "Show the names of products with a price above 20.",
        "Which country has the most customers?",
    ] {
        assert!(talk(&[(question, &[])]).unwrap().open.is_none(), "{question}");
    }
}

// --- Follow-ups -----------------------------------------------------------------------------------------------------

fn check_talk(questions: &[&str], expected: &str) {
    let turns: Vec<(&str, &[&str])> = questions.iter().map(|question| (*question, &[][..])).collect();
    match talk(&turns) {
        Ok(settled) => assert_eq!(settled.readings[0].sql, expected, "{questions:?}"),
        Err(abstention) => panic!("{questions:?}: {abstention}"),
    }
}

fn check_talk_abstains(questions: &[&str], word: &str) {
    let turns: Vec<(&str, &[&str])> = questions.iter().map(|question| (*question, &[][..])).collect();
    let text = match talk(&turns) {
        Ok(settled) => panic!("{questions:?}: {}", settled.readings[0].sql),
        Err(abstention) => abstention.to_string(),
    };
    assert!(text.contains(word), "{questions:?}: {text}");
}

#[test]
fn a_follow_up_changes_a_condition() {
    let in_2023 = "How many orders were there in 2023?";
    let year = |year: u32| {
        let next = year + 1;
        format!("SELECT COUNT(*) FROM orders WHERE (order_date >= '{year}-01-01' AND order_date < '{next}-01-01')")
    };
    for follow_up in ["and only for 2024?", "What about 2024?", "And in 2024?", "2024?", "in 2024"] {
        check_talk(&[in_2023, follow_up], &year(2024));
    }
    check_talk(&[in_2023, "and only for 2024?", "and 2025?"], &year(2025));
    let french = "How many customers are from France?";
    check_talk(&[french, "what about Germany?"], "SELECT COUNT(*) FROM customers WHERE country = 'Germany'");
    check_talk(&[french, "also Germany"], "SELECT COUNT(*) FROM customers WHERE country IN ('France', 'Germany')");
    check_talk(
        &["Show the names of products with a price above 20.", "what about above 30?"],
        "SELECT name FROM products WHERE price > 30",
    );
}

#[test]
fn a_follow_up_adds_a_condition() {
    check_talk(
        &["How many orders were there in 2024?", "only shipped ones"],
        "SELECT COUNT(*) FROM orders WHERE (order_date >= '2024-01-01' AND order_date < '2025-01-01') AND status = 'shipped'",
    );
    check_talk(
        &["How many customers do we have?", "only those from Germany"],
        "SELECT COUNT(*) FROM customers WHERE country = 'Germany'",
    );
}

#[test]
fn a_follow_up_changes_groups_and_limits() {
    check_talk(
        &["How many orders were there per year?", "by month instead"],
        "SELECT COUNT(*), strftime('%Y-%m', order_date) FROM orders GROUP BY strftime('%Y-%m', order_date)",
    );
    let per_country = "How many customers are there per country?";
    let counted = "SELECT COUNT(*), country FROM customers GROUP BY country";
    check_talk(&["How many customers do we have?", "by country"], counted);
    check_talk(&[per_country, "top 5 of them"], &format!("{counted} ORDER BY COUNT(*) DESC, country LIMIT 5"));
    check_talk_abstains(&["List the names of all products.", "top 5 of them"], "by what");
}

#[test]
fn a_follow_up_counts_and_computes() {
    check_talk(
        &["List the last names of customers from Germany.", "and how many?"],
        "SELECT COUNT(*) FROM customers WHERE country = 'Germany'",
    );
    check_talk(&["What is the average price of products?", "and the maximum?"], "SELECT MAX(price) FROM products");
    check_talk(&["How many customers do we have?", "and products?"], "SELECT COUNT(*) FROM products");
    check_talk_abstains(&["What is the total stock of all products?", "and how many?"], "what is to be counted");
}

#[test]
fn a_whole_question_is_read_alone() {
    check_talk(
        &["How many customers are from France?", "What is the average price of our products?"],
        "SELECT AVG(price) FROM products",
    );
    check_talk(&["Which employees sing?", "How many customers do we have?"], "SELECT COUNT(*) FROM customers");
}

#[test]
fn a_follow_up_that_does_not_fit_is_not_answered_in_part() {
    let base = "How many customers are from France?";
    check_talk_abstains(&[base, "and the unicorns?"], "unicorns");
    check_talk_abstains(&[base, "and only for 2024 with unicorns?"], "unicorns");
    check_talk_abstains(&[base, "and?"], "nothing new");
    check_talk_abstains(&["Which employees sing?", "and only from Germany?"], "cannot read");
    // What is not connected is not counted apart.
    check_talk_abstains(&[base, "and products?"], "");
}
