//! Statements in endless variety, from a seed: half made by a small grammar, half by mutating the guard's corpus. They are for
//! running what the guard lets through on real databases.

use pulse::domain::DatabaseKind;

const CORPORA: [(DatabaseKind, &str); 3] = [
    (DatabaseKind::Postgresql, include_str!("../../guard/postgres.tsv")),
    (DatabaseKind::Mysql, include_str!("../../guard/mysql.tsv")),
    (DatabaseKind::Sqlite, include_str!("../../guard/sqlite.tsv")),
];

/// Statements of a dialect, the same for the same seed. Their tables are `t(a, b, c, meta)`, `customers(id, name, email)` and
/// `orders(id, customer_id, status, total)`; many are wrong on purpose, and many do harm if they run.
pub fn statements(dialect: DatabaseKind, seed: u64, count: usize) -> Vec<String> {
    let text = CORPORA.iter().find(|(kind, _)| *kind == dialect).unwrap().1;
    let corpus: Vec<&str> = text.lines().map(|line| line.split_once('\t').unwrap().1).collect();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    (0..count)
        .map(|number| {
            if number % 2 == 0 {
                Maker { random: &mut random, dialect }.statement()
            } else {
                mutated(&corpus, &mut random)
            }
        })
        .collect()
}

/// xorshift: good enough to vary, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// A statement of the corpus with words of others put in, taken out or swapped.
fn mutated(corpus: &[&str], random: &mut Random) -> String {
    let mut words: Vec<&str> = corpus[random.below(corpus.len())].split(' ').collect();
    for _ in 0..random.below(4) {
        let other: Vec<&str> = corpus[random.below(corpus.len())].split(' ').collect();
        let from = random.below(other.len());
        let to = (from + 1 + random.below(4)).min(other.len());
        let at = random.below(words.len() + 1);
        match random.below(3) {
            0 => drop(words.splice(at..at, other[from..to].iter().copied())),
            1 if at < words.len() => words[at] = other[from],
            _ if at < words.len() => drop(words.remove(at)),
            _ => {}
        }
    }
    words.join(" ")
}

struct Maker<'a> {
    random: &'a mut Random,
    dialect: DatabaseKind,
}

impl Maker<'_> {
    fn statement(&mut self) -> String {
        match self.random.below(12) {
            0 => format!("WITH x AS ({}) {}", self.query(2), self.query(2)),
            1 => format!("WITH x AS ({}) SELECT * FROM x", self.write()),
            2 => format!("EXPLAIN {}", self.query(1)),
            3 => format!("{}; {}", self.query(1), self.write()),
            4 => self.write(),
            5 => format!("{} UNION ALL {}", self.query(1), self.query(1)),
            _ => self.query(3),
        }
    }

    fn write(&mut self) -> String {
        match self.random.below(6) {
            0 => format!("INSERT INTO t (a, b) VALUES ({}, 'new')", self.expression(1)),
            1 => format!("UPDATE t SET b = {} RETURNING a", self.expression(1)),
            2 => "DELETE FROM orders RETURNING id".to_owned(),
            3 => format!("REPLACE INTO t (a, b) VALUES (1, {})", self.expression(1)),
            4 => "DROP TABLE customers".to_owned(),
            _ => "CREATE TABLE made AS SELECT 1 AS a".to_owned(),
        }
    }

    fn query(&mut self, depth: usize) -> String {
        let mut sql =
            format!("SELECT {}, {} FROM {}", self.expression(depth), self.expression(depth), self.source(depth));
        if self.random.below(2) == 0 {
            let (left, right) = (self.expression(depth), self.expression(depth));
            sql += &[" WHERE", &left, self.comparison(), &right].join(" ");
        }
        if self.random.below(4) == 0 {
            sql += " ORDER BY ";
            sql += &self.expression(depth);
        }
        if self.random.below(3) == 0 {
            sql += " LIMIT 5";
        }
        sql
    }

    fn source(&mut self, depth: usize) -> String {
        match self.random.below(if depth == 0 { 3 } else { 6 }) {
            0 => "t".to_owned(),
            1 => "customers".to_owned(),
            2 => "orders".to_owned(),
            3 => format!("({}) AS s", self.query(depth - 1)),
            4 => format!("t JOIN orders ON {} = {}", self.expression(0), self.expression(0)),
            _ => "customers LEFT JOIN orders ON orders.customer_id = customers.id".to_owned(),
        }
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .random
                .pick(&["a", "b", "c", "id", "name", "status", "total", "1", "'x'", "NULL", "-2.5", "t.a", "orders.id"])
                .to_owned();
        }
        match self.random.below(8) {
            0 => format!("({} {} {})", self.expression(depth - 1), self.operator(), self.expression(depth - 1)),
            1 => format!("{}({})", self.function(), self.expression(depth - 1)),
            2 => format!("({})", self.query(depth - 1)),
            3 => format!("CASE WHEN {} = 1 THEN {} ELSE 0 END", self.expression(0), self.expression(depth - 1)),
            4 => format!("CAST({} AS {})", self.expression(depth - 1), self.random.pick(&["CHAR", "INTEGER", "DATE"])),
            5 => format!("count(*) OVER (PARTITION BY {})", self.expression(0)),
            6 => format!("{} /* ; DROP TABLE t */", self.expression(depth - 1)),
            _ => self.expression(0),
        }
    }

    fn operator(&mut self) -> &'static str {
        self.random.pick(&["+", "-", "*", "/", "%", "||", "=", "<", "AND", "OR", "IS NOT DISTINCT FROM", "LIKE"])
    }

    fn comparison(&mut self) -> &'static str {
        self.random.pick(&["=", "<>", "<", "LIKE", "IS NOT", "NOT LIKE"])
    }

    /// One in three does harm where it exists.
    fn function(&mut self) -> &'static str {
        if self.random.below(3) > 0 {
            return self.random.pick(&["lower", "upper", "abs", "coalesce", "length", "round", "count", "max", "sum"]);
        }
        self.random.pick(match self.dialect {
            DatabaseKind::Postgresql => {
                &["pg_sleep", "nextval", "lo_create", "pg_notify", "set_config", "txid_current", "pg_read_file"]
            }
            DatabaseKind::Mysql => &["sleep", "get_lock", "load_file", "benchmark", "last_insert_id", "nextval"],
            DatabaseKind::Sqlite => &["load_extension", "writefile", "zeroblob", "randomblob", "last_insert_rowid"],
        })
    }
}
