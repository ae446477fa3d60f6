-- A small shop to ask about, and a user that may only read it.
USE shop;
CREATE TABLE customers (id int PRIMARY KEY, name varchar(80) NOT NULL, city varchar(80) NOT NULL, signed_up date NOT NULL);
CREATE TABLE products (id int PRIMARY KEY, name varchar(80) NOT NULL, category varchar(80) NOT NULL, price decimal(8, 2) NOT NULL);
CREATE TABLE orders (
    id int PRIMARY KEY,
    customer_id int NOT NULL,
    product_id int NOT NULL,
    quantity int NOT NULL,
    ordered_at timestamp NOT NULL,
    FOREIGN KEY (customer_id) REFERENCES customers (id),
    FOREIGN KEY (product_id) REFERENCES products (id)
);

SET SESSION time_zone = '+00:00';
INSERT INTO customers
WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 200)
SELECT n, CONCAT('Customer ', n), ELT(1 + n % 4, 'Berlin', 'Lisbon', 'Oslo', 'Vienna'), DATE_ADD('2024-01-01', INTERVAL n * 3 DAY)
FROM n;
INSERT INTO products VALUES
    (1, 'Kettle', 'Kitchen', 39.90), (2, 'Toaster', 'Kitchen', 54.50), (3, 'Lamp', 'Living room', 24.00),
    (4, 'Armchair', 'Living room', 349.00), (5, 'Desk', 'Office', 199.00), (6, 'Chair', 'Office', 129.00);
INSERT INTO orders
WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 10)
SELECT n * 200 - 200 + id, id, 1 + (id * 5 + n) % 6, 1 + id % 3, DATE_ADD('2024-06-01 08:00:00', INTERVAL (n * 200 + id) * 5 HOUR)
FROM n, customers;
ANALYZE TABLE customers, products, orders;

CREATE USER reader IDENTIFIED BY 'reader';
GRANT SELECT ON shop.* TO reader;
