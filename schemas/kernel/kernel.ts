/**
 * The contract about kernel events between nodes, gateways and ingest: rows that a node sends over the uplink, to the gateway that
 * signs them, or to ingest, which binds them to session and node. They leave out what ingest knows better than a node: the session's user, login, node and start. What gateway
 * and node say to each other about them is in orders.ts. Tested in kernel.test.ts.
 */
import { z } from 'zod';
import { kindPattern, kindsOf, storedKind } from '../events/kinds.js';
import type { KernelKind } from '../events/kinds.js';
import { eventRow, isJsonObject, sessionIdPattern } from '../events/rows.js';
import type { EventRow, SessionRow } from '../events/rows.js';

/** On the uplink and in the places that rows name, the number of a node's log file has this bit. The event store leaves it out. */
export const KERNEL_BLOCKS = 0x8000_0000;

export const kernelKinds = kindsOf('kernel') as readonly KernelKind[] as readonly [KernelKind, ...KernelKind[]];

/** The place of a kernel's event, as nodes write it in `data.of`. */
export function kernelPlace({ block, index }: Pick<EventRow, 'block' | 'index'>): string {
  return `${KERNEL_BLOCKS + block}.${index}`;
}

const { index, offset_ms, path, size, sha256, address, port, name, reason, outcome, count, data } = eventRow.shape;
const session = z.string().regex(sessionIdPattern);
/** Agents may be newer than ingest: `storedKind` tells what this version knows. */
const kind = z.string().regex(kindPattern);
const block = z.int().min(KERNEL_BLOCKS).max(0xffff_ffff);

/** One row on the uplink: the columns in this order. */
export const kernelRow = z.tuple([
  session,
  block,
  index,
  offset_ms,
  kind,
  path,
  size,
  sha256,
  address,
  port,
  name,
  reason,
  outcome,
  count,
  data,
]);
export type KernelRow = z.infer<typeof kernelRow>;
const COLUMNS = kernelRow.def.items.length;

/**
 * The same answer as `kernelRow` at a fraction of its cost: ingest checks every row of every event log, and a busy node makes 20,000 a second.
 * Compared with `kernelRow` in kernel.test.ts.
 */
export function isKernelRow(value: readonly unknown[]): value is KernelRow {
  if (value.length !== COLUMNS) return false;
  const [id, blockNumber, place, offset, what, where, bytes, digest, host, portNumber, title, why, result, times, facts] = value;
  return (
    typeof id === 'string' &&
    sessionIdPattern.test(id) &&
    isNumber(blockNumber, KERNEL_BLOCKS, 0xffff_ffff) &&
    isNumber(place, 0, 0xffff_ffff) &&
    isNumber(offset, 0, Number.MAX_SAFE_INTEGER) &&
    typeof what === 'string' &&
    kindPattern.test(what) &&
    isText(where, 4096) &&
    (bytes === null || isNumber(bytes, 0, Number.MAX_SAFE_INTEGER)) &&
    (digest === '' || (typeof digest === 'string' && /^[0-9a-f]{64}$/.test(digest))) &&
    isText(host, 255) &&
    (portNumber === null || isNumber(portNumber, 0, 0xffff)) &&
    isText(title, 4096) &&
    isText(why, 4096) &&
    isText(result, 255) &&
    (times === null || isNumber(times, 0, Number.MAX_SAFE_INTEGER)) &&
    isText(facts, 262_144) &&
    isFacts(facts)
  );
}

/** What a process does again and again often has the same facts. */
let lastFacts = '{}';

function isFacts(text: string): boolean {
  if (text === lastFacts) return true;
  if (!isJsonObject(text)) return false;
  lastFacts = text;
  return true;
}

function isNumber(value: unknown, least: number, most: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

function isText(value: unknown, longest: number): value is string {
  return typeof value === 'string' && value.length <= longest;
}

export const MAX_KERNEL_ROWS = 4_000;
export const kernelRows = z.array(kernelRow).max(MAX_KERNEL_ROWS);

/** A moment beyond what the store's dates hold is put at its end. */
const LAST_MOMENT = 7_258_118_400_000;

/**
 * The last row that a node sends of a session whose rows are logged: its last process is gone, and nothing more is known of it.
 * The log may be closed.
 */
export const LAST_ROW = 'end';
export const isLastRow = (kind: unknown, name: unknown): boolean => kind === 'kernel' && name === LAST_ROW;

/** What a row takes from its session: all of them say whose they are, and in which pod. */
export type RowOwner = Pick<SessionRow, 'user' | 'node' | 'login' | 'started_at' | 'cluster' | 'namespace' | 'pod' | 'container'>;

/** Completes a row by the session that it names. */
export function kernelEvent(row: KernelRow, of: RowOwner): EventRow {
  const [id, blockNumber, place, offset, what, where, bytes, digest, host, portNumber, title, why, result, times, facts] = row;
  return {
    session: id,
    source: 'kernel',
    emitter: `agent/${of.node}`,
    block: blockNumber - KERNEL_BLOCKS,
    index: place,
    at: Math.min(LAST_MOMENT, of.started_at + offset),
    offset_ms: offset,
    ...storedKind('kernel', what),
    user: of.user,
    node: of.node,
    login: of.login,
    cluster: of.cluster,
    namespace: of.namespace,
    pod: of.pod,
    container: of.container,
    path: where,
    size: bytes,
    sha256: digest,
    address: host,
    port: portNumber,
    name: title,
    reason: why,
    outcome: result,
    count: times,
    data: facts,
  };
}
