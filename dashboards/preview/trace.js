// Draws a trace of the demo into a PNG file:
//
//	node trace.js --jaeger http://127.0.0.1:16686 --operation 'run flaky' --out trace.png
//
// It takes, of the traces that begin with a span of that name, the latest among
// those with the most spans. It is for where Jaeger's own page cannot be had: the
// binary that the Go module proxy gives has none. The picture says what it is.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';

const { values: options } = parseArgs({
  options: {
    jaeger: { type: 'string', default: 'http://127.0.0.1:16686' },
    service: { type: 'string', default: 'uptime' },
    operation: { type: 'string', default: 'run flaky' },
    out: { type: 'string', default: 'trace.png' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
  },
});

const width = 1200;
const left = 210; // of the time line
const right = 40;
const row = 40;
const top = 120;
const thin = 5; // what is shorter is drawn this wide, or nobody would see it

const escape = (s) => String(s).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const tag = (span, key) => span.tags.find((t) => t.key === key)?.value;
const text = (x, y, s, style = '') => `<text x="${x}" y="${y}" ${style}>${escape(s)}</text>`;

function duration(us) {
  return us === 0 ? '0' : us < 1e3 ? `${us.toFixed(0)} µs` : us < 1e6 ? `${(us / 1e3).toFixed(us < 1e4 ? 2 : 0)} ms` : `${(us / 1e6).toFixed(2)} s`;
}

async function fetchTrace() {
  const query = new URLSearchParams({ service: options.service, operation: options.operation, limit: '200' });
  const { data } = await (await fetch(`${options.jaeger}/api/traces?${query}`)).json();
  const traces = data.map((t) => ({ id: t.traceID, spans: t.spans.sort((a, b) => a.startTime - b.startTime) }));
  const most = Math.max(...traces.map((t) => t.spans.length));
  const begin = (t) => t.spans[0].startTime;
  return traces.filter((t) => t.spans.length === most).sort((a, b) => begin(b) - begin(a))[0];
}

// tree returns the spans with their depth, parents first. Any reference into the
// trace counts: where a parent is linked as well, Jaeger lists it only once.
function tree({ id, spans }) {
  const inside = new Set(spans.map((s) => s.spanID));
  const parent = (s) => s.references.find((r) => r.traceID === id && inside.has(r.spanID) && r.refType === 'CHILD_OF')
    ?? s.references.find((r) => r.traceID === id && inside.has(r.spanID));
  const below = (of, depth) => spans.filter((s) => (parent(s)?.spanID ?? '') === of)
    .flatMap((s) => [{ ...s, depth }, ...below(s.spanID, depth + 1)]);
  return below('', 0);
}

function details(s) {
  const outcome = tag(s, 'taskvisor.attempt.outcome');
  if (!outcome) {
    return `HTTP ${tag(s, 'http.response.status_code') ?? tag(s, 'error.type')}`;
  }
  const why = tag(s, 'otel.status_description');
  return `attempt ${tag(s, 'taskvisor.attempt.number')}: ${outcome}${why ? `, “${why}”` : ''}`;
}

function draw(trace) {
  const spans = tree(trace);
  const begin = Math.min(...spans.map((s) => s.startTime));
  const all = Math.max(...spans.map((s) => s.startTime + s.duration)) - begin;
  // The last label needs room to the right of its bar.
  const x = (us) => left + ((us - begin) / all) * (width - left - right - 250);
  const height = top + spans.length * row + 24;
  const parts = [
    text(24, 42, `${options.service}: ${spans[0].operationName}`, 'class="title"'),
    text(24, 70, `trace ${trace.id} · ${spans.length} spans · ${duration(all)}`, 'class="dim"'),
    text(width - 24, 42, "drawn from the JSON of Jaeger's API", 'class="dim" text-anchor="end"'),
    text(width - 24, 70, `bars shorter than ${thin} pixels are drawn that wide`, 'class="dim" text-anchor="end"'),
  ];
  for (let i = 0; i <= 4; i++) {
    const at = begin + (all * i) / 4;
    parts.push(`<line x1="${x(at)}" x2="${x(at)}" y1="${top - 8}" y2="${height - 24}" class="grid"/>`,
      text(x(at), top - 16, duration((all * i) / 4), 'class="dim" text-anchor="middle"'));
  }
  spans.forEach((s, i) => {
    const y = top + i * row;
    const bar = Math.max(x(s.startTime + s.duration) - x(s.startTime), thin);
    const kind = tag(s, 'error') ? 'bad' : 'good';
    parts.push(
      i % 2 ? '' : `<rect x="0" y="${y}" width="${width}" height="${row}" class="stripe"/>`,
      s.depth ? `<path d="M${14 + s.depth * 26} ${y + row / 2} h12 m-12 0 V${top + up(spans, i) * row + 30}" class="branch"/>` : '',
      `<rect x="24" y="${y + 10}" width="4" height="20" class="${kind}" transform="translate(${s.depth * 26 + 6} 0)"/>`,
      text(24 + s.depth * 26 + 18, y + 26, s.operationName, s.depth && tag(s, 'span.kind') === 'client' ? 'class="client"' : ''),
      `<rect x="${x(s.startTime)}" y="${y + 10}" width="${bar}" height="20" class="${kind}"/>`,
      text(x(s.startTime) + bar + 8, y + 26, `${details(s)} · ${duration(s.duration)}`, 'class="detail"'));
    parts.push(gap(spans, s, y, x));
  });
  return { height, svg: `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${parts.join('')}</svg>` };
}

// up returns the row of the parent of the span in row i.
function up(spans, i) {
  return spans.findLastIndex((s, j) => j < i && s.depth < spans[i].depth);
}

// gap draws the delay that followed a failed attempt, up to the next one, in the
// row of that next one: there the line is free to its left.
function gap(spans, s, y, x) {
  const attempts = spans.filter((o) => tag(o, 'taskvisor.attempt.number') !== undefined)
    .sort((a, b) => a.startTime - b.startTime);
  const before = attempts[attempts.findIndex((o) => o.spanID === s.spanID) - 1];
  if (!before) {
    return '';
  }
  const from = x(before.startTime + before.duration);
  const to = x(s.startTime) - 4;
  const label = `backoff ${duration(tag(before, 'taskvisor.backoff.delay') * 1e6)}`;
  return `<line x1="${from}" x2="${to}" y1="${y + 20}" y2="${y + 20}" class="gap"/>
    <line x1="${from}" x2="${from}" y1="${y + 12}" y2="${y + 28}" class="gap"/>` +
    text((from + to) / 2, y + 14, label, 'class="dim" text-anchor="middle"');
}

const { height, svg } = draw(await fetchTrace());
const style = `body { margin: 0; background: #fff } text { font: 15px "Liberation Sans", sans-serif; fill: #222 }
  .title { font-size: 22px; font-weight: bold } .dim { fill: #666; font-size: 14px } .detail { fill: #333; font-size: 14px }
  .client { fill: #555 } .stripe { fill: #f6f7f9 } .grid { stroke: #ddd } .branch { stroke: #bbb; fill: none }
  .good { fill: #17a2b8 } .bad { fill: #d9362b } .gap { stroke: #999; stroke-dasharray: 3 3 }`;
const profile = mkdtempSync(join(tmpdir(), 'trace-preview-'));
let browser;
try {
  browser = await puppeteer.launch({
    executablePath: options.chromium,
    userDataDir: profile,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  const page = await browser.newPage();
  await page.setViewport({ width, height, deviceScaleFactor: 1 });
  await page.setContent(`<!doctype html><meta charset="utf-8"><style>${style}</style>${svg}`);
  await page.screenshot({ path: resolve(options.out) });
  console.log(resolve(options.out));
} finally {
  await browser?.close();
  rmSync(profile, { recursive: true, force: true });
}
