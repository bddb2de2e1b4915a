/**
 * Selects the events of a session that its timeline shows. Rows of the event store and the facts made from them use the same
 * names, so one function serves the server's index and the page. Values come from a recording: anything but text is ignored.
 */
import { z } from 'zod';

export const marker = z
  .strictObject({ at: z.number(), label: z.string(), kind: z.enum(['gap', 'file', 'participant', 'marker']) })
  .readonly();
export type Marker = z.output<typeof marker>;

/** A fact has its mode as a field, a row of the event store in the line from which it was made. */
function modeOf(values: object): string {
  const { mode, data } = values as { readonly mode?: unknown; readonly data?: unknown };
  let known = mode;
  if (known === undefined && typeof data === 'string')
    try {
      known = (JSON.parse(data) as { readonly mode?: unknown } | null)?.mode;
    } catch {
      // Malformed data, from a recording that Steno did not write.
    }
  return typeof known === 'string' && known !== '' ? ` as ${known.slice(0, 32)}` : '';
}

export function markerOf(at: number, kind: string, values: object): Marker | null {
  const text = (name: string): string => {
    const value = (values as Readonly<Record<string, unknown>>)[name];
    return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
  };
  switch (kind) {
    case 'gap':
      return { at, kind: 'gap', label: text('reason') || 'gap' };
    case 'sftp':
    case 'file':
      return { at, kind: 'file', label: text('path') || text('name') };
    case 'participant':
      return { at, kind: 'participant', label: `${text('name')} ${text('reason')}${modeOf(values)}` };
    case 'marker':
      return { at, kind: 'marker', label: text('name') };
    case 'listen':
    case 'forward':
      if (text('outcome') === 'closed') return null;
      return { at, kind: 'marker', label: text('address') === '' ? text('name') : `${text('address')}:${text('port')}` };
    default:
      return null;
  }
}
