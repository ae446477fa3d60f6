// Stop reaches the statement that runs.

import { args, ask, base, card, inBrowser, sees } from "./browser.mjs";

await inBrowser({}, async (page) => {
  await page.goto(base);
  await ask(page, args[0]);
  await card(page, "execution", "running").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await sees(page, "Stopped: stopped in the browser.");
  await page.locator(".run-facts .badge", { hasText: "cancelled" }).waitFor();
});
