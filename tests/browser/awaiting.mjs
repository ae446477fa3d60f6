// A run that waits for a person, twice: for an answer and for an approval. Its events are given; what the page sends back
// is told to the test.

import { args, base, inBrowser, say, sees, write } from "./browser.mjs";

const frames = args.map((text) => Buffer.from(text, "hex"));
const END = Buffer.concat([Buffer.from([0x80, 0, 0, 0, 15]), Buffer.from("grpc-status:0\r\n")]);
const HEADERS = { "content-type": "application/grpc-web+proto" };

await inBrowser({ tolerated: /Failed to load resource/ }, async (page) => {
  // How many events there are so far, and how many the page has.
  let happened = 2;
  let told = 0;
  await page.route("**/WatchWorkflow", (route) => {
    const body = Buffer.concat(frames.slice(told, happened));
    told = happened;
    return route.fulfill({ headers: HEADERS, body: told === frames.length ? Buffer.concat([body, END]) : body });
  });
  await page.route("**/ResumeWorkflow", (route) => {
    console.log(`resume ${route.request().postDataBuffer().toString("hex")}`);
    happened += 2;
    return route.fulfill({ headers: HEADERS, body: Buffer.concat([Buffer.from([0, 0, 0, 0, 0]), END]) });
  });
  await page.goto(`${base}/runs/0198c0de-0000-7000-8000-000000000000`);
  await page.getByRole("heading", { name: "Which revenue?" }).waitFor();
  await page.getByRole("button", { name: /^after discounts/ }).click();
  await page.getByRole("heading", { name: "May this run?" }).waitFor();
  await sees(page, "Says one.");
  await write(page, "SQL to approve", "SELECT 2");
  await page.getByRole("button", { name: "Run my version" }).click();
  await page.locator(".run-facts .badge", { hasText: "completed" }).waitFor();
  say("done");
});
