/**
 * Kernel events sent here directly by nodes: checked, bound to their session and inserted. They are in no event log and are
 * not signed. If a session has an event log, its rows are accepted only through the log: the node could otherwise add rows
 * long afterwards.
 *
 * A node may report only sessions that run on it: the session's row, which comes from the gateway's recording, names the
 * node, the user and the start. Events that arrive before that row wait briefly; then the node is told to resend them.
 * Tested in kernel-events.test.ts.
 */
import { LRUCache } from 'lru-cache';
import { StenoError } from '#schemas/base/errors.js';
import { KERNEL_BLOCKS, kernelEvent, kernelRows } from '#schemas/kernel/kernel.js';
import type { KernelRow, RowOwner } from '#schemas/kernel/kernel.js';
import { sessionTime } from '#schemas/recording/line.js';
import type { EventRow } from '#schemas/events/rows.js';
import { eventPartKey, recordingPrefix } from '#schemas/recording/layout.js';
import type { EventStore } from '#stores/events/contract.js';
import { unlessMissing } from '#stores/objects/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { RowBatch } from '../writing/row-batch.js';

export interface KernelEventParts {
  readonly events: Pick<EventStore, 'session' | 'events'>;
  readonly objects: Pick<ObjectStore, 'size'>;
  /** Whether a gateway is sending this session's event log at the moment. */
  readonly logged: (session: string) => boolean;
  readonly batch: RowBatch;
  /** ms since 1970. */
  readonly clock: () => number;
}

const KNOWN = 10_000;
/** The first block of a recording leaves its gateway within a second. */
const WAIT_MS = 4_000;
const LOOK_MS = 150;
/** A session that began this long ago and has no recording will never have one. */
const GIVEN_UP_MS = 24 * 3_600_000;

export class KernelEvents {
  readonly #parts: KernelEventParts;
  readonly #known = new LRUCache<string, RowOwner>({ max: KNOWN });
  readonly #looking = new Map<string, Promise<RowOwner | null>>();
  #closed = false;

  constructor(parts: KernelEventParts) {
    this.#parts = parts;
  }

  /**
   * Resolves when the rows are durable. Rejects with UPLINK_MALFORMED, UPLINK_UNAUTHENTICATED for a session of another node,
   * SESSION_UNKNOWN for one that will never be known, UPLINK_EARLY (to be sent again), or as the store does.
   */
  async add(node: string, id: string, value: unknown): Promise<void> {
    const parsed = kernelRows.safeParse(value);
    if (!parsed.success) throw new StenoError('UPLINK_MALFORMED', `events: ${parsed.error.issues[0]?.path.join('.') ?? ''}`);
    const places = new Map<string, RowOwner | null>();
    for (const [session] of parsed.data) {
      if (!places.has(session)) places.set(session, await this.#place(node, session, parsed.data));
    }
    const events: EventRow[] = parsed.data.flatMap((row: KernelRow) => {
      const place = places.get(row[0])!;
      return place === null ? [] : [kernelEvent(row, place)];
    });
    if (events.length > 0) await this.#parts.batch.add({ id: `kernel ${node} ${id}`, events });
  }

  close(): void {
    this.#closed = true;
  }

  /** Null: the rows of this session are already here, through its event log. */
  async #place(node: string, session: string, rows: readonly KernelRow[]): Promise<RowOwner | null> {
    const known = this.#known.get(session) ?? (await this.#look(session));
    if (known === null) {
      const old = this.#parts.clock() - sessionTime(session) > GIVEN_UP_MS;
      throw new StenoError(old ? 'SESSION_UNKNOWN' : 'UPLINK_EARLY', session);
    }
    if (known.node !== node) throw new StenoError('UPLINK_UNAUTHENTICATED', `session ${session} is on another node`);
    if (!(await this.#hasLog(session, known))) return known;
    if (await this.#isLogged(session, rows)) return null;
    throw new StenoError('UPLINK_UNAUTHENTICATED', `session ${session} has an event log`);
  }

  async #hasLog(session: string, { started_at: startedAt }: RowOwner): Promise<boolean> {
    if (this.#parts.logged(session)) return true;
    const first = eventPartKey(recordingPrefix(session, startedAt), 1);
    return (await unlessMissing(() => this.#parts.objects.size(first))) !== null;
  }

  /**
   * Whether the session's event log is already past these rows: a node that has not received the acknowledgement resends
   * them, and a gateway that has finished the log no longer knows it. Logs take rows in order, so rows not after the last
   * one were taken.
   */
  async #isLogged(session: string, rows: readonly KernelRow[]): Promise<boolean> {
    const [, block, index] = rows.findLast(([id]) => id === session)!;
    const file = block - KERNEL_BLOCKS;
    const after = index === 0 ? { block: file - 1, index: 0xffff_ffff } : { block: file, index: index - 1 };
    const { rows: found } = await this.#parts.events.events({ session, source: 'kernel', order: 'session', after, limit: 1 });
    return found.length > 0;
  }

  #look(session: string): Promise<RowOwner | null> {
    const looking = this.#looking.get(session) ?? this.#search(session).finally(() => this.#looking.delete(session));
    this.#looking.set(session, looking);
    return looking;
  }

  async #search(session: string): Promise<RowOwner | null> {
    for (let waited = 0; ; waited += LOOK_MS) {
      const row = await this.#parts.events.session(session);
      if (row !== undefined) {
        const { user, node, login, started_at, cluster, namespace, pod, container } = row;
        this.#known.set(session, { user, node, login, started_at, cluster, namespace, pod, container });
        return row;
      }
      if (waited >= WAIT_MS || this.#closed) return null;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
}
