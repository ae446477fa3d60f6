// What a person thinks of an answer is kept, comes back, and can be changed.

import assert from "node:assert/strict";
import { ask, base, eventually, hear, inBrowser, say, sees } from "./browser.mjs";

await inBrowser({}, async (page) => {
  await page.goto(base);
  await ask(page, "How many customers are there?");
  const right = page.getByRole("button", { name: "Yes, it is right" });
  const wrong = page.getByRole("button", { name: "No, it is wrong" });
  await wrong.click();
  await sees(page, "Saved.");
  const comment = page.getByLabel("What is wrong (optional)");
  await comment.fill("Those of last year only.");
  const kept = page.waitForResponse(/RateWorkflow/);
  await comment.press("Enter");
  await (await kept).finished();

  await page.reload();
  await pressed(wrong);
  assert.equal(await comment.inputValue(), "Those of last year only.");
  await sees(page, "Saved.");

  await right.click();
  await pressed(right);
  assert.equal(await comment.count(), 0);
  await page.getByRole("button", { name: "Save as verified example" }).waitFor();
  say("rated");
  await hear("looked");

  async function pressed(thumb) {
    await eventually(async () => (await thumb.getAttribute("aria-pressed")) === "true");
  }
});
