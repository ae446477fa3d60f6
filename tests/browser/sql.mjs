// SQL of one's own: results of every size and type, errors with their place, and nothing from a database as HTML.

import assert from "node:assert/strict";
import { base, downloaded, eventually, inBrowser, sees, write } from "./browser.mjs";

const EDITOR = "SQL statement";

async function run(page, sql) {
  await write(page, EDITOR, sql);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+Enter");
}

await inBrowser({}, async (page) => {
  await page.goto(`${base}/sql`);
  await page.getByLabel(EDITOR).waitFor();

  // Completion knows the schema.
  await page.getByLabel(EDITOR).click();
  await page.keyboard.type("SELECT * FROM man");
  await page.getByRole("option", { name: /many/ }).first().waitFor();
  // Running closes it; the text outlives a reload.
  await page.keyboard.press("Control+Enter");
  await page.getByRole("option", { name: /many/ }).first().waitFor({ state: "detached" });
  await page.getByRole("alert").waitFor();
  await page.reload();
  await eventually(async () => (await page.getByLabel(EDITOR).innerText()) === "SELECT * FROM man");
  // Tab belongs to the editor until Escape lets it go.
  const within = () => page.evaluate(() => Boolean(document.activeElement?.shadowRoot));
  await page.getByLabel(EDITOR).click();
  await sees(page, "Escape, then Tab leaves the editor.");
  await page.keyboard.press("Tab");
  assert(await within(), "Tab indents");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  assert(!(await within()), "Escape and Tab lead out");

  // An error names its place.
  await run(page, "SELECT n\nFROM many\nWHERE nowhere = 1");
  await page.getByRole("alert").waitFor();
  assert.match(await page.getByRole("alert").innerText(), /nowhere[^]*SQL_FAILED/);
  // The guard's refusal names its rule and place.
  await run(page, "SELECT n FROM many;\nDELETE FROM many");
  await eventually(async () => assert.match(await page.getByRole("alert").innerText(), /Line 2[^]*SQL_NOT_ALLOWED|SQL_NOT_UNDERSTOOD/));
  // What would be refused is told without running it.
  await page.getByRole("button", { name: "Check" }).click();
  await sees(page, "It would be refused.");

  // 100,000 rows arrive, are sorted and scrolled; only those in sight exist.
  await run(page, "SELECT n, 'row ' || n AS name FROM many");
  await sees(page, "100,000 rows");
  const grid = page.getByRole("grid", { name: "Result" });
  await page.getByRole("button", { name: "n", exact: true }).click();
  await page.getByRole("button", { name: "n", exact: true }).click();
  await page.getByRole("gridcell", { name: "100000", exact: true }).waitFor();
  assert((await page.getByRole("row").count()) < 100, "only the rows in sight exist");
  await grid.press("Control+End");
  await page.getByRole("gridcell", { name: "row 1", exact: true }).waitFor();
  await grid.press("Control+c");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "1");
  const longest = await page.evaluate(async () => {
    const grid = document.querySelector(".grid");
    let longest = 0;
    let before = performance.now();
    for (let step = 0; step < 60; step += 1) {
      grid.scrollTop = (grid.scrollHeight * step) / 60;
      await new Promise(requestAnimationFrame);
      longest = Math.max(longest, performance.now() - before);
      before = performance.now();
    }
    return longest;
  });
  console.log(`measure: ${longest.toFixed(0)} ms for the longest frame while 100,000 rows scroll`);
  assert.equal((await downloaded(page, "CSV")).toString().split("\r\n").length, 100_002);

  // A statement that would run for years ends when it is told to.
  await run(page, "SELECT count(*) FROM many AS a, many AS b, many AS c");
  await page.getByRole("button", { name: "Stop" }).click();
  await sees(page, "Stopped.");

  // Types, NULL apart from empty, and scripts that stay text.
  await run(page, 'SELECT * FROM "<img src=x onerror=pwned=1>"');
  await page.getByRole("gridcell", { name: "<script>pwned=1</script>" }).waitFor();
  assert.equal(await page.locator(".null").count(), 1);
  assert.equal(await page.locator(".empty-mark").count(), 1);
  await page.getByRole("gridcell", { name: "9223372036854775807" }).waitFor();
  await page.getByRole("gridcell", { name: "<script>pwned=1</script>" }).dblclick();
  await page.getByRole("dialog").getByText("<script>pwned=1</script>").last().waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();

  // What was run is remembered in this browser.
  await page.getByText(/statements run in this browser/).click();
  await page.getByText("FROM many AS a").click();
  await eventually(async () => /many AS a/.test(await page.getByLabel(EDITOR).innerText()));

  // The same names in the schema, its diagram, and a question.
  await page.getByRole("link", { name: "Connections" }).click();
  await page.locator(".connection").first().click();
  await page.getByRole("button", { name: /<img/ }).first().click();
  await page.getByRole("heading", { name: "<img src=x onerror=pwned=1>" }).waitFor();
  await page.getByRole("button", { name: "Diagram" }).click();
  await page.locator(".diagram").getByRole("button", { name: /^<img/ }).waitFor();
  await page.getByRole("link", { name: "Ask" }).first().click();
  await page.getByRole("textbox").fill("<img src=x onerror=pwned=1>");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "<img src=x onerror=pwned=1>" }).waitFor();
  await page.getByRole("alert").first().waitFor();
});
