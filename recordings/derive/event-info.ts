/** Converts rows of the event store to the form that the page, the `steno` command and offline pages show. */
import type { SessionFact } from '#schemas/api/recordings/sessions.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { kernelPlace } from '#schemas/kernel/kernel.js';

/** Converts a kernel event's row. */
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

/** Converts a row derived from a recording; empty columns are left out. */
export function factOf(event: EventRow): SessionFact {
  const known: Record<string, unknown> = {};
  for (const key of ['path', 'size', 'sha256', 'address', 'port', 'name', 'reason', 'outcome', 'count'] as const) {
    const value = event[key];
    if (value !== '' && value !== null) known[key] = value;
  }
  return { at: event.at, offset: event.offset_ms, kind: event.kind, data: { ...parsed(event.data), ...known } };
}

/** Parses the fields that have no column of their own; `{}` if they cannot be parsed. */
export function parsed(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
