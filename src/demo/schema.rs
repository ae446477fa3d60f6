//! The shop's tables, in an order that satisfies their foreign keys.

/// Every table, parents before children.
pub(super) const TABLES: [&str; 11] = [
    "categories",
    "suppliers",
    "employees",
    "customers",
    "addresses",
    "products",
    "orders",
    "order_items",
    "payments",
    "shipments",
    "reviews",
];

/// Tables with their keys. Dates are ISO 8601 text, money is a number in euros rounded to cents.
pub(super) const CREATE_TABLES: &str = "
CREATE TABLE categories (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    parent_id   INTEGER REFERENCES categories (id)
);

CREATE TABLE suppliers (
    id            INTEGER PRIMARY KEY,
    company_name  TEXT NOT NULL UNIQUE,
    contact_name  TEXT NOT NULL,
    email         TEXT NOT NULL,
    phone         TEXT,
    city          TEXT NOT NULL,
    country       TEXT NOT NULL
);

CREATE TABLE employees (
    id          INTEGER PRIMARY KEY,
    first_name  TEXT NOT NULL,
    last_name   TEXT NOT NULL,
    email       TEXT NOT NULL UNIQUE,
    job_title   TEXT NOT NULL,
    department  TEXT NOT NULL,
    hire_date   DATE NOT NULL,
    manager_id  INTEGER REFERENCES employees (id)
);

CREATE TABLE customers (
    id           INTEGER PRIMARY KEY,
    first_name   TEXT NOT NULL,
    last_name    TEXT NOT NULL,
    email        TEXT NOT NULL UNIQUE,
    phone        TEXT,
    birth_date   DATE,
    signup_date  DATE NOT NULL,
    newsletter   BOOLEAN NOT NULL
);

CREATE TABLE addresses (
    id           INTEGER PRIMARY KEY,
    customer_id  INTEGER NOT NULL REFERENCES customers (id),
    type         TEXT NOT NULL CHECK (type IN ('home', 'work')),
    street       TEXT NOT NULL,
    postal_code  TEXT NOT NULL,
    city         TEXT NOT NULL,
    country      TEXT NOT NULL
);

CREATE TABLE products (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    category_id  INTEGER NOT NULL REFERENCES categories (id),
    supplier_id  INTEGER NOT NULL REFERENCES suppliers (id),
    price        DECIMAL(10,2) NOT NULL,
    stock        INTEGER NOT NULL,
    weight_kg    DECIMAL(6,2),
    launch_date  DATE NOT NULL
);

CREATE TABLE orders (
    id                   INTEGER PRIMARY KEY,
    customer_id          INTEGER NOT NULL REFERENCES customers (id),
    employee_id          INTEGER REFERENCES employees (id),
    shipping_address_id  INTEGER NOT NULL REFERENCES addresses (id),
    order_date           DATE NOT NULL,
    status               TEXT NOT NULL CHECK (status IN
        ('pending', 'processing', 'shipped', 'delivered', 'returned', 'cancelled')),
    note                 TEXT
);

CREATE TABLE order_items (
    order_id    INTEGER NOT NULL REFERENCES orders (id),
    product_id  INTEGER NOT NULL REFERENCES products (id),
    quantity    INTEGER NOT NULL,
    unit_price  DECIMAL(10,2) NOT NULL,
    discount    DECIMAL(4,2) NOT NULL,
    PRIMARY KEY (order_id, product_id)
);

CREATE TABLE payments (
    id        INTEGER PRIMARY KEY,
    order_id  INTEGER NOT NULL REFERENCES orders (id),
    method    TEXT NOT NULL,
    amount    DECIMAL(10,2) NOT NULL,
    paid_at   TIMESTAMP NOT NULL
);

CREATE TABLE shipments (
    id               INTEGER PRIMARY KEY,
    order_id         INTEGER NOT NULL UNIQUE REFERENCES orders (id),
    carrier          TEXT NOT NULL,
    tracking_number  TEXT NOT NULL UNIQUE,
    shipped_at       TIMESTAMP NOT NULL,
    delivered_at     TIMESTAMP
);

CREATE TABLE reviews (
    id           INTEGER PRIMARY KEY,
    product_id   INTEGER NOT NULL REFERENCES products (id),
    customer_id  INTEGER NOT NULL REFERENCES customers (id),
    rating       INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
    comment      TEXT,
    created_at   TIMESTAMP NOT NULL
);
";

/// An index for every foreign key that is not already the start of a key, and for the dates that
/// questions ask about most.
pub(super) const CREATE_INDEXES: &str = "
CREATE INDEX categories_parent_id ON categories (parent_id);
CREATE INDEX employees_manager_id ON employees (manager_id);
CREATE INDEX customers_signup_date ON customers (signup_date);
CREATE INDEX addresses_customer_id ON addresses (customer_id);
CREATE INDEX products_category_id ON products (category_id);
CREATE INDEX products_supplier_id ON products (supplier_id);
CREATE INDEX orders_customer_id ON orders (customer_id);
CREATE INDEX orders_employee_id ON orders (employee_id);
CREATE INDEX orders_shipping_address_id ON orders (shipping_address_id);
CREATE INDEX orders_order_date ON orders (order_date);
CREATE INDEX order_items_product_id ON order_items (product_id);
CREATE INDEX payments_order_id ON payments (order_id);
CREATE INDEX reviews_product_id ON reviews (product_id);
CREATE INDEX reviews_customer_id ON reviews (customer_id);
";
