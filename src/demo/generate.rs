//! Fills the tables: first what the shop starts with, then (in `sales`) what happens in it.

use std::collections::HashSet;

use rusqlite::{Connection, Params, params};

use super::calendar::{LAST_DAY, iso_date, new_year};
use super::random::{Random, Weighted};
use super::sales;
use super::words::{
    COUNTRIES, Country, DEPARTMENTS, EMAIL_HOSTS, FIRST_NAMES, Goods, LAST_NAMES, POSITIONS, PRODUCT_LINES, SUPPLIERS,
};

const CUSTOMERS: usize = 2_000;
/// Customers and products that are there on the first day.
const CUSTOMERS_AT_OPENING: usize = 25;
const PRODUCTS_AT_OPENING: u64 = 60;

/// Writes all rows, the same ones for the same seed, and returns how many.
pub(super) fn rows(connection: &Connection, seed: u64) -> Result<usize, rusqlite::Error> {
    let mut random = Random::new(seed);
    let mut table = Writer { connection, rows: 0 };
    let categories = write_categories(&mut table)?;
    write_suppliers(&mut table, &mut random)?;
    let sellers = write_employees(&mut table, &mut random)?;
    let customers = write_customers(&mut table, &mut random)?;
    let products = write_products(&mut table, &mut random, &categories)?;
    sales::write(&mut table, &mut random, &sales::Shop { sellers, customers, products })?;
    Ok(table.rows)
}

/// Inserts rows and counts them.
pub(super) struct Writer<'a> {
    connection: &'a Connection,
    rows: usize,
}

impl Writer<'_> {
    /// Runs one INSERT of one row; equal texts are compiled once.
    pub(super) fn insert(&mut self, sql: &'static str, values: impl Params) -> Result<(), rusqlite::Error> {
        self.rows += self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}

/// A customer as far as sales need to know. Ordered by `signup_day`.
pub(super) struct Customer {
    pub(super) id: i64,
    pub(super) signup_day: i64,
    pub(super) address_ids: Vec<i64>,
}

/// A product as far as sales need to know. Ordered by `launch_day`.
pub(super) struct Product {
    pub(super) id: i64,
    pub(super) launch_day: i64,
    pub(super) price_cents: i64,
}

/// Money is kept in cents until it is written, so that no sum here rounds.
pub(super) fn euros(cents: i64) -> f64 {
    cents as f64 / 100.0
}

/// Departments, then their categories; returns the id of every category that holds products, with
/// its goods.
fn write_categories(table: &mut Writer) -> Result<Vec<(i64, Goods)>, rusqlite::Error> {
    const INSERT: &str = "INSERT INTO categories VALUES (?, ?, ?)";
    for (id, department) in (1_i64..).zip(&DEPARTMENTS) {
        table.insert(INSERT, params![id, department.name, None::<i64>])?;
    }
    let mut categories = Vec::new();
    for (parent_id, department) in (1_i64..).zip(&DEPARTMENTS) {
        for category in department.categories {
            let id = (DEPARTMENTS.len() + categories.len() + 1) as i64;
            table.insert(INSERT, params![id, category.name, parent_id])?;
            categories.push((id, category.goods));
        }
    }
    Ok(categories)
}

fn write_suppliers(table: &mut Writer, random: &mut Random) -> Result<(), rusqlite::Error> {
    for (id, (company_name, country)) in (1_i64..).zip(SUPPLIERS) {
        let country = &COUNTRIES[country];
        let contact_name = format!("{} {}", random.pick(&FIRST_NAMES), random.pick(&LAST_NAMES));
        let email = format!("sales@{}.example.com", ascii_word(company_name));
        let phone = random.chance(80).then(|| random.fill(country.phone));
        table.insert(
            "INSERT INTO suppliers VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![id, company_name, contact_name, email, phone, random.pick(country.cities), country.name],
        )?;
    }
    Ok(())
}

/// Returns the ids of those who take orders by phone.
fn write_employees(table: &mut Writer, random: &mut Random) -> Result<Vec<i64>, rusqlite::Error> {
    let mut names = Names::default();
    let mut sellers = Vec::new();
    let mut hired = new_year(2018);
    for (id, (job_title, department, manager)) in (1_i64..).zip(POSITIONS) {
        let (first_name, last_name) = names.next(random);
        let email = format!("{}.{}@shop.example.com", ascii_word(first_name), ascii_word(last_name));
        // Managers stand before their people in the list and have been here for longer.
        hired += random.between(20, 190);
        let manager_id = manager.map(|index| index as i64 + 1);
        table.insert(
            "INSERT INTO employees VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![id, first_name, last_name, email, job_title, department, iso_date(hired), manager_id],
        )?;
        if department == "Sales" && manager != Some(0) {
            sellers.push(id);
        }
    }
    Ok(sellers)
}

