/** Rows of the event store in the words in which they are told: to the page, to the command, and in a page that stands alone. */
import type { SessionFact } from '#schemas/api/recordings/sessions.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { kernelPlace } from '#schemas/kernel/kernel.js';

/** Of a kernel's row. */
export function kernelEventOf(row: EventRow): KernelEventInfo {
  return {
    place: kernelPlace(row),
    at: row.at,
    offset: row.offset_ms,
    kind: row.kind === 'unknown' ? row.raw_kind : row.kind,
    path: row.path,
    size: row.size,
    sha256: row.sha256,
    address: row.address,
    port: row.port,
    name: row.name,
    reason: row.reason,
    outcome: row.outcome,
    count: row.count,
    data: parsed(row.data),
  };
}

/** Of a recording's row: what is empty is left out. */
export function factOf(event: EventRow): SessionFact {
  const known: Record<string, unknown> = {};
  for (const key of ['path', 'size', 'sha256', 'address', 'port', 'name', 'reason', 'outcome', 'count'] as const) {
    const value = event[key];
    if (value !== '' && value !== null) known[key] = value;
  }
  return { at: event.at, offset: event.offset_ms, kind: event.kind, data: { ...parsed(event.data), ...known } };
}

/** The columns that have no column of their own; nothing where they cannot be read. */
export function parsed(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
