// A question, its steps, its answer, and everything that can be done with it, by the builtin engine.

import assert from "node:assert/strict";
import { ask, base, card, downloaded, eventually, inBrowser, sees, write } from "./browser.mjs";

await inBrowser({}, async (page) => {
  await page.goto(base);
  const paint = await eventually(() => page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? false));
  console.log(`measure: ${paint.toFixed(0)} ms to the first paint`);
  // The examples are made of this database's tables.
  const examples = page.getByRole("group", { name: "Examples that fit this database" }).getByRole("button");
  await examples.first().waitFor();
  assert(/orders|customers|products/.test((await examples.allInnerTexts()).join()), "examples name tables");

  await ask(page, "How many orders were placed in each month of 2025?");
  await sees(page, "How this was answered");
  await page.getByText("6 steps").click();
  for (const step of ["load_schema", "planner", "mapper", "composer", "validator", "execution"]) {
    assert.equal(await card(page, step, "done").count(), 1, step);
  }
  // What an agent found is told in words; the message is below.
  await card(page, "mapper").getByRole("button").click();
  await eventually(async () => assert.match(await card(page, "mapper").innerText(), /orders\.order_date/));
  await card(page, "validator").getByRole("button").click();
  await sees(page, "Only reads what it may: passed");

  // Months make a line; the switch shows the same otherwise.
  const chart = page.getByRole("img", { name: /chart/ });
  await chart.waitFor();
  assert.match(await chart.getAttribute("aria-label"), /^line chart .* 12 points$/);
  for (const view of ["Area", "Bar", "Scatter"]) {
    await page.getByRole("button", { name: view, exact: true }).click();
    await eventually(async () => (await chart.getAttribute("aria-label")).startsWith(view.toLowerCase()));
  }
  await page.getByRole("button", { name: "Table", exact: true }).click();
  await page.getByRole("grid", { name: "Result" }).waitFor();
  assert.equal(await page.getByRole("gridcell").count(), 24);

  // Downloads run the whole SQL again.
  const csv = (await downloaded(page, "CSV")).toString().split("\r\n");
  assert.deepEqual([csv.length, csv[1]?.endsWith("2025-01")], [14, true], csv.join("\n"));
  const json = JSON.parse((await downloaded(page, "JSON")).toString());
  assert.equal(json.length, 12);
  assert.equal(typeof Object.values(json[0])[0], "number");
  assert.equal((await downloaded(page, "Arrow")).readInt32LE(0), -1, "an Arrow stream begins with a continuation");

  // The receipt says where everything came from.
  await page.getByText("How this was answered").click();
  const receipt = page.locator(".receipt");
  assert.match(await receipt.innerText(), /Tables\s+orders[^]*order_date[^]*built-in engine/);

  // The same call for a shell.
  await page.getByRole("button", { name: "Copy as grpcurl" }).first().click();
  await sees(page, "Copied");
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(command, /^grpcurl -plaintext -d '\{"question":"How many orders.*RunWorkflow$/);

  // The SQL can be changed and run.
  await write(page, "SQL of this answer", "SELECT status, count(*) AS n, '' AS blank, NULL AS missing FROM orders GROUP BY status");
  await page.getByRole("button", { name: "Run my version" }).click();
  const second = page.locator(".sql-card .result");
  await second.waitFor();
  await second.getByRole("button", { name: "Table", exact: true }).click();
  await second.getByRole("gridcell", { name: "delivered", exact: true }).waitFor();
  assert.equal(await second.locator(".null").first().innerText(), "NULL");
  assert.equal(await second.locator(".empty-mark").first().innerText(), "empty");

  // The run has an address of its own, and is in the history.
  const address = page.url();
  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("searchbox", { name: "Search questions" }).fill("EACH MONTH");
  await eventually(async () => (await page.locator(".run-question").count()) === 1);
  await page.getByRole("searchbox", { name: "Search questions" }).fill("nobody asked this");
  await sees(page, "No questions.");
  await page.getByRole("searchbox", { name: "Search questions" }).fill("Month OF");
  await page.locator(".run-link").click();
  await page.waitForURL(address);
  await sees(page, "How this was answered");

  // A result that was cut says so, and where all of it is.
  await page.getByRole("link", { name: "Ask", exact: true }).click();
  await ask(page, "Which customers have no orders?");
  await sees(page, "Only the first 200 rows are shown");
  // Whoever counts, counts the same.
  assert.match(await page.locator(".answer-text").innerText(), /637 rows/);
  assert.match(await page.locator(".result-count").innerText(), /^200 of 637 rows/);
  await page.getByText("6 steps").click();
  assert.match(await card(page, "execution").innerText(), /(?<!at least )637 rows in/);
  await page.getByRole("link", { name: "Read all of them" }).click();
  await sees(page, "637 rows");
  await eventually(async () => /NOT|LEFT|EXCEPT/i.test(await page.getByLabel("SQL statement").innerText()));

  // A question that cannot be answered says why.
  await page.getByRole("link", { name: "Ask", exact: true }).click();
  await ask(page, "Blue yonder wherefore?");
  await page.getByRole("alert").first().waitFor();
  assert.match(await page.getByRole("alert").first().innerText(), /QUESTION_NOT_UNDERSTOOD/);
  await page.getByRole("link", { name: "Ask again, changed" }).click();
  assert.equal(await page.getByRole("textbox").first().inputValue(), "Blue yonder wherefore?");

  // From the click to the first card, without network between.
  const times = [];
  for (let round = 0; round < 5; round += 1) {
    await page.goto(base);
    await page.getByRole("textbox").fill("How many customers are there?");
    await page.evaluate(() => {
      globalThis.clicked = undefined;
      globalThis.took = new Promise((resolve) => {
        addEventListener("click", () => (globalThis.clicked = performance.now()), { capture: true, once: true });
        new MutationObserver((_, observer) => {
          if (!document.querySelector(".step") || globalThis.clicked === undefined) return;
          observer.disconnect();
          resolve(performance.now() - globalThis.clicked);
        }).observe(document.body, { childList: true, subtree: true });
      });
    });
    await page.getByRole("button", { name: "Ask" }).last().click();
    times.push(await page.evaluate(() => globalThis.took));
  }
  times.sort((a, b) => a - b);
  console.log(`measure: ${times[2].toFixed(0)} ms from click to the first step card (median of ${times.length})`);
});
