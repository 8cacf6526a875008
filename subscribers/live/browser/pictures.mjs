// Makes the pictures of the documentation: node pictures.mjs FOLDER.
import { startBrowser, startServer, wellInto } from "./browser.mjs";

const folder = process.argv[2] ?? ".";
const server = await startServer();
const browser = await startBrowser();
try {
  await wellInto(server.url);
  await new Promise((resolve) => setTimeout(resolve, Number(process.env.SETTLE ?? 20000))); // for a past worth a picture
  const shots = [
    ["live-desktop", { width: 1280, height: 800 }, "light", ""],
    ["live-phone", { width: 390, height: 844 }, "dark", ""],
    ["task-desktop", { width: 1280, height: 800 }, "dark", "?task=billing"],
    ["task-phone", { width: 390, height: 844 }, "light", "?task=billing"],
    ["live-tablet", { width: 768, height: 1024 }, "light", ""],
  ];
  for (const [name, viewport, colorScheme, query] of shots) {
    const context = await browser.newContext({ viewport, colorScheme, deviceScaleFactor: name === "live-phone" ? 2 : 1 });
    const page = await context.newPage();
    await page.goto(server.url + query);
    await page.waitForTimeout(2500);
    await page.screenshot({ path: `${folder}/${name}.png`, fullPage: name !== "live-phone" && name !== "task-phone" });
    await context.close();
  }
} finally {
  await browser.close();
  await server.stop();
}
