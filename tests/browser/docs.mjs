// The contract in the page: read, followed from type to type, and tried.

import assert from "node:assert/strict";
import { base, eventually, inBrowser, sees } from "./browser.mjs";

/** What the call that is tried has answered. */
async function answered(page) {
  const text = await page.getByLabel("Answer").innerText();
  return text.split(/\n(?=\{)/).map((part) => JSON.parse(part));
}

async function send(page, request) {
  if (request) await page.getByRole("textbox", { name: "Try it" }).fill(JSON.stringify(request));
  await page.getByRole("button", { name: "Send" }).click();
}

await inBrowser({ tolerated: /status of 404/ }, async (page) => {
  await page.goto(`${base}/docs`);
  await page.getByRole("article").getByRole("link", { name: "ListConnections" }).click();
  await page.getByText("GET /api/v1/instances", { exact: true }).waitFor();
  await send(page);
  await sees(page, /^OK in /);
  const [{ connections }] = await answered(page);
  assert.equal(connections[0].name, "demo");

  // A type leads on to the next.
  await page.getByRole("link", { name: "ListConnectionsResponse" }).click();
  await page.getByRole("link", { name: "Connection", exact: true }).click();
  await page.getByRole("link", { name: "AccessMode" }).click();
  await sees(page, "ACCESS_MODE_READ_ONLY");

  // What is no request is not sent; what the server refuses is told with its code, reason and field.
  await page.getByRole("navigation", { name: "Calls" }).getByRole("link", { name: "GetConnection" }).click();
  await send(page, { idd: "x" });
  await sees(page, "This is no GetConnectionRequest: there is no field idd.");
  await send(page, { id: "x" });
  await sees(page, "INVALID_ARGUMENT");
  assert.match(await page.getByRole("alert").innerText(), /FIELD_INVALID/);

  // A stream comes message by message; the example names the connection that is there.
  await page.getByRole("navigation", { name: "Calls" }).getByRole("link", { name: "RunWorkflow" }).click();
  await eventually(async () => (await page.getByRole("textbox", { name: "Try it" }).inputValue()).includes(connections[0].id));
  await send(page);
  await sees(page, /^OK, \d+ messages in /);
  const events = await answered(page);
  assert.equal(events[0].event.sequence, "1");
  assert(events.at(-1).event.completed, JSON.stringify(events.at(-1)));
  await page.getByRole("button", { name: "Copy as grpcurl" }).click();
  await sees(page, "Copied");
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /RunWorkflow$/);

  // A reload comes back to the same place; what there is not is said in the page.
  await page.reload();
  await page.getByRole("heading", { name: "RunWorkflow", exact: true }).waitFor();
  await page.goto(`${base}/docs/Nothing`);
  await sees(page, "The contract has no Nothing");
  const response = await page.goto(`${base}/nowhere/at/all`);
  assert.equal(response.status(), 404);
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
});
