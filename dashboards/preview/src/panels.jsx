// One component for each kind of panel that the boards use.
import { useLayoutEffect, useMemo } from 'react';
import { FieldType } from '@grafana/data';
import { BigValue, Table, TimeSeries, useTheme2 } from '@grafana/ui';

export function Stat({ panel, frames, width, height }) {
  const theme = useTheme2();
  const field = frames[0].fields.find((f) => f.type === FieldType.number);
  const value = field.display(field.values[field.values.length - 1]);
  return (
    <BigValue theme={theme} width={width} height={height} value={value} colorMode={panel.options.colorMode}
      graphMode={panel.options.graphMode} justifyMode={panel.options.justifyMode} textMode={panel.options.textMode} />
  );
}

// Marks draws exemplars as diamonds and annotations as dashed lines.
function Marks({ config, exemplars, marks, theme }) {
  useLayoutEffect(() => {
    config.addHook('draw', (u) => {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.lineWidth = 1;
      ctx.setLineDash([4, 4]);
      for (const { time, color } of marks) {
        const x = u.valToPos(time, 'x', true);
        ctx.strokeStyle = theme.visualization.getColorByName(color);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
      const scale = u.series[1].scale;
      ctx.fillStyle = theme.visualization.getColorByName('blue');
      for (const [time, value] of exemplars) {
        const x = u.valToPos(time, 'x', true);
        const y = Math.max(u.valToPos(value, scale, true), bbox.top + 4);
        if (x >= bbox.left && y <= bbox.top + bbox.height) {
          ctx.beginPath();
          ctx.moveTo(x, y - 4);
          ctx.lineTo(x + 4, y);
          ctx.lineTo(x, y + 4);
          ctx.lineTo(x - 4, y);
          ctx.fill();
        }
      }
      ctx.restore();
    });
  }, [config, exemplars, marks, theme]);
  return null;
}

export function Lines({ panel, frames, width, height, timeRange, exemplars, marks }) {
  const theme = useTheme2();
  return (
    <TimeSeries frames={frames} width={width} height={height} timeRange={timeRange} timeZone="utc"
      legend={panel.options.legend} options={panel.options} structureRev={1}>
      {(config) => <Marks config={config} exemplars={exemplars} marks={marks} theme={theme} />}
    </TimeSeries>
  );
}

export function Rows({ panel, frames, width, height }) {
  const sort = panel.options.sortBy?.map(({ displayName, desc }) => ({ displayName, desc }));
  const frame = useMemo(() => ({ ...frames[0], length: frames[0].fields[0].values.length }), [frames]);
  return <Table data={frame} width={width} height={height} initialSortBy={sort} cellHeight={panel.options.cellHeight} noHeader={false} />;
}

// Timeline is drawn by hand: Grafana's own is not among its UI components.
export function Timeline({ panel, frames, width, height, timeRange }) {
  const theme = useTheme2();
  const states = panel.fieldConfig.defaults.mappings[0].options;
  const from = timeRange.from.valueOf();
  const span = timeRange.to.valueOf() - from;
  const names = 170;
  const row = Math.min(26, (height - 34) / frames.length);
  const x = (time) => names + ((time - from) / span) * (width - names);
  const used = new Set(frames.flatMap((frame) => frame.fields[1].values.map(String)));
  return (
    <svg width={width} height={height} style={{ font: '12px Inter, sans-serif' }}>
      {frames.map((frame, i) => {
        const [times, values] = frame.fields.map((field) => field.values);
        const step = times.length > 1 ? times[1] - times[0] : span / 100;
        return (
          <g key={i}>
            <text x={names - 8} y={i * row + row * 0.65} textAnchor="end" fill={theme.colors.text.secondary}>
              {frame.fields[1].state.displayName.slice(0, 28)}
            </text>
            {times.map((time, k) => (
              <rect key={k} x={x(time)} y={i * row + row * 0.1} width={Math.max(x(time + step) - x(time) + 0.5, 1)} height={row * 0.8}
                fill={theme.visualization.getColorByName(states[values[k]]?.color ?? 'transparent')} fillOpacity={0.8} />
            ))}
          </g>
        );
      })}
      {Object.entries(states).filter(([code]) => used.has(code)).map(([code, { text, color }], i) => (
        <g key={code} transform={`translate(${i * 90}, ${height - 14})`}>
          <rect width={14} height={4} y={4} fill={theme.visualization.getColorByName(color)} />
          <text x={20} y={10} fill={theme.colors.text.primary}>{text}</text>
        </g>
      ))}
    </svg>
  );
}
