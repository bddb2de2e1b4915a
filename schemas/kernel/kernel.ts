/**
 * The format of kernel events between nodes, gateways and ingest: rows that a node sends over the uplink, to the gateway that signs
 * them, or to ingest, which binds them to session and node. Rows omit facts that ingest knows better than a node: the session's user,
 * login, node and start. orders.ts has the messages between gateway and node about kernel recording. Tested in kernel.test.ts.
 */
import { z } from 'zod';
import { kindPattern, kindsOf, storedKind } from '../events/kinds.js';
import type { KernelKind } from '../events/kinds.js';
import { eventRow, isJsonObject, sessionIdPattern } from '../events/rows.js';
import type { EventRow, SessionRow } from '../events/rows.js';

/** On the uplink and in the positions that rows name, the number of a node's log file has this bit set. The event store removes it. */
export const KERNEL_BLOCKS = 0x8000_0000;

export const kernelKinds = kindsOf('kernel') as readonly KernelKind[] as readonly [KernelKind, ...KernelKind[]];

/** The position of a kernel event, as nodes write it in `data.of`. */
export function kernelPlace({ block, index }: Pick<EventRow, 'block' | 'index'>): string {
  return `${KERNEL_BLOCKS + block}.${index}`;
}

const { index, offset_ms, path, size, sha256, address, port, name, reason, outcome, count, data } = eventRow.shape;
const session = z.string().regex(sessionIdPattern);
/** Any name, since agents may be newer than ingest; `storedKind` maps kinds that this version does not know. */
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
 * The same result as `kernelRow` at a fraction of its cost: ingest checks every row of every event log, and a busy node sends 20,000 a second.
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

/** Caches the last facts, which often repeat from row to row. */
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

/** The end of the range of the store's dates, to which later moments are clamped. */
const LAST_MOMENT = 7_258_118_400_000;

/**
 * The last row that a node sends for a session with an event log: the session's last process has ended, and no more events will
 * follow. The log may be closed.
 */
export const LAST_ROW = 'end';
export const isLastRow = (kind: unknown, name: unknown): boolean => kind === 'kernel' && name === LAST_ROW;

/** The columns that a row takes from its session: user, node, login, start and pod. */
export type RowOwner = Pick<SessionRow, 'user' | 'node' | 'login' | 'started_at' | 'cluster' | 'namespace' | 'pod' | 'container'>;

/** Completes a row from the session that it names. */
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
