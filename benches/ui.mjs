// What the page promises about its own speed, measured in a real Chromium on the real program: medians beside targets.
//
//   node benches/ui.mjs PROGRAM
//
// Run it with `scripts/bench ui`. It is no test: a number over its target is marked, nothing fails.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(new URL("../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [, , program] = process.argv;
const LOADS = 10;
const QUESTIONS = 20;
const SCROLLS = 5;
const FRAMES = 240;
/** 100,000 rows of eight columns: numbers, text, decimals, dates, and cells without a value. */
const ROWS = `SELECT a.*, b.id AS other, 'a longer text in row ' || a.id AS told, NULL AS missing
  FROM orders AS a CROSS JOIN (SELECT id FROM orders LIMIT 20) AS b LIMIT 100000`;

const folder = mkdtempSync(join(tmpdir(), "pulse-ui-"));
const port = await freePort();
const server = spawn(program, ["serve", "--demo", "--listen", `127.0.0.1:${port}`, "--data-dir", folder], { stdio: "ignore" });
const base = `http://127.0.0.1:${port}`;
const args = [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), "--disable-dev-shm-usage", "--disable-gpu"];
const browser = await chromium.launch({ executablePath: process.env.PULSE_TEST_CHROMIUM ?? "/usr/bin/chromium", args });
try {
  await ready();
  console.log(`${"measure".padEnd(44)} ${"median".padStart(12)} ${"worst".padStart(12)} ${"target".padStart(14)}`);
  row("first paint", await firstPaints(), 1000);
  row("click to the first step's card", await firstCards(), 150);
  await scrolls();
} finally {
  await browser.close();
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}

/** Each with an empty cache. */
async function firstPaints() {
  const took = [];
  for (let load = 0; load < LOADS; load += 1) {
    const page = await browser.newPage();
    await page.goto(base);
    await page.getByRole("textbox").waitFor();
    took.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
    await page.close();
  }
  return took;
}

/** From the click's own time until the card has been drawn. */
async function firstCards() {
  const page = await browser.newPage();
  const took = [];
  for (let question = 0; question < QUESTIONS; question += 1) {
    await page.goto(base);
    await page.getByRole("textbox").fill("How many orders were placed in each month of 2025?");
    const drawn = page.evaluate(
      () =>
        new Promise((resolve) => {
          let clicked;
          addEventListener("click", (event) => (clicked = event.timeStamp), { capture: true });
          new MutationObserver((_, observer) => {
            if (clicked === undefined || !document.querySelector(".step")) return;
            observer.disconnect();
            // The frame after the one that draws it has begun once it is drawn.
            requestAnimationFrame(() => requestAnimationFrame((now) => resolve(now - clicked)));
          }).observe(document.body, { childList: true, subtree: true });
        }),
    );
    await page.getByRole("button", { name: /^Ask/ }).click();
    took.push(await drawn);
  }
  await page.close();
  return took;
}

/** A large result, wheeled through and jumped through; the longest frame of each scroll. */
async function scrolls() {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(`${base}/sql`);
  const editor = page.getByLabel("SQL statement");
  await editor.click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(ROWS);
  await page.keyboard.press("Control+Enter");
  await page.getByText("100,000 rows").first().waitFor({ timeout: 120_000 });
  for (const [way, step] of [["slowly", 60], ["by pages", 600], ["in jumps", 28 * 100_000 / FRAMES]]) {
    const [longest, middle] = [[], []];
    for (let scroll = 0; scroll < SCROLLS; scroll += 1) {
      const frames = await page.evaluate(scrolled, [step, FRAMES]);
      assert.equal(frames.length, FRAMES);
      longest.push(Math.max(...frames));
      middle.push(median(frames));
    }
    row(`100,000 rows scroll ${way}: a frame`, middle);
    row(`100,000 rows scroll ${way}: the longest frame`, longest, 50);
  }
  await page.close();
}

/** Scrolls a step in each frame, and tells how long each frame took. Runs in the page. */
async function scrolled([step, frames]) {
  const grid = document.querySelector(".grid");
  const frame = () => new Promise(requestAnimationFrame);
  grid.scrollTop = 0;
  for (let rest = 0; rest < 10; rest += 1) await frame();
  const took = [];
  let before = await frame();
  for (let at = 0; at < frames; at += 1) {
    grid.scrollTop += step;
    const now = await frame();
    took.push(now - before);
    before = now;
  }
  return took;
}

async function ready() {
  for (let tries = 0; tries < 200; tries += 1) {
    const answer = await fetch(`${base}/health`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${program} does not serve`);
}

function row(what, took, target) {
  const [middle, worst] = [median(took), Math.max(...took)];
  const aim = target === undefined ? "" : `${middle <= target ? "" : "OVER "}${target} ms`;
  console.log(`${what.padEnd(44)} ${`${middle.toFixed(1)} ms`.padStart(12)} ${`${worst.toFixed(1)} ms`.padStart(12)} ${aim.padStart(14)}`);
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function freePort() {
  return new Promise((resolve) => {
    const listener = createServer().listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });
}
