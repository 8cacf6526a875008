// The page: a board's JSON, drawn with Grafana's UI components.
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { createTheme, dateTime, setTimeZoneResolver, ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import { isEmpty, withConfig } from './config.js';
import { Lines, Rows, Stat, Timeline } from './panels.jsx';
import { exemplars, frames, marks, seconds } from './query.js';

const kinds = { stat: Stat, timeseries: Lines, table: Rows, 'state-timeline': Timeline };
const theme = createTheme({ colors: { mode: 'dark' } });
setTimeZoneResolver(() => 'utc');

const params = new URLSearchParams(location.search);
const width = 1600;
const margin = 8; // Grafana's grid: 24 columns, rows of 30 pixels, 8 between
const column = (width - 2 * margin - 23 * margin) / 24;
const row = 30;

function context() {
  const window = seconds(params.get('range'));
  const end = Number(params.get('end')) || Math.floor(Date.now() / 1000);
  const step = Math.max(5, Math.ceil(window / 200 / 5) * 5);
  return { window, end, start: end - window, step, rate: Math.max(4 * 5, step + 5), task: params.get('task'), job: params.get('job') };
}

async function load() {
  const c = context();
  const board = await (await fetch(`/boards/${params.get('board')}.json`)).json();
  const found = await marks(board, c);
  const panels = await Promise.all(
    board.panels.map(async (panel) => {
      if (panel.type === 'row') {
        return { panel };
      }
      const data = withConfig(panel, await frames(panel, c), theme);
      return { panel, data, points: await exemplars(panel, c) };
    })
  );
  const timeRange = { from: dateTime(c.start * 1000), to: dateTime(c.end * 1000), raw: { from: 'now-' + params.get('range'), to: 'now' } };
  return { board, panels, timeRange, marks: found };
}

function place({ x, y, w, h }) {
  return {
    position: 'absolute',
    left: margin + x * (column + margin),
    top: y * (row + margin),
    width: w * column + (w - 1) * margin,
    height: h * row + (h - 1) * margin,
  };
}

function Panel({ panel, data, points, timeRange, marks }) {
  const box = place(panel.gridPos);
  if (panel.type === 'row') {
    return <div style={{ ...box, color: theme.colors.text.primary, fontSize: 16, fontWeight: 500, paddingTop: 6 }}>⌄ {panel.title}</div>;
  }
  const Kind = kinds[panel.type];
  return (
    <div style={box}>
      <PanelChrome title={panel.title} width={box.width} height={box.height} padding={panel.type === 'stat' || panel.type === 'table' ? 'none' : 'md'}>
        {(innerWidth, innerHeight) =>
          isEmpty(data) ? (
            <div style={{ height: innerHeight, display: 'grid', placeItems: 'center', color: theme.colors.text.secondary }}>
              {panel.fieldConfig.defaults.noValue ?? 'No data'}
            </div>
          ) : (
            <Kind panel={panel} frames={data} width={innerWidth} height={innerHeight} timeRange={timeRange} exemplars={points} marks={marks} />
          )
        }
      </PanelChrome>
    </div>
  );
}

function Header({ board, timeRange }) {
  const muted = { color: theme.colors.text.secondary };
  return (
    <div style={{ padding: '10px 16px', display: 'flex', gap: 24, alignItems: 'baseline', color: theme.colors.text.primary }}>
      <span style={{ fontSize: 18, fontWeight: 500 }}>{board.title}</span>
      {board.templating.list.filter((v) => v.name !== 'datasource').map((v) => (
        <span key={v.name} style={muted}>
          {v.name} <b style={{ color: theme.colors.text.primary }}>{['task', 'job'].includes(v.name) && params.get(v.name) !== '.+' ? params.get(v.name) : 'All'}</b>
        </span>
      ))}
      <span style={muted}>last {params.get('range')}, until {timeRange.to.toISOString().slice(0, 19).replace('T', ' ')} UTC</span>
      <span style={{ marginLeft: 'auto', ...muted }}>preview with Grafana’s UI components</span>
    </div>
  );
}

function Page() {
  const [state, setState] = useState();
  useEffect(() => {
    load().then(setState, (error) => setState({ error }));
  }, []);
  if (!state) {
    return null;
  }
  if (state.error) {
    throw state.error;
  }
  const bottom = Math.max(...state.panels.map(({ panel: { gridPos } }) => gridPos.y + gridPos.h));
  return (
    <>
      <Header board={state.board} timeRange={state.timeRange} />
      <div id="drawn" style={{ position: 'relative', height: bottom * (row + margin) + margin }}>
        {state.panels.map((p) => (
          <Panel key={p.panel.id} {...p} timeRange={state.timeRange} marks={state.marks} />
        ))}
      </div>
    </>
  );
}

createRoot(document.getElementById('root')).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <Page />
  </ThemeContext.Provider>
);
