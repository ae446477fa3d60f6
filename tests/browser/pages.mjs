// Every page in light, dark and narrow: axe finds nothing serious, and a screenshot is kept of each.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { args, ask, AXE, base, inBrowser, sees } from "./browser.mjs";

const [folder] = args;
mkdirSync(folder, { recursive: true });

const MODES = {
  light: { colorScheme: "light", viewport: { width: 1280, height: 900 } },
  dark: { colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  narrow: { colorScheme: "light", viewport: { width: 360, height: 780 } },
  "narrow-dark": { colorScheme: "dark", viewport: { width: 360, height: 780 } },
};

// axe is put into the page from outside, which the page's own policy would forbid.
await inBrowser({ bypassCSP: true, tolerated: /status of 404/ }, async (page) => {
  await page.goto(base);
  await ask(page, "How many orders were placed in each month of 2025?");
  await sees(page, "How this was answered");
  const answered = page.url();
  await page.goto(base);
  await ask(page, "Blue yonder wherefore?");
  await page.getByRole("alert").first().waitFor();
  const failed = page.url();
  await page.goto(base);
  await page.getByText("Options").click();
  await page.getByLabel("Ask me before the SQL runs").check();
  await ask(page, "Which 5 products have the highest price?");
  await page.getByRole("heading", { name: "May this run?" }).waitFor();
  const waiting = page.url();
  await page.goto(`${base}/connections`);
  const connection = await page.locator(".connection").first().getAttribute("href");

  const pages = {
    ask: { at: "/", until: ".example" },
    run: { at: new URL(answered).pathname, until: ".receipt", open: ["6 steps", "How this was answered"] },
    failed: { at: new URL(failed).pathname, until: ".problem" },
    history: { at: "/history", until: ".run-link" },
    sql: { at: "/sql", until: ".editor .cm-content", act: runSql },
    connections: { at: "/connections", until: ".connection" },
    connection: { at: connection, until: ".columns" },
    diagram: { at: connection, until: ".columns", act: () => page.getByRole("button", { name: "Diagram" }).click() },
    knowledge: { at: `${connection}/knowledge`, until: ".column-meanings summary", act: addMeasure },
    approval: { at: new URL(waiting).pathname, until: ".awaiting .cm-content" },
    "new-connection": { at: "/connections/new", until: ".form", open: ["TLS, limits, what to hide"] },
    status: { at: "/status", until: ".databases .badge" },
    docs: { at: "/docs", until: ".contract" },
    call: { at: "/docs/WorkflowService/RunWorkflow", until: ".contract", act: send },
    reasons: { at: "/docs/types/ErrorReason", until: ".contract" },
    nowhere: { at: "/nowhere", until: ".nothing" },
  };
  for (const [mode, { colorScheme, viewport }] of Object.entries(MODES)) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(viewport);
    for (const [name, { at, until, open = [], act }] of Object.entries(pages)) {
      await page.goto(base + at);
      await page.locator(until).first().waitFor();
      for (const text of open) await page.getByText(text).first().click();
      await act?.();
      await page.evaluate(() => scrollTo(0, 0));
      await page.screenshot({ path: `${folder}/${name}-${mode}.png`, fullPage: true });
      const sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(sideways, 0, `${name} in ${mode} scrolls sideways`);
      const cut = await page.locator(".top nav a").evaluateAll((links) =>
        links.filter((link) => link.getBoundingClientRect().right > document.documentElement.clientWidth).map((link) => link.textContent));
      assert.deepEqual(cut, [], `links that are cut off in ${mode}`);
      await page.addScriptTag({ path: AXE });
      const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      const said = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).slice(0, 3).join(" ")}`);
      assert.deepEqual(said, [], `${name} in ${mode}`);
    }
  }

  async function addMeasure() {
    await page.getByRole("button", { name: "Add a measure" }).click();
    await page.locator(".column-meanings summary").first().click();
  }

  async function send() {
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByLabel("Answer").waitFor();
    await sees(page, /^OK, /);
  }

  async function runSql() {
    await page.getByLabel("SQL statement").click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText("SELECT * FROM orders");
    await page.keyboard.press("Control+Enter");
    await page.getByRole("grid").waitFor();
    await sees(page, "6,500 rows");
  }
});
