// The live page in a real browser: what a Go test cannot see.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { startBrowser, startServer, until, wellInto } from "./browser.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let server, browser, context, page, complaints;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
  await wellInto(server.url);
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0, "the server ended badly");
});

// open makes a page that hears of every complaint: of the content security policy, of
// scripts, of requests that failed or went elsewhere.
async function open(options = {}) {
  context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  page = await context.newPage();
  complaints = [];
  page.on("console", (m) => { if (["error", "warning"].includes(m.type())) complaints.push(m.text()); });
  page.on("pageerror", (e) => complaints.push(String(e)));
  page.on("request", (r) => { if (!r.url().startsWith(server.url)) complaints.push("asked " + r.url()); });
  if (options.javaScriptEnabled !== false) {
    await context.addInitScript(() => addEventListener("securitypolicyviolation", (e) => console.error("CSP " + e.violatedDirective + " " + e.blockedURI)));
  }
}

beforeEach(() => open());
afterEach(async () => {
  await context.close();
  assert.deepEqual(complaints, []);
});

const seq = () => page.locator(".sup .mut").first().innerText().then((t) => Number(/event (\d+)/.exec(t)[1]));

test("what needs somebody comes first, with why and where", async () => {
  await page.goto(server.url);
  const needs = page.locator(".needs");
  assert.match(await needs.innerText(), /stuck\s+migrate – its body does not return: main\.\S+ at main\.go:\d+/);
  assert.match(await needs.innerText(), /gave up\s+webhook-relay/);
  assert.match(await needs.innerText(), /connection refused/);
  const order = await page.evaluate(() => document.querySelector(".needs").getBoundingClientRect().top < document.querySelector(".tasks").getBoundingClientRect().top);
  assert.ok(order);
  assert.match(await page.title(), /^\(\d\) shop$/);
  assert.match(await page.locator("link[rel=icon]").getAttribute("href"), /alarm/);
});

test("the page updates itself, without loading anew", async () => {
  await page.goto(server.url);
  await page.evaluate(() => { window.same = true; });
  const first = await seq();
  await until("later events are shown", async () => (await seq()) > first);
  assert.equal(await page.evaluate(() => window.same), true);
  // Durations grow between two answers as well.
  const time = page.locator(".sup time").first();
  const text = await time.innerText();
  await until("time goes by", async () => (await time.innerText()) !== text, 3000);
});

test("an update keeps the focus, the selection and the scroll position", async () => {
  await page.goto(server.url);
  await page.locator(".tasks a", { hasText: "mail-sender" }).focus();
  await page.evaluate(() => {
    const row = document.querySelector(".tasks tbody tr:last-child th");
    getSelection().selectAllChildren(row);
    scrollTo(0, 200);
  });
  const first = await seq();
  await until("later events are shown", async () => (await seq()) > first + 3);
  const kept = await page.evaluate(() => [document.activeElement.textContent, getSelection().toString(), scrollY]);
  assert.deepEqual(kept, ["mail-sender", await page.locator(".tasks tbody tr:last-child th").innerText(), 200]);
});

test("an update keeps the focus on a button, whatever the fields of its form are called", async () => {
  await page.goto(server.url + "?task=mail-sender");
  const stop = page.getByRole("button", { name: "stop", exact: true });
  await stop.focus();
  const shown = () => page.locator("main").getAttribute("data-now");
  for (const round of [1, 2]) {
    const before = await shown();
    await until("an update is shown", async () => (await shown()) !== before);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "stop", `update ${round}`);
  }
});

test("updates can be paused and resumed", async () => {
  await page.goto(server.url);
  await page.getByRole("button", { name: "pause updates" }).click();
  assert.match(await page.locator("#status").innerText(), /paused/);
  const first = await seq();
  let asked = 0;
  page.on("request", () => asked++);
  await page.waitForTimeout(4500);
  assert.equal(await seq(), first);
  assert.equal(asked, 0);
  await page.getByRole("button", { name: "resume updates" }).click();
  await until("later events are shown", async () => (await seq()) > first);
});

test("when the server is gone the page says so, and since when", async () => {
  await page.goto(server.url);
  await context.setOffline(true);
  await until("the loss is shown", async () => /no answer, showing what was there at/.test(await page.locator("#status").innerText()));
  await context.setOffline(false);
  await until("it is back", async () => /^live/.test(await page.locator("#status").innerText()));
  complaints = complaints.filter((c) => !/ERR_INTERNET_DISCONNECTED/.test(c));
});

