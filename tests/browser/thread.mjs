// Questions that follow others up, in one thread.

import assert from "node:assert/strict";
import { args, ask, base, inBrowser, sees } from "./browser.mjs";

const [first, ...more] = args;

await inBrowser({}, async (page) => {
  await page.goto(base);
  await ask(page, first);
  await sees(page, "How this was answered");
  for (const question of more) {
    const before = page.url();
    await page.getByRole("textbox", { name: "Ask a follow-up question" }).fill(question);
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => url.href !== before);
    await page.getByRole("heading", { name: question }).waitFor();
    await sees(page, "How this was answered");
  }
  const thread = page.getByRole("list", { name: "Earlier in this thread" });
  assert.deepEqual(await thread.getByRole("link").allInnerTexts(), [first, ...more.slice(0, -1)]);

  // The thread leads back; what was deleted is left out of it.
  await thread.getByRole("link", { name: first }).click();
  await page.getByRole("heading", { name: first }).waitFor();
  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("button", { name: `Delete “${first}”` }).click();
  await page.getByRole("link", { name: first }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: new RegExp(more.at(-1).replace("?", "")) }).click();
  await page.getByRole("heading", { name: more.at(-1) }).waitFor();
  if (more.length < 2) return;
  await thread.getByRole("link").last().waitFor();
  assert.deepEqual(await thread.getByRole("link").allInnerTexts(), more.slice(0, -1));
});
