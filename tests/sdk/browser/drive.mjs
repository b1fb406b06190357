// Opens pages in a headless Chromium and lets them talk to an edge, one task after the other.
//
//   node drive.mjs --roots ca.pem '[{"page":"http://localhost:PORT/","do":"converse","url":"wss://…"}]'
//
// `do` names a function of page.html, which the caller serves; the rest is its argument. The browser
// trusts the certificate authority through its own database, as a user's would. Prints one JSON line
// with a result or an error per task; exit 0 only when every task returned.

import { parseArgs } from "node:util";

import { Browser, makeHome, removeHome } from "./browser.mjs";

const PATIENCE = 60_000; // for everything; a page's own are shorter

// A page, opened anew for one task.
async function run(browser, { page, do: name, ...argument }) {
  const { targetId } = await browser.call("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await browser.call("Target.attachToTarget", { targetId, flatten: true });
  const there = await browser.call("Page.navigate", { url: page }, sessionId);
  if (there.errorText) throw new Error(`${page}: ${there.errorText}`);
  const told = await browser.evaluate(
    sessionId,
    `(async () => {
      if (document.readyState !== "complete") await new Promise((done) => addEventListener("load", done));
      return { origin: location.origin, ...(await ${name}(${JSON.stringify(argument)})) };
    })()`,
  );
  await browser.call("Target.closeTarget", { targetId });
  return told;
}

async function main() {
  const { values, positionals } = parseArgs({ options: { roots: { type: "string" } }, allowPositionals: true });
  const home = makeHome(values.roots);
  const browser = new Browser(home);
  const late = setTimeout(() => browser.process.kill("SIGKILL"), PATIENCE);
  const results = [];
  const { product } = await browser.call("Browser.getVersion").catch((error) => ({ product: `none: ${error.message}` }));
  for (const task of JSON.parse(positionals[0])) {
    results.push(await run(browser, task).catch((error) => ({ error: error.message })));
  }
  await browser.end();
  clearTimeout(late);
  removeHome(home);
  process.stdout.write(`${JSON.stringify({ browser: product, results })}\n`);
  process.exitCode = results.every((result) => !result.error) ? 0 : 1;
}

await main();