test("filters are links and a form, and stand in the address", async () => {
  await page.goto(server.url);
  await page.locator(".filters a", { hasText: "paused" }).click();
  assert.match(page.url(), /state=paused/);
  assert.equal(await page.locator(".tasks tbody tr").count(), 1);
  await page.goBack();
  await page.getByRole("searchbox").fill("INDEX");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=INDEX/);
  assert.deepEqual(await page.locator(".tasks tbody th a").allInnerTexts(), ["search-index"]);
  await page.reload();
  assert.deepEqual(await page.locator(".tasks tbody th a").allInnerTexts(), ["search-index"]);
});

test("one task has its policy, attempts, events and stacks", async () => {
  await page.goto(server.url);
  await page.locator(".needs a", { hasText: "billing" }).click();
  await page.waitForURL(/task=billing/);
  const text = await page.locator("main").innerText();
  for (const part of ["connection refused", "never gives up", "next delays after a failure", "task_failed", "failed in a row"]) assert.ok(text.includes(part), part);
  assert.match(await page.locator("tr a[rel=noreferrer]").first().getAttribute("href"), /^https:\/\/traces\.example\//);
  await page.goto(server.url + "?task=order-consumer");
  await page.getByRole("link", { name: "look at the stacks" }).click();
  await page.waitForURL(/stacks=1/);
  assert.match(await page.getByLabel("stacks now").innerText(), /main\.populate|main\.resident/);
});

test("incidents are listed with their task, and downloaded", async () => {
  await page.goto(server.url);
  const row = page.locator("tr", { has: page.locator("a[href^='./incident?id=']"), hasText: "webhook-relay" });
  assert.match(await row.innerText(), /webhook-relay[^]*panic/);
  const [download] = await Promise.all([page.waitForEvent("download"), row.getByRole("link").first().click()]);
  assert.match(download.suggestedFilename(), /^incident-.*-panic-.*\.zip$/);
  assert.equal(readFileSync(await download.path()).subarray(0, 2).toString(), "PK");
  await page.goto(server.url + "?task=migrate");
  assert.match(await page.locator("tr", { has: page.locator("a[href^='./incident']") }).innerText(), /migrate[^]*stuck/);
});

test("a harmless action is one click, and is announced with its actor", async () => {
  await page.goto(server.url);
  const first = await seq();
  await page.getByRole("button", { name: "run now: price-export" }).click();
  await page.getByText("Done: run now.").waitFor();
  const events = await (await fetch(server.url + "events?after=" + first)).text();
  assert.match(events, /"kind":"task_triggered"[^\n]*"task":"price-export"[^\n]*"error":"run by night shift on the live page"/);
  await until("the message does not come back", async () => !page.url().includes("done="));
});

test("an action that ends something asks first", async () => {
  await page.goto(server.url + "?task=mail-sender");
  await page.getByRole("button", { name: "stop", exact: true }).click();
  assert.match(await page.locator("main").innerText(), /stop mail-sender\?/);
  await page.getByRole("link", { name: "leave it" }).click();
  await page.waitForURL(/task=mail-sender/);
  assert.match(await page.locator(".sup").innerText(), /running/);
  await page.getByRole("button", { name: "stop", exact: true }).click();
  await page.getByRole("button", { name: "stop mail-sender" }).click();
  await page.getByText("Done: stop.").waitFor();
  await until("it has ended", async () => /canceled/.test(await page.locator(".sup").innerText()));
});

test("who may not act sees no buttons", async () => {
  await context.close();
  await open({ extraHTTPHeaders: { "X-Look-Only": "1" } });
  await page.goto(server.url + "?task=billing");
  assert.equal(await page.locator("form.acts").count(), 0);
});

test("everything can be reached by keyboard, and the focus is seen", async () => {
  await page.goto(server.url);
  await page.getByRole("button", { name: "pause updates" }).click();
  await page.evaluate(() => document.activeElement.blur());
  const wanted = new Set(await page.evaluate(() => [...document.querySelectorAll("a[href], button:not([hidden]), input:not([type=hidden])")].map((e, i) => (e.dataset.n = i, String(i)))));
  for (let i = 0; i < 200 && wanted.size > 0; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      return { n: e.dataset.n, seen: e === document.body || getComputedStyle(e).outlineStyle !== "none" };
    });
    assert.ok(at.seen, "no outline");
    wanted.delete(at.n);
  }
  assert.equal(wanted.size, 0);
  await page.locator(".tasks a", { hasText: "billing" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/task=billing/);
});

