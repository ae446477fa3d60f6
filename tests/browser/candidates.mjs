// Several candidates are cards of their own, and the answer says how many agree.

import assert from "node:assert/strict";
import { args, ask, base, card, inBrowser, sees } from "./browser.mjs";

await inBrowser({}, async (page) => {
  await page.goto(base);
  await page.getByText("Options").click();
  await page.getByLabel("Candidates").selectOption({ label: "three" });
  await ask(page, args[0]);
  await sees(page, "How this was answered");
  await page.getByText(/\d+ steps/).click();
  for (const step of ["composer", "validator"]) assert.equal(await card(page, step).count(), 3, step);
  assert.match(await card(page, "composer").nth(1).innerText(), /candidate 2/);
  assert.match(await card(page, "execution").innerText(), /Candidates 2, 3 of 3 agree/);
  await page.getByText("How this was answered").click();
  await sees(page, "2 of 3 candidates have these rows (2 and 3)");
});
