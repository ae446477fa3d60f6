// A question that is asked back: answered by a button, and the run goes on from there.

import assert from "node:assert/strict";
import { args, ask, base, card, inBrowser, sees } from "./browser.mjs";

const [question, answer, outcome] = args;

await inBrowser({}, async (page) => {
  await page.goto(base);
  await ask(page, question);
  await page.locator(".run-facts .badge", { hasText: "awaiting input" }).waitFor();
  await page.reload();
  await page.locator(".choice", { hasText: answer }).click();
  await sees(page, "How this was answered");
  await page.getByText(/^\d+ steps$/).click();
  assert.equal(await card(page, "planner").count(), 2, "the planner planned again");
  await sees(page, outcome);
});
