/**
 * The mark of an unfinished rebuild: rows of recordings are being recomputed and are not complete yet.
 *
 *  1. begin    the mark is durable before the first row is touched
 *        crash here: the mark says that nothing is done; the next rebuild starts over
 *  2. advance  after the rows of a recording are in the event store, the mark names it
 *        crash before it: that recording is processed again and gives the same rows
 *  3. finish   after the last recording the mark is removed
 *
 * The mark is a file beside the event store. It cannot be in the store, because it must outlive it, and not in the object
 * store, which is complete without it and may be on another machine or under Object Lock. If the event store was deleted or
 * replaced after the mark was written, the row of the mark's recording is missing, and the rebuild starts over. An empty
 * event store next to recordings is noticed without a mark (`rowsMissing`). Tested in rebuild.test.ts.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { recordingPrefixes } from '#recordings/read/walk.js';
import { placeOf } from '#recordings/read/stored-recording.js';

const state = z.strictObject({
  started_at: z.number().int(),
  /** The last recording whose rows are complete; empty before the first. */
  last: z.string(),
  done: z.number().int().min(0),
  /** Whether the event store was empty, so that audit rows, and kernel events of sessions without an event log, are lost. */
  lost: z.boolean(),
});
export type RebuildState = Readonly<z.infer<typeof state>>;

/** Minimum time between two writes of the mark, in ms. */
const EVERY_MS = 1_000;

export function markPath(storeFolder: string): string {
  return join(storeFolder, 'reindex.json');
}

/** Null: no rebuild is unfinished. A mark that cannot be read counts as an unfinished rebuild without progress. */
export function readMark(path: string): RebuildState | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return state.parse(JSON.parse(text));
  } catch {
    return { started_at: 0, last: '', done: 0, lost: false };
  }
}

/** Whether there are recordings but not a single session row. */
export async function rowsMissing(objects: ObjectStore, events: Pick<EventStore, 'sessions'>): Promise<boolean> {
  if ((await events.sessions({ limit: 1 })).rows.length > 0) return false;
  for await (const _ of recordingPrefixes(objects)) return true;
  return false;
}

export class RebuildMark {
  readonly #path: string;
  readonly #clock: () => number;
  #state: RebuildState;
  #written: number;

  private constructor(path: string, initial: RebuildState, clock: () => number) {
    this.#path = path;
    this.#clock = clock;
    this.#state = initial;
    this.#written = clock();
    this.#write();
  }

  /** Step 1; continues an unfinished rebuild if its rows are still there. */
  static async begin(
    path: string,
    {
      objects,
      events,
      clock,
    }: { readonly objects: ObjectStore; readonly events: Pick<EventStore, 'sessions' | 'session'>; readonly clock: () => number },
  ): Promise<RebuildMark> {
    const before = readMark(path);
    const missing = await rowsMissing(objects, events);
    const resumed = before !== null && !missing && before.last !== '' && (await events.session(placeOf(before.last).session)) !== undefined;
    const fresh = { started_at: clock(), last: '', done: 0, lost: missing || (before?.lost ?? false) };
    return new RebuildMark(path, resumed ? before : fresh, clock);
  }

  get state(): RebuildState {
    return this.#state;
  }

  /** Whether the rebuild that this one continues has already written the rows of this recording. */
  isDone(prefix: string): boolean {
    return prefix <= this.#state.last;
  }

  /** Step 2. Recordings must be passed in order of their names. */
  advance(prefix: string): void {
    this.#state = { ...this.#state, last: prefix, done: this.#state.done + 1 };
    if (this.#clock() - this.#written < EVERY_MS) return;
    this.#written = this.#clock();
    this.#write();
  }

  /** Step 3. */
  finish(): void {
    rmSync(this.#path, { force: true });
    this.#syncFolder();
  }

  /** Writes the mark atomically and durably. */
  #write(): void {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    const temporary = `${this.#path}.new`;
    const fd = openSync(temporary, 'w', 0o600);
    try {
      writeSync(fd, `${JSON.stringify(this.#state)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, this.#path);
    this.#syncFolder();
  }

  #syncFolder(): void {
    const fd = openSync(dirname(this.#path), 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}
