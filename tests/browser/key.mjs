// A server that wants a key: asked for, refused, taken, kept for this tab only.

import assert from "node:assert/strict";
import { args, ask, base, downloaded, inBrowser, sees } from "./browser.mjs";

const [key] = args;

await inBrowser({}, async (page, context) => {
  await page.goto(base);
  const dialog = page.getByRole("dialog");
  await dialog.getByText("This server asks for an API key").waitFor();
  await dialog.getByLabel("API key").fill("wrong");
  await dialog.getByRole("button", { name: "Go on" }).click();
  await sees(page, "The key that was entered is not accepted.");
  await dialog.getByLabel("API key").fill(key);
  await dialog.getByRole("button", { name: "Go on" }).click();
  await dialog.waitFor({ state: "detached" });
  await ask(page, "How many t are there?");
  await sees(page, "How this was answered");
  await page.getByRole("button", { name: "Table", exact: true }).click();
  assert.match((await downloaded(page, "CSV")).toString(), /\r\n1\r\n$/);

  // The command for a shell names a variable, not the key.
  await page.getByRole("button", { name: "Copy as grpcurl" }).first().click();
  await sees(page, "Copied");
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert(command.includes("$PULSE_API_KEY") && !command.includes(key), command);

  await page.reload();
  await sees(page, "How this was answered");
  const other = await context.newPage();
  await other.goto(base);
  await other.getByText("This server asks for an API key").waitFor();
});
