// What the browser tests share: a real Chromium on a real server, and talking with the test that started them.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
export const AXE = require.resolve("axe-core/axe.min.js");

/** Longest any condition is waited for, in milliseconds. */
const PATIENCE = 60_000;
const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export const [, , base, ...args] = process.argv;

/** Says a word to the test. */
export function say(word) {
  console.log(`@${word}`);
}

const heard = [];
let listener;
createInterface({ input: process.stdin })
  .on("line", (line) => (listener ? listener(line) : heard.push(line)))
  .on("close", () => process.exit(3));

/** Waits for a word of the test. */
export async function hear(word) {
  const line = heard.shift() ?? (await new Promise((resolve) => (listener = resolve)));
  listener = undefined;
  assert.equal(line, word);
}

/** Typing over coloured text, Chromium tries to keep its colour by a style attribute; the policy forbids it. */
const STYLE_OF_TYPED_TEXT = /^Applying inline style violates/;

/**
 * Runs a test in a browser. Whatever the page logs as an error, any script that runs uninvited, and any dialog of the
 * browser's own fail it; `tolerated` names errors that the test provokes.
 */
export async function inBrowser(options, test) {
  const { tolerated = /^$/, ...context } = options;
  const executablePath = process.env.PULSE_TEST_CHROMIUM ?? PLACES.find(existsSync);
  assert(executablePath, "Chromium is missing: run scripts/test");
  const browser = await chromium.launch({
    executablePath,
    // Chromium has no sandbox for root, and little shared memory in containers.
    args: [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), "--disable-dev-shm-usage", "--disable-gpu"],
  });
  const errors = [];
  let page;
  try {
    const opened = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, ...context });
    opened.setDefaultTimeout(PATIENCE);
    await opened.grantPermissions(["clipboard-read", "clipboard-write"]);
    opened.on("page", (page) => {
      page.on("pageerror", (error) => errors.push(error.message));
      page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
      page.on("dialog", (dialog) => {
        errors.push(`a dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
    });
    page = await opened.newPage();
    await test(page, opened);
    assert.equal(await page.evaluate(() => globalThis.pwned), undefined, "a script from the database ran");
    assert.deepEqual(errors.filter((error) => !tolerated.test(error) && !STYLE_OF_TYPED_TEXT.test(error)), []);
  } catch (error) {
    console.error(error);
    console.error("errors of the page:", errors);
    if (page) console.error("shown:", (await page.locator("body").innerText().catch(() => "nothing")).slice(0, 4000));
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
  process.exit();
}

/** Waits until something holds; what it returns, or the last error when it never does. */
export async function eventually(check) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    try {
      const value = await check();
      if (value !== false) return value;
      throw new Error("it never holds");
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Waits until a text is in sight. */
export async function sees(page, text) {
  await page.getByText(text).first().waitFor();
}

/** The card of a step, in a state such as `running`. */
export function card(page, step, state = "") {
  return page.locator(`.step${state && `.${state}`}[data-step="${step}"]`);
}

/** Asks a question on the page for questions. */
export async function ask(page, question) {
  const box = page.getByRole("textbox", { name: "Ask a question in plain words" });
  await box.fill(question);
  await box.press("Control+Enter");
  await page.waitForURL(/\/runs\//);
}

/** Writes SQL into an editor, instead of what it holds. */
export async function write(page, label, sql) {
  const editor = page.getByLabel(label);
  await editor.click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(sql);
}

/** What a download holds. */
export async function downloaded(page, format) {
  const coming = page.waitForEvent("download");
  await page.locator(".menu > summary", { hasText: "Download" }).click();
  await page.getByRole("button", { name: format, exact: true }).click();
  const chunks = [];
  for await (const chunk of await (await coming).createReadStream()) chunks.push(chunk);
  return Buffer.concat(chunks);
}
