// SQL that waits for a person: approved, changed until it runs, rejected; and the wait outlives a reload.

import assert from "node:assert/strict";
import { args, base, eventually, inBrowser, sees, write } from "./browser.mjs";

const [question] = args;

async function askFirst(page) {
  await page.goto(base);
  await page.getByText("Options").click();
  await page.getByLabel("Ask me before the SQL runs").check();
  await page.getByText("Options").click();
  await page.getByRole("textbox", { name: "Ask a question in plain words" }).fill(question);
  await page.getByRole("button", { name: /^Ask/ }).click();
  await page.getByRole("heading", { name: "May this run?" }).waitFor();
}

const status = (page, word) => page.locator(".run-facts .badge", { hasText: word }).waitFor();

await inBrowser({}, async (page, context) => {
  // Approved in another window than the one that asked; a reload in between.
  await askFirst(page);
  await status(page, "awaiting approval");
  await sees(page, /^Reads \w+/);
  await page.reload();
  await page.getByRole("heading", { name: "May this run?" }).waitFor();
  const other = await context.newPage();
  await other.goto(page.url());
  await other.getByRole("button", { name: "Approve" }).click();
  for (const one of [other, page]) {
    await status(one, "completed");
    await sees(one, "How this was answered");
    assert.equal(await one.getByRole("heading", { name: "May this run?" }).count(), 0);
  }
  await other.close();

  // Changed to what cannot run: said, and asked again with what was written; then to what can.
  await askFirst(page);
  await write(page, "SQL to approve", "SELECT nothing FROM customers");
  await page.getByRole("button", { name: "Run my version" }).click();
  await sees(page, /Your version did not run: .*nothing/);
  await eventually(async () => (await page.getByLabel("SQL to approve").innerText()) === "SELECT nothing FROM customers");
  await write(page, "SQL to approve", "SELECT 42 AS answer");
  await page.getByRole("button", { name: "Run my version" }).click();
  await status(page, "completed");
  await page.locator(".figures", { hasText: "42" }).waitFor();

  // Rejected, with the reason.
  await askFirst(page);
  await page.getByRole("button", { name: "Reject…" }).click();
  await page.getByLabel("Why it is rejected").fill("not today");
  await page.getByRole("button", { name: "Reject", exact: true }).click();
  await status(page, "cancelled");
  await sees(page, /Stopped.*not today/);
});
