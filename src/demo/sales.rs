//! What happens in the shop: customers order, pay, receive parcels and write reviews.

use rusqlite::params;

use super::calendar::{LAST_DAY, demand, iso_date, iso_timestamp, new_year};
use super::generate::{Customer, Product, Writer, euros};
use super::random::{Random, Weighted};
use super::words::{CARRIERS, COMMENTS, ORDER_NOTES, PAYMENT_METHODS};

const ORDERS: usize = 6_500;

/// What the shop has on offer and for whom.
pub(super) struct Shop {
    /// Employees who take orders by phone.
    pub(super) sellers: Vec<i64>,
    /// Ordered by signup day.
    pub(super) customers: Vec<Customer>,
    /// Ordered by launch day.
    pub(super) products: Vec<Product>,
}

/// How likely each seller, customer, product and grade is.
struct Habits {
    sellers: Weighted,
    customers: Weighted,
    products: Weighted,
    quantities: Weighted,
    discounts: Weighted,
    methods: Weighted,
    carriers: Weighted,
    /// By quality of the product: how many of one star to five it gets.
    ratings: [Weighted; 3],
}

impl Habits {
    fn new(shop: &Shop, random: &mut Random) -> Self {
        let sellers: Vec<u64> = shop.sellers.iter().map(|_| 3 + random.below(8)).collect();
        // One customer in six only ever looked around; a few come back all the time.
        let customers: Vec<u64> = shop.customers.iter().map(|_| *random.pick(&[0, 3, 4, 5, 7, 12])).collect();
        // A handful of products never found a buyer.
        let products: Vec<u64> =
            shop.products.iter().map(|_| if random.chance(3) { 0 } else { 1 + random.below(12) }).collect();
        Self {
            sellers: Weighted::new(sellers),
            customers: Weighted::new(customers),
            products: Weighted::new(products),
            quantities: Weighted::new([62, 20, 9, 5, 3, 1]),
            discounts: Weighted::new([70, 11, 10, 6, 3]),
            methods: Weighted::new([45, 30, 15, 10]),
            carriers: Weighted::new([40, 18, 7, 14, 21]),
            ratings: [
                Weighted::new([16, 20, 26, 24, 14]),
                Weighted::new([4, 7, 15, 36, 38]),
                Weighted::new([2, 3, 8, 31, 56]),
            ],
        }
    }
}

/// What became of an order, as far as it has come by the last day.
struct Course {
    status: &'static str,
    method: &'static str,
    paid: Option<i64>,
    shipped: Option<i64>,
    delivered: Option<i64>,
}

struct Item<'a> {
    product: &'a Product,
    quantity: i64,
    unit_cents: i64,
    discount_percent: i64,
}

impl Item<'_> {
    /// Rounded half up to whole cents, as an invoice does line by line.
    fn cents(&self) -> i64 {
        (self.quantity * self.unit_cents * (100 - self.discount_percent) + 50) / 100
    }
}

/// Writes all orders in order of their day, each with everything that follows from it.
pub(super) fn write(table: &mut Writer, random: &mut Random, shop: &Shop) -> Result<(), rusqlite::Error> {
    let habits = Habits::new(shop, random);
    let demand = demand();
    let mut days: Vec<i64> = (0..ORDERS).map(|_| demand.pick(random) as i64).collect();
    days.sort_unstable();

    let mut next_ids = NextIds { payment: 1, shipment: 1, review: 1 };
    for (order_id, day) in (1_i64..).zip(days) {
        let signed_up = shop.customers.partition_point(|customer| customer.signup_day <= day);
        let customer = &shop.customers[habits.customers.pick_among_first(signed_up, random)];
        let course = course(&habits, random, day);
        let items = basket(shop, &habits, random, day);

        let seller = random.chance(30).then(|| shop.sellers[habits.sellers.pick(random)]);
        let note = random.chance(8).then(|| *random.pick(&ORDER_NOTES));
        table.insert(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                order_id,
                customer.id,
                seller,
                random.pick(&customer.address_ids),
                iso_date(day),
                course.status,
                note
            ],
        )?;
        write_items(table, order_id, &items)?;
        write_payments(table, random, &mut next_ids, order_id, &course, &items)?;
        write_shipment(table, random, &habits, &mut next_ids, order_id, &course)?;
        write_reviews(table, random, &habits, &mut next_ids, customer.id, &course, &items)?;
    }
    Ok(())
}

/// The next free primary keys.
struct NextIds {
    payment: i64,
    shipment: i64,
    review: i64,
}

/// Hands out a key and moves on to the next.
fn take(next_id: &mut i64) -> i64 {
    *next_id += 1;
    *next_id - 1
}

fn course(habits: &Habits, random: &mut Random, day: i64) -> Course {
    let method = PAYMENT_METHODS[habits.methods.pick(random)];
    let stopped = |status| Course { status, method, paid: None, shipped: None, delivered: None };
    match random.below(100) {
        0..6 => return stopped("cancelled"),
        6 => return stopped("pending"), // The customer never paid.
        _ => {}
    }
    let paid = day + if method == "Bank Transfer" { random.between(1, 4) } else { 0 };
    let shipped = paid + random.between(0, 3);
    let delivered = shipped + random.between(1, 6);
    let lost = random.chance(2);
    if paid > LAST_DAY {
        return stopped("pending");
    }
    let paid = Some(paid);
    if shipped > LAST_DAY {
        return Course { status: "processing", method, paid, shipped: None, delivered: None };
    }
    let shipped = Some(shipped);
    if lost || delivered > LAST_DAY {
        return Course { status: "shipped", method, paid, shipped, delivered: None };
    }
    let status = if random.chance(4) { "returned" } else { "delivered" };
    Course { status, method, paid, shipped, delivered: Some(delivered) }
}