for (const width of [390, 768, 1280]) {
  test(`nothing scrolls sideways at ${width} px, and no name breaks inside a word`, async () => {
    await context.close();
    await open({ viewport: { width, height: 844 }, hasTouch: width < 800 });
    for (const query of ["", "?task=billing", "?task=migrate&stacks=1", "?task=webhook-relay", "?state=needs"]) {
      await page.goto(server.url + query);
      const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= seen, `${query}: ${wide} in ${seen}`);
    }
    await page.goto(server.url);
    const broken = await page.evaluate(() => [...document.querySelectorAll("tbody th a, .needs .what a")].filter((a) => {
      const range = document.createRange(), text = a.firstChild;
      for (const word of text.data.matchAll(/[^-\s]+/g)) { // a line may break after a hyphen
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        if (range.getClientRects().length > 1) return true;
      }
      return false;
    }).map((a) => a.textContent));
    assert.deepEqual(broken, []);
    if (width === 390) {
      const small = await page.evaluate(() => [...document.querySelectorAll("button:not([hidden])")].filter((b) => b.getBoundingClientRect().height < 32).map((b) => b.textContent));
      assert.deepEqual(small, [], "too small for a thumb");
    }
  });
}

test("without scripts the page refreshes itself, acts, and can be held still", async () => {
  await context.close();
  await open({ javaScriptEnabled: false });
  await page.goto(server.url);
  const first = await seq();
  await until("a refresh", async () => (await seq()) > first, 12000);
  assert.equal(await page.getByRole("button", { name: "pause updates" }).count(), 0);
  await page.getByRole("link", { name: "stop refreshing" }).click();
  await page.waitForURL(/refresh=off/);
  const still = await seq();
  await page.waitForTimeout(6000);
  assert.equal(await seq(), still);
  await page.getByRole("button", { name: "run now: price-export" }).click();
  await page.getByText("Done: run now.").waitFor();
  await page.goto(server.url + "?task=order-consumer");
  await page.getByRole("button", { name: "interrupt", exact: true }).click();
  await page.getByRole("button", { name: "interrupt order-consumer" }).click();
  await page.getByText("Done: interrupt.").waitFor();
});

for (const colorScheme of ["light", "dark"]) {
  test(`nothing that axe finds at level AA, ${colorScheme}`, async () => {
    await context.close();
    for (const viewport of [{ width: 1280, height: 800 }, { width: 390, height: 844 }]) {
      await open({ viewport, colorScheme, bypassCSP: true }); // for axe, which is no part of the page
      for (const query of ["", "?task=billing", "?task=migrate&stacks=1", "?task=webhook-relay", "?state=needs&q=b", "?task=nobody"]) {
        await page.goto(server.url + query);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
        assert.deepEqual(violations.map((v) => `${query} ${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).slice(0, 3).join(" | ")}`), []);
      }
      complaints = complaints.filter((c) => !/404/.test(c)); // nobody is not there
      if (viewport.width > 400) await context.close();
    }
  });
}

test("while nothing happens an update is an empty answer, and time still goes by", async () => {
  const { supervisors } = await (await fetch(server.url + "?format=json")).json();
  for (const { id } of supervisors[0].tasks.filter((t) => t.state === "waiting" || t.state === "backoff" || t.name === "search-index")) {
    const answer = await fetch(server.url + "action", { method: "POST", body: new URLSearchParams({ do: "pause", id }) });
    assert.equal(answer.status, 200);
  }
  await page.goto(server.url);
  const codes = [];
  page.on("response", (r) => codes.push(r.status()));
  const time = page.locator(".sup time").first();
  const text = await time.innerText();
  await until("an empty answer", () => codes.filter((c) => c === 304).length >= 2);
  assert.notEqual(await time.innerText(), text);
  assert.match(await page.locator("#status").innerText(), /^live/);
});
