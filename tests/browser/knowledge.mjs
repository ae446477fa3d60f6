// What people know of a database: written down, checked, used in an answer, verified by examples, and kept as a document.

import assert from "node:assert/strict";
import { ask, base, eventually, inBrowser, sees, write } from "./browser.mjs";

const COUNT = "How many customers are there?";

await inBrowser({}, async (page) => {
  await page.goto(`${base}/connections`);
  await page.locator(".connection").first().click();
  await page.getByRole("link", { name: "Knowledge" }).click();
  await page.getByRole("heading", { name: "What demo means" }).waitFor();
  const at = page.url();

  // What does not hold is refused with its place, and what was written stays.
  await page.getByLabel("Conventions").fill("Amounts are in euros.");
  await page.getByRole("button", { name: "Add a measure" }).click();
  const measure = page.getByRole("list", { name: "Measures" });
  await measure.getByLabel("Name").fill("revenue");
  await measure.getByLabel("Table").selectOption("order_items");
  await measure.getByLabel("How it is computed").fill("sum(nothing)");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("alert").waitFor();
  assert.match(await page.getByRole("alert").innerText(), /nothing/);
  await measure.getByLabel("How it is computed").fill("sum(unit_price * quantity)");
  await page.getByRole("combobox", { name: "Table", exact: true }).last().selectOption({ label: "customers" });
  await page.getByLabel("Other words for them, with commas between").fill("clients, patrons");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await sees(page, "Saved as it stands here.");

  // It outlives a reload, and answers use it.
  await page.reload();
  await eventually(async () => (await measure.getByLabel("How it is computed").inputValue()) === "sum(unit_price * quantity)");
  await page.goto(base);
  await ask(page, "What is the revenue?");
  await sees(page, "How this was answered");
  await page.getByText("How this was answered").click();
  await page.locator(".receipt").getByText(/revenue = sum\(unit_price \* quantity\)/).first().waitFor();

  // An answer that is right becomes an example; so does a correction of one that is not.
  await page.goto(base);
  await ask(page, COUNT);
  await page.getByRole("button", { name: "Yes, it is right" }).click();
  await page.getByRole("button", { name: "Save as verified example" }).click();
  await sees(page, "Saved. It guides questions like this one");
  await page.getByRole("button", { name: "No, it is wrong" }).click();
  await write(page, "SQL of this answer", "SELECT count(*) AS clients FROM customers");
  await page.getByRole("button", { name: "Run my version" }).click();
  await page.getByText("Is your version right?").waitFor();
  await page.getByRole("button", { name: "Save as verified example" }).click();
  await page.getByRole("status").filter({ hasText: "Saved." }).getByRole("link", { name: "all examples" }).click();

  const examples = page.getByRole("list", { name: "Examples", exact: true });
  await eventually(async () => (await examples.getByRole("listitem").count()) === 2);
  await examples.getByText("SELECT count(*) AS clients FROM customers").waitFor();
  await page.getByRole("button", { name: "Add an example" }).click();
  await page.getByLabel("Question", { exact: true }).fill("How many patrons are there?");
  await write(page, "SQL of the example", "DELETE FROM customers");
  await page.getByRole("button", { name: "Save the example" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await examples.getByRole("button", { name: `Delete the example “${COUNT}”` }).first().click();
  await eventually(async () => (await examples.getByRole("listitem").count()) === 1);

  // As one document: exported, changed, and read again.
  const coming = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export as YAML" }).click();
  const chunks = [];
  for await (const chunk of await (await coming).createReadStream()) chunks.push(chunk);
  const yaml = Buffer.concat(chunks).toString();
  assert.match(yaml, /revenue/);
  const choose = async (text) => {
    await page.getByLabel("YAML document").setInputFiles({ name: "k.yaml", mimeType: "application/yaml", buffer: Buffer.from(text) });
    await page.getByRole("dialog").getByRole("button", { name: "Import" }).click();
  };
  await choose("nonsense: true\n");
  await page.getByRole("dialog").getByRole("alert").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Keep" }).click();
  await choose(yaml.replace("euros", "francs"));
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await eventually(async () => (await page.getByLabel("Conventions").inputValue()) === "Amounts are in francs.");
  assert.equal(page.url(), at);
});