/// One to five different products that are on sale on that day.
fn basket<'a>(shop: &'a Shop, habits: &Habits, random: &mut Random, day: i64) -> Vec<Item<'a>> {
    let on_sale = shop.products.partition_point(|product| product.launch_day <= day);
    let mut items: Vec<Item> = Vec::new();
    for _ in 0..*random.pick(&[1, 1, 1, 2, 2, 3, 3, 4, 5]) {
        let product = &shop.products[habits.products.pick_among_first(on_sale, random)];
        let quantity = if product.price_cents > 15_000 { 1 } else { habits.quantities.pick(random) as i64 + 1 };
        let discount_percent = [0, 5, 10, 15, 20][habits.discounts.pick(random)];
        if items.iter().all(|item| item.product.id != product.id) {
            items.push(Item { product, quantity, unit_cents: price_on(product, day), discount_percent });
        }
    }
    items
}

/// Prices went up every January; the catalogue shows those of 2025.
fn price_on(product: &Product, day: i64) -> i64 {
    let percent = if day < new_year(2024) {
        94
    } else if day < new_year(2025) {
        97
    } else {
        100
    };
    product.price_cents * percent / 100
}

fn write_items(table: &mut Writer, order_id: i64, items: &[Item]) -> Result<(), rusqlite::Error> {
    for item in items {
        let (unit_price, discount) = (euros(item.unit_cents), item.discount_percent as f64 / 100.0);
        table.insert(
            "INSERT INTO order_items VALUES (?, ?, ?, ?, ?)",
            params![order_id, item.product.id, item.quantity, unit_price, discount],
        )?;
    }
    Ok(())
}

/// One payment for the whole order, or a gift card and one for the rest.
fn write_payments(
    table: &mut Writer,
    random: &mut Random,
    next_ids: &mut NextIds,
    order_id: i64,
    course: &Course,
    items: &[Item],
) -> Result<(), rusqlite::Error> {
    const INSERT: &str = "INSERT INTO payments VALUES (?, ?, ?, ?, ?)";
    let Some(day) = course.paid else { return Ok(()) };
    let mut rest: i64 = items.iter().map(Item::cents).sum();
    let gift_card = *random.pick(&[1_000, 2_500, 5_000]);
    if rest > gift_card && random.chance(5) {
        rest -= gift_card;
        let paid_at = iso_timestamp(day, random);
        table.insert(INSERT, params![take(&mut next_ids.payment), order_id, "Gift Card", euros(gift_card), paid_at])?;
    }
    let paid_at = iso_timestamp(day, random);
    table.insert(INSERT, params![take(&mut next_ids.payment), order_id, course.method, euros(rest), paid_at])
}

fn write_shipment(
    table: &mut Writer,
    random: &mut Random,
    habits: &Habits,
    next_ids: &mut NextIds,
    order_id: i64,
    course: &Course,
) -> Result<(), rusqlite::Error> {
    let Some(shipped) = course.shipped else { return Ok(()) };
    let id = take(&mut next_ids.shipment);
    let carrier = CARRIERS[habits.carriers.pick(random)];
    // The key inside keeps tracking numbers apart.
    let tracking_number = format!("{}{id:06}", random.fill("@@####"));
    let shipped_at = iso_timestamp(shipped, random);
    let delivered_at = course.delivered.map(|day| iso_timestamp(day, random));
    table.insert(
        "INSERT INTO shipments VALUES (?, ?, ?, ?, ?, ?)",
        params![id, order_id, carrier, tracking_number, shipped_at, delivered_at],
    )
}

/// Some of those who received something say what they think, within a month.
fn write_reviews(
    table: &mut Writer,
    random: &mut Random,
    habits: &Habits,
    next_ids: &mut NextIds,
    customer_id: i64,
    course: &Course,
    items: &[Item],
) -> Result<(), rusqlite::Error> {
    let Some(delivered) = course.delivered else { return Ok(()) };
    for item in items {
        let day = delivered + random.between(1, 30);
        if !random.chance(24) || day > LAST_DAY {
            continue;
        }
        // Quality is a trait of the product: every sixth is poor, every third excellent.
        let quality = [0, 1, 2, 1, 1, 2][(item.product.id % 6) as usize];
        let stars = habits.ratings[quality].pick(random);
        let comment = random.chance(65).then(|| *random.pick(COMMENTS[stars]));
        table.insert(
            "INSERT INTO reviews VALUES (?, ?, ?, ?, ?, ?)",
            params![
                take(&mut next_ids.review),
                item.product.id,
                customer_id,
                stars as i64 + 1,
                comment,
                iso_timestamp(day, random)
            ],
        )?;
    }
    Ok(())
}
