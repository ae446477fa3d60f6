// The server that a run was watched at dies; the page goes on at another one.

import assert from "node:assert/strict";
import { args, ask, base, card, hear, inBrowser, say, sees } from "./browser.mjs";

await inBrowser({ tolerated: /net::ERR_|status of 503/ }, async (page) => {
  await page.goto(base);
  await ask(page, args[0]);
  await card(page, "composer", "running").waitFor();
  say("running");
  await hear("killed");
  await sees(page, "How this was answered");
  await page.locator(".lost").waitFor({ state: "detached" });
  await page.getByText(/^\d+ steps$/).click();
  for (const step of ["planner", "mapper", "composer", "validator", "execution"]) {
    assert.equal(await card(page, step, "done").count(), 1, step);
  }
});
