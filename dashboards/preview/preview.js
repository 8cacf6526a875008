// Draws the boards with live data into PNG files:
//
//	node preview.js --prometheus http://127.0.0.1:9090 --range 15m --out DIR [--board UID] [--task REGEX] [--job REGEX]
//
// With --beside JOB each board is drawn for both jobs, side by side in one picture.
//
// It bundles src/ with esbuild, serves it on 127.0.0.1 together with the boards'
// JSON and the server's API, and photographs it with Chromium. This is not
// Grafana but a drawing with Grafana's UI components, and says so.
import { createServer } from 'node:http';
import { mkdtempSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';

const here = dirname(fileURLToPath(import.meta.url));
const { values: options } = parseArgs({
  options: {
    prometheus: { type: 'string', default: 'http://127.0.0.1:9090' },
    range: { type: 'string', default: '15m' },
    out: { type: 'string', default: join(here, 'out') },
    board: { type: 'string', multiple: true, default: ['taskvisor-overview', 'taskvisor-task'] },
    task: { type: 'string', default: '.+' },
    job: { type: 'string', default: '.+' },
    beside: { type: 'string', default: '' },
    height: { type: 'string', default: '0' }, // cut the picture after so many pixels; 0 for all
    end: { type: 'string', default: '' }, // Unix time at which the range ends; now by default
    chromium: { type: 'string', default: '/usr/bin/chromium' },
  },
});

// commonjs takes Grafana's CommonJS builds: from .mjs files esbuild imports
// CommonJS packages the way node does, and some components would be objects.
const commonjs = {
  name: 'grafana-commonjs',
  setup(build) {
    build.onResolve({ filter: /^@grafana\// }, ({ path, kind, resolveDir, pluginData }) =>
      kind === 'import-statement' && pluginData !== 'again'
        ? build.resolve(path, { kind: 'require-call', resolveDir, pluginData: 'again' })
        : undefined
    );
  },
};

async function bundle() {
  const result = await build({
    entryPoints: [join(here, 'src/page.jsx')],
    bundle: true,
    write: false,
    format: 'iife',
    jsx: 'automatic',
    minify: true,
    outdir: '/',
    plugins: [commonjs],
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    loader: { '.svg': 'dataurl', '.png': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl', '.ttf': 'dataurl' },
    logLevel: 'error',
  });
  return Object.fromEntries(result.outputFiles.map((f) => [f.path, f.contents]));
}

// serve answers for the bundle, the boards and, passed on, the server's API.
async function serve(files) {
  const html = '<!doctype html><meta charset="utf-8"><style>body{margin:0}</style><link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css"><div id="root"></div><script src="/page.js"></script>';
  const server = createServer(async (request, response) => {
    const path = request.url.split('?')[0];
    try {
      if (path === '/') {
        response.setHeader('content-type', 'text/html').end(html);
      } else if (path.startsWith('/api/')) {
        const answer = await fetch(options.prometheus + request.url);
        response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
      } else if (/^\/boards\/[\w-]+\.json$/.test(path)) {
        response.end(readFileSync(join(here, '..', path.slice('/boards/'.length))));
      } else if (files[path]) {
        response.end(files[path]);
      } else if (/^\/public\/[\w./-]+\.svg$/.test(path) && !path.includes('..')) {
        response.setHeader('content-type', 'image/svg+xml').end(readFileSync(join(here, 'node_modules/@grafana/ui/dist', path)));
      } else {
        response.writeHead(404).end();
      }
    } catch (error) {
      response.writeHead(error.code === 'ENOENT' ? 404 : 502).end(JSON.stringify({ status: 'error', error: String(error) }));
    }
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return server;
}

// photograph draws a board for a job into a file.
async function photograph(browser, address, uid, job, file) {
  const page = await browser.newPage();
  page.on('console', (line) => line.type() === 'error' && !line.text().startsWith('Failed to load resource') && console.error(`${uid}: ${line.text()}`));
  page.on('pageerror', (error) => console.error(`${uid}: ${error.message ?? error}`));
  await page.setViewport({ width: 1600, height: 1000, deviceScaleFactor: 1 });
  const query = new URLSearchParams({ board: uid, range: options.range, task: options.task, job, end: options.end });
  await page.goto(`${address}/?${query}`, { waitUntil: 'networkidle0', timeout: 60_000 });
  await page.waitForSelector('#drawn', { timeout: 30_000 });
  const full = await page.evaluate('document.documentElement.scrollHeight');
  const height = Math.min(full, Number(options.height) || full);
  await page.setViewport({ width: 1600, height: full, deviceScaleFactor: 1 });
  await new Promise((settled) => setTimeout(settled, 1500));
  await page.screenshot({ path: file, clip: { x: 0, y: 0, width: 1600, height } });
  await page.close();
  console.log(file);
}

// beside makes one picture of two.
async function beside(browser, files, file) {
  const page = await browser.newPage();
  await page.setViewport({ width: 1640, height: 100, deviceScaleFactor: 1 });
  const images = files.map((f) => `<img style="width:810px" src="data:image/png;base64,${readFileSync(f).toString('base64')}">`);
  await page.setContent(`<body style="margin:0;background:#111217;display:flex;justify-content:space-between;align-items:start">${images.join('')}`);
  await page.screenshot({ path: file, fullPage: true });
  await page.close();
  console.log(file);
}

mkdirSync(options.out, { recursive: true });
const server = await serve(await bundle());
const profile = mkdtempSync(join(tmpdir(), 'board-preview-'));
let browser;
try {
  browser = await puppeteer.launch({
    executablePath: options.chromium,
    userDataDir: profile,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  for (const uid of options.board) {
    const address = `http://127.0.0.1:${server.address().port}`;
    const file = resolve(options.out, `${uid}.png`);
    await photograph(browser, address, uid, options.job, file);
    if (options.beside) {
      const other = resolve(options.out, `${uid}-${options.beside}.png`);
      await photograph(browser, address, uid, options.beside, other);
      await beside(browser, [other, file], resolve(options.out, `${uid}-both.png`));
    }
  }
} finally {
  await browser?.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
