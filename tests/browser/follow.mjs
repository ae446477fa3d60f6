// A run that waits for its model: reloaded, watched twice, then answered.

import assert from "node:assert/strict";
import { args, ask, base, card, eventually, hear, inBrowser, say, sees } from "./browser.mjs";

const [question] = args;

async function waitsForComposer(page) {
  await card(page, "mapper", "done").waitFor();
  await card(page, "composer", "running").waitFor();
}

await inBrowser({}, async (page, context) => {
  await page.goto(base);
  await ask(page, question);
  await waitsForComposer(page);
  // A running step's time passes.
  const time = card(page, "composer").locator(".step-time");
  const before = await time.innerText();
  await eventually(async () => (await time.innerText()) !== before);

  await page.reload();
  await waitsForComposer(page);
  const other = await context.newPage();
  await other.goto(page.url());
  await waitsForComposer(other);
  say("waiting");
  await hear("answered");

  const shown = [];
  for (const one of [page, other]) {
    await sees(one, "How this was answered");
    await one.getByText("6 steps").click();
    shown.push(await one.locator("main").innerText());
  }
  assert.equal(shown[0], shown[1], "the same run in two windows");
  assert.match(shown[0], /Tokens|tokens/);

});
