/**
 * In the background of a running ingest, finishes an interrupted `steno reindex`, and rebuilds an event store that is empty
 * although there are recordings.
 *
 *     idle ──mark, or no rows beside recordings──► running ──all done──► idle, the mark gone, an audit row
 *                                                    └── closed, or the store fails: the mark stays, the next start goes on
 *
 * After each recording it pauses for as long as the recording took, so it uses at most half of one thread. A damaged
 * recording is indexed up to the damage, logged and counted, and does not stop the rebuild. Tested in rebuild.test.ts and
 * test/end-to-end/reindex.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IndexProgress } from '#schemas/api/recordings/status.js';
import type { Log } from '#runtime/log.js';
import type { EventStore } from '#stores/events/contract.js';
import { RebuildMark, readMark, rowsMissing } from './rebuild-mark.js';
import { recordingPrefixes, walkRecordings } from '#recordings/read/walk.js';
import { reindex } from './reindex.js';
import type { ReindexParts } from './reindex.js';

export interface RebuildParts extends ReindexParts {
  readonly events: EventStore;
  readonly log: Log;
  readonly clock: () => number;
}

const MAX_REST_MS = 2_000;

export class Rebuild {
  readonly #parts: RebuildParts;
  readonly #abort = new AbortController();
  #mark: RebuildMark | null = null;
  #total = 0;
  #skipped = 0;
  #failed = false;
  #running: Promise<void> = Promise.resolve();

  private constructor(parts: RebuildParts) {
    this.#parts = parts;
  }

  /** Checks whether a rebuild is needed, before anything else writes rows, and writes the mark. Starts nothing yet. */
  static async look(parts: RebuildParts, path: string): Promise<Rebuild> {
    const rebuild = new Rebuild(parts);
    if (readMark(path) !== null || (await rowsMissing(parts.objects, parts.events))) rebuild.#mark = await RebuildMark.begin(path, parts);
    return rebuild;
  }

  /** Progress of the rebuild; null when all rows are complete. */
  progress(): IndexProgress | null {
    if (this.#mark === null) return null;
    return { done: this.#mark.state.done, total: this.#total, lost: this.#mark.state.lost, failed: this.#failed };
  }

  start(): void {
    if (this.#mark === null) return;
    const { log } = this.#parts;
    this.#running = this.#run(this.#mark).catch((error: unknown) => {
      if (this.#abort.signal.aborted) return;
      this.#failed = true;
      log.error({ err: error }, 'rebuilding the event store failed; the next start or `steno reindex` continues');
    });
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(mark: RebuildMark): Promise<void> {
    const { objects, log, clock } = this.#parts;
    const { signal } = this.#abort;
    const run = randomBytes(8).toString('hex');
    for await (const _ of recordingPrefixes(objects)) {
      this.#total += 1;
      if (signal.aborted) return;
    }
    log.warn({ done: mark.state.done, recordings: this.#total }, 'the event store is incomplete and is being rebuilt from the recordings');
    let began = clock();
    for await (const walked of walkRecordings(
      objects,
      (prefix) => reindex(this.#parts, prefix, run),
      (prefix) => mark.isDone(prefix),
    )) {
      if (walked.kind === 'damaged') {
        this.#skipped += 1;
        log.error({ prefix: walked.prefix, ...walked.fault }, 'a recording is damaged; it is indexed up to the damage');
      }
      if (signal.aborted) return;
      // The mark must name a recording that has its row: a missing row reveals that the store was replaced.
      if (walked.kind === 'done') mark.advance(walked.prefix);
      await sleep(Math.min(MAX_REST_MS, clock() - began), undefined, { signal });
      began = clock();
    }
    await this.#audit(mark, run);
    mark.finish();
    this.#mark = null;
    log.info({ recordings: this.#total, skipped: this.#skipped }, 'the event store was rebuilt');
  }

  async #audit(mark: RebuildMark, run: string): Promise<void> {
    const id = `rebuilt ${run}`;
    const at = this.#parts.clock();
    await this.#parts.events.insert(
      'audit',
      [
        {
          id,
          at,
          event: 'events.rebuilt',
          actor: 'ingest',
          target: '',
          outcome: this.#skipped === 0 ? 'success' : 'failure',
          code: '',
          reason: mark.state.lost
            ? 'the event store was empty; earlier audit rows, and kernel events of sessions without an event log, are in no recording and are lost'
            : '',
          source_address: '',
          session: '',
          node: '',
          login: '',
          data: JSON.stringify({ recordings: this.#total, skipped: this.#skipped, since: mark.state.started_at }),
        },
      ],
      id,
    );
  }
}
