// Asks Prometheus what a panel asks, and makes Grafana's data frames of it.
import { FieldType, standardTransformers, standardTransformersRegistry, toDataFrame, transformDataFrame } from '@grafana/data';
import { firstValueFrom } from 'rxjs';

standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: async () => transformation,
    editor: () => null,
  }))
);

const units = { s: 1, m: 60, h: 3600, d: 86400 };

export function seconds(text) {
  const [, n, unit] = /^(\d+)([smhd])$/.exec(text);
  return n * units[unit];
}

async function get(path, params) {
  const response = await fetch(`${path}?${new URLSearchParams(params)}`);
  const answer = await response.json();
  if (answer.status !== 'success') {
    throw new Error(answer.error);
  }
  return answer.data;
}

export function expand(expr, context) {
  return expr
    .replaceAll('$__rate_interval', `${context.rate}s`)
    .replaceAll('$__interval', `${context.step}s`)
    .replaceAll('$__range', `${context.window}s`)
    .replaceAll('$task', context.task)
    .replaceAll('$job', context.job)
    .replaceAll(/\$(cluster|namespace|pod)/g, '.*') // which targets may lack
    .replaceAll(/\$(supervisor|instance)/g, '.+');
}

function legend(format, labels) {
  if (!format) {
    return Object.values(labels).join(' ') || 'Value';
  }
  return format.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '').trim();
}

// gaps writes null where a series has no value, so that no line is drawn there.
function gaps(values, { start, end, step }) {
  const known = new Map(values);
  return Array.from({ length: Math.floor((end - start) / step) + 1 }, (_, i) => [start + i * step, known.get(start + i * step) ?? null]);
}

function seriesFrame(target, series) {
  const { __name__: _, ...labels } = series.metric;
  const name = legend(target.legendFormat, labels);
  return toDataFrame({
    refId: target.refId,
    name,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.values.map(([t]) => t * 1000), config: {} },
      { name: 'Value', type: FieldType.number, labels, values: series.values.map(([, v]) => (v === null ? null : Number(v))), config: { displayNameFromDS: name } },
    ],
  });
}

function tableFrame(target, result, alone) {
  const names = [...new Set(result.flatMap((series) => Object.keys(series.metric)))].filter((name) => name !== '__name__').sort();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: result.map(({ value }) => value[0] * 1000), config: {} },
      ...names.map((name) => ({ name, type: FieldType.string, values: result.map(({ metric }) => metric[name] ?? ''), config: {} })),
      { name: alone ? 'Value' : `Value #${target.refId}`, type: FieldType.number, values: result.map(({ value }) => Number(value[1])), config: {} },
    ],
  });
}

async function ask(target, context, alone) {
  const query = expand(target.expr, context);
  if (target.instant) {
    const { result } = await get('/api/v1/query', { query, time: context.end });
    if (target.format === 'table') {
      return result.length ? [tableFrame(target, result, alone)] : [];
    }
    return result.map((s) => seriesFrame(target, { metric: s.metric, values: [s.value] }));
  }
  const { result } = await get('/api/v1/query_range', { query, start: context.start, end: context.end, step: context.step });
  return result.map((series) => seriesFrame(target, { metric: series.metric, values: gaps(series.values, context) }));
}

// frames returns what a panel shows.
export async function frames(panel, context) {
  const answers = await Promise.all(panel.targets.map((target) => ask(target, context, panel.targets.length === 1)));
  const data = answers.flat();
  return panel.transformations?.length ? firstValueFrom(transformDataFrame(panel.transformations, data)) : data;
}

// exemplars returns the single attempts behind a latency: time and value.
export async function exemplars(panel, context) {
  const queries = panel.targets.filter((target) => target.exemplar).map((target) => expand(target.expr, context));
  const answers = await Promise.all(queries.map((query) => get('/api/v1/query_exemplars', { query, start: context.start, end: context.end })));
  return answers.flat(2).flatMap((series) => series.exemplars.map((e) => [e.timestamp * 1000, Number(e.value)]));
}

// marks returns the times at which the annotations of a board begin.
export async function marks(board, context) {
  const found = [];
  for (const annotation of board.annotations.list) {
    const query = expand(annotation.expr, context);
    const { result } = await get('/api/v1/query_range', { query, start: context.start, end: context.end, step: context.step });
    for (const { values } of result) {
      const time = annotation.useValueForTime ? Number(values[0][1]) : values[0][0] * 1000;
      if (time > context.start * 1000 + context.step * 1000) {
        found.push({ time, color: annotation.iconColor });
      }
    }
  }
  return found;
}