fn write_customers(table: &mut Writer, random: &mut Random) -> Result<Vec<Customer>, rusqlite::Error> {
    let countries = Weighted::new(COUNTRIES.iter().map(|country| country.weight));
    let mut signup_days: Vec<i64> = (CUSTOMERS_AT_OPENING..CUSTOMERS).map(|_| random.between(0, LAST_DAY)).collect();
    signup_days.extend([0; CUSTOMERS_AT_OPENING]);
    signup_days.sort_unstable();

    let mut names = Names::default();
    let mut addresses = 0;
    let mut customers = Vec::with_capacity(CUSTOMERS);
    for (id, signup_day) in (1_i64..).zip(signup_days) {
        let country = &COUNTRIES[countries.pick(random)];
        let (first_name, last_name) = names.next(random);
        let host = random.pick(&EMAIL_HOSTS);
        let email = format!("{}.{}@{host}", ascii_word(first_name), ascii_word(last_name));
        let phone = random.chance(75).then(|| random.fill(country.phone));
        let birth_date = random.chance(70).then(|| iso_date(random.between(new_year(1948), new_year(2005))));
        table.insert(
            "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![id, first_name, last_name, email, phone, birth_date, iso_date(signup_day), random.chance(40)],
        )?;
        let address_ids = write_addresses(table, random, id, country, &mut addresses)?;
        customers.push(Customer { id, signup_day, address_ids });
    }
    Ok(customers)
}

/// A home and, for some, a workplace in the same country; returns their ids.
fn write_addresses(
    table: &mut Writer,
    random: &mut Random,
    customer_id: i64,
    country: &Country,
    addresses: &mut i64,
) -> Result<Vec<i64>, rusqlite::Error> {
    let types: &[&str] = if random.chance(25) { &["home", "work"] } else { &["home"] };
    let mut ids = Vec::with_capacity(types.len());
    for address_type in types {
        *addresses += 1;
        let house_number = random.between(1, 120).to_string();
        let street = random.pick(country.streets).replace("{n}", &house_number);
        let postal_code = random.fill(country.postal_code);
        // The larger of two draws favours the large cities, which come first.
        let last = country.cities.len() as i64 - 1;
        let city = country.cities[random.between(0, last).min(random.between(0, last)) as usize];
        table.insert(
            "INSERT INTO addresses VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![*addresses, customer_id, address_type, street, postal_code, city, country.name],
        )?;
        ids.push(*addresses);
    }
    Ok(ids)
}

/// Three lines of every good, sorted by launch day as they would be in a shop that grows.
fn write_products(
    table: &mut Writer,
    random: &mut Random,
    categories: &[(i64, Goods)],
) -> Result<Vec<Product>, rusqlite::Error> {
    let mut drafts = Vec::new();
    for &(category_id, goods) in categories {
        for good in goods {
            // Stepping through the lines by 5, which shares no factor with 14, never meets one twice.
            let first_line = random.below(PRODUCT_LINES.len() as u64) as usize;
            for step in 0..3 {
                let line = PRODUCT_LINES[(first_line + 5 * step) % PRODUCT_LINES.len()];
                let launch_day = if random.chance(PRODUCTS_AT_OPENING) { 0 } else { random.between(1, LAST_DAY - 60) };
                drafts.push((launch_day, line, good, category_id));
            }
        }
    }
    drafts.sort_by_key(|draft| draft.0);

    let mut products = Vec::with_capacity(drafts.len());
    for (id, (launch_day, line, &(good, usual_cents, usual_grams), category_id)) in (1_i64..).zip(drafts) {
        let price_cents = round_price(usual_cents * random.between(70, 150) / 100);
        let weight = random.chance(85).then(|| (usual_grams * random.between(80, 120) / 1_000) as f64 / 100.0);
        let stock = if random.chance(6) { 0 } else { random.between(1, 400) };
        // Each category buys from three suppliers.
        let supplier_id = (category_id * 5 + random.between(0, 2)) % SUPPLIERS.len() as i64 + 1;
        table.insert(
            "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                id,
                format!("{line} {good}"),
                category_id,
                supplier_id,
                euros(price_cents),
                stock,
                weight,
                iso_date(launch_day)
            ],
        )?;
        products.push(Product { id, launch_day, price_cents });
    }
    Ok(products)
}

/// Shops like prices that end in 90 or 50 cents.
fn round_price(cents: i64) -> i64 {
    let below = cents - cents % 100;
    if cents % 100 < 50 { below - 10 } else { below + 50 }
}

/// Full names, none of them twice.
#[derive(Default)]
struct Names(HashSet<(&'static str, &'static str)>);

impl Names {
    /// Needs a few tries at most: there are five times as many names as customers.
    fn next(&mut self, random: &mut Random) -> (&'static str, &'static str) {
        loop {
            let name = (*random.pick(&FIRST_NAMES), *random.pick(&LAST_NAMES));
            if self.0.insert(name) {
                return name;
            }
        }
    }
}

/// A name as it would stand in an e-mail address: "Müller" becomes "mueller", "O'Brien" "obrien".
fn ascii_word(name: &str) -> String {
    let mut word = String::with_capacity(name.len());
    for c in name.to_lowercase().chars() {
        match c {
            'ä' => word.push_str("ae"),
            'ö' | 'ø' => word.push_str("oe"),
            'ü' => word.push_str("ue"),
            'á' => word.push('a'),
            'é' => word.push('e'),
            'í' => word.push('i'),
            'ó' => word.push('o'),
            c if c.is_ascii_alphanumeric() => word.push(c),
            _ => {}
        }
    }
    word
}
