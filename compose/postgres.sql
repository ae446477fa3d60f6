-- A small shop to ask about, and a user that may only read it.
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, city text NOT NULL, signed_up date NOT NULL);
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, category text NOT NULL, price numeric(8, 2) NOT NULL);
CREATE TABLE orders (
    id int PRIMARY KEY,
    customer_id int NOT NULL REFERENCES customers,
    product_id int NOT NULL REFERENCES products,
    quantity int NOT NULL,
    ordered_at timestamptz NOT NULL
);

INSERT INTO customers
SELECT n, 'Customer ' || n, (ARRAY['Berlin', 'Lisbon', 'Oslo', 'Vienna'])[1 + n % 4], DATE '2024-01-01' + n * 3
FROM generate_series(1, 200) AS n;
INSERT INTO products VALUES
    (1, 'Kettle', 'Kitchen', 39.90), (2, 'Toaster', 'Kitchen', 54.50), (3, 'Lamp', 'Living room', 24.00),
    (4, 'Armchair', 'Living room', 349.00), (5, 'Desk', 'Office', 199.00), (6, 'Chair', 'Office', 129.00);
INSERT INTO orders
SELECT n, 1 + n * 7 % 200, 1 + n * 5 % 6, 1 + n % 3, TIMESTAMPTZ '2024-06-01 08:00:00Z' + n * INTERVAL '5 hours'
FROM generate_series(1, 2000) AS n;
ANALYZE;

CREATE ROLE reader LOGIN PASSWORD 'reader';
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
