// The connection is lost and comes back; the page says so and goes on.

import { args, ask, base, card, hear, inBrowser, say, sees } from "./browser.mjs";

await inBrowser({ tolerated: /net::ERR_/ }, async (page) => {
  await page.goto(base);
  await ask(page, args[0]);
  await card(page, "composer", "running").waitFor();
  say("running");
  await hear("lost");
  await sees(page, "Connection lost");
  say("noticed");
  await hear("back");
  await sees(page, "How this was answered");
  await page.locator(".lost").waitFor({ state: "detached" });
});
