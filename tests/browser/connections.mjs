// Connections: made, tested, looked at, changed, deleted.

import assert from "node:assert/strict";
import { args, base, eventually, inBrowser, sees } from "./browser.mjs";

const [closedPort] = args;

await inBrowser({}, async (page) => {
  await page.goto(base);
  await sees(page, "No database is connected yet.");
  await page.getByRole("link", { name: "Connect a database" }).click();

  // By URL, to a port where nothing listens: the reason, without the password.
  await page.getByLabel("URL", { exact: true }).fill(`postgres://reader:hunter2@127.0.0.1:${closedPort}/shop`);
  await page.getByRole("button", { name: "Test", exact: true }).click();
  await sees(page, "It does not work: refused.");
  await page.getByRole("button", { name: "Connect", exact: true }).click();
  await page.getByRole("alert").waitFor();
  assert.match(await page.getByRole("alert").innerText(), /TARGET_UNAVAILABLE/);
  assert(!(await page.locator("main").innerText()).includes("hunter2"));

  // A bad field is named beside the field.
  await page.getByRole("button", { name: "By fields" }).click();
  await page.getByRole("button", { name: "Connect", exact: true }).click();
  await page.locator(".field.wrong", { hasText: "User" }).waitFor();

  // By fields, to a file.
  await page.getByLabel("System", { exact: true }).selectOption({ label: "SQLite" });
  await page.getByLabel("File", { exact: true }).fill("nowhere.sqlite");
  await page.getByRole("button", { name: "Test", exact: true }).click();
  await sees(page, "It does not work: file not found.");
  await page.getByLabel("File", { exact: true }).fill("shop.sqlite");
  await page.getByRole("button", { name: "Test", exact: true }).click();
  await sees(page, "It works.");
  await page.getByRole("button", { name: "Connect", exact: true }).click();
  await page.getByRole("heading", { name: "shop is connected" }).waitFor();
  await page.getByRole("link", { name: "Look at its tables" }).click();

  // Tables, columns, keys, and the way along a reference.
  await page.locator(".page-head .badge", { hasText: "read only" }).waitFor();
  const tables = page.getByRole("navigation", { name: "Tables" });
  await tables.getByRole("button", { name: /^orders/ }).click();
  await page.getByRole("button", { name: "→ customers.id" }).click();
  await page.getByRole("heading", { name: "customers" }).waitFor();
  await page.getByRole("searchbox").fill("customer_id");
  await eventually(async () => (await tables.getByRole("button").count()) === 1);
  await page.getByRole("searchbox").fill("");
  await page.getByRole("button", { name: "Diagram" }).click();
  await page.locator(".diagram").getByRole("button", { name: /^orders/ }).press("Enter");
  await page.getByRole("heading", { name: "orders" }).waitFor();
  assert.equal(await page.locator(".edge").count(), 1);

  // Changed, with the test that goes with it.
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("Name", { exact: true }).fill("till");
  await page.getByLabel("Statements may", { exact: true }).selectOption({ label: "read, and write where asked to" });
  await page.getByRole("button", { name: "Save changes" }).click();
  await page.getByRole("heading", { name: "till" }).waitFor();
  await page.locator(".page-head .badge", { hasText: "read write" }).waitFor();
  await page.getByRole("button", { name: "Test", exact: true }).click();
  await sees(page, /It works\..*SQLite/);

  // A write says what it changed.
  await page.locator(".page-head").getByRole("link", { name: "SQL" }).click();
  await page.getByLabel("SQL statement").click();
  await page.keyboard.insertText("UPDATE customers SET name = 'Ada' WHERE id = 1");
  await page.getByLabel("Let it write").check();
  await page.getByRole("button", { name: /^Run/ }).click();
  await sees(page, "1 row changed");

  // Deleted, once it is meant.
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Connections" }).click();
  await page.getByRole("link", { name: /till/ }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Keep" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await sees(page, "No database is connected yet.");
});
