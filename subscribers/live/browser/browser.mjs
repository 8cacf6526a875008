// What the tests and the pictures share: the server, the browser, and nothing else
// that could reach further than this machine.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"];

// startServer runs the program that LIVE_SERVER names, which ends when its input does.
export async function startServer() {
  const child = spawn(process.env.LIVE_SERVER, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const { value: url, done } = await lines[Symbol.asyncIterator]().next();
  if (done) throw new Error("the server printed no address");
  const ended = new Promise((resolve) => child.once("exit", resolve));
  return { url, stop: async () => { child.stdin.end(); return ended; } };
}

export const startBrowser = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: quiet });

// until waits for a condition, with a deadline.
export async function until(what, condition, ms = 15000) {
  const end = Date.now() + ms;
  for (;;) {
    const got = await condition();
    if (got) return got;
    if (Date.now() > end) throw new Error(`did not come true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export const wellInto = (url) =>
  until("three things need somebody", async () => (await (await fetch(url + "?format=json")).json()).needs_somebody_total >= 3);
