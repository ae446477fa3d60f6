// Statements that fall short are attempts of their own, each with its reason.

import assert from "node:assert/strict";
import { args, ask, base, card, inBrowser, sees } from "./browser.mjs";

await inBrowser({}, async (page) => {
  await page.goto(base);
  await ask(page, args[0]);
  await sees(page, "How this was answered");
  await page.getByText(/\d+ steps/).click();
  assert.equal(await card(page, "composer").count(), 2);
  assert.equal(await card(page, "validator", "rejected").count(), 1);
  const second = card(page, "composer").nth(1);
  assert.match(await second.innerText(), /Tried again: .*nickname[^]*attempt 2/);
  await card(page, "validator", "rejected").getByRole("button").click();
  await sees(page, "Tables and columns exist: failed");
  await page.getByText("How this was answered").click();
  await sees(page, "2 times");
});
