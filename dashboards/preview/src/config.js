// Applies a panel's field configuration to its frames, as Grafana does.
import { FieldColorModeId, FieldType, getDisplayProcessor, getFieldDisplayName, stringToJsRegex } from '@grafana/data';

function merge(into, path, value) {
  const keys = path.split('.');
  const last = keys.pop();
  let at = into;
  for (const key of keys) {
    at = at[key] = { ...at[key] };
  }
  at[last] = value;
}

// withConfig returns the frames with everything set that drawing needs.
export function withConfig(panel, frames, theme) {
  const { defaults, overrides } = panel.fieldConfig;
  let seriesIndex = 0;
  return frames.map((frame) => ({
    ...frame,
    fields: frame.fields.map((field) => {
      const name = getFieldDisplayName(field, frame, frames);
      const numeric = field.type === FieldType.number;
      const base = numeric ? { color: { mode: FieldColorModeId.PaletteClassic }, ...defaults } : { custom: defaults.custom };
      const config = { ...base, custom: { ...base.custom }, ...field.config };
      for (const { matcher, properties } of overrides) {
        if (matcher.id === 'byRegexp' ? stringToJsRegex(matcher.options).test(name) : matcher.options === name) {
          properties.filter((property) => property.id !== 'links').forEach((property) => merge(config, property.id, property.value));
        }
      }
      delete config.links;
      const result = { ...field, config, state: { ...field.state, displayName: name } };
      if (numeric) {
        result.state.seriesIndex = seriesIndex++;
      }
      result.display = getDisplayProcessor({ field: result, theme, timeZone: 'utc' });
      result.getLinks = () => [];
      return result;
    }),
  }));
}

// isEmpty reports whether there is nothing to draw.
export function isEmpty(frames) {
  return !frames.some((frame) => frame.length > 0 && frame.fields.some((field) => field.type === FieldType.number));
}
