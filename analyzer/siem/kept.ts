/**
 * Runs the SIEM destinations that the authority keeps: each has one exporter until its document or its secrets change.
 *
 *     snapshot.siem_set changes, or a minute went by ──► the set is read ──► what is new starts, what is gone ends,
 *                                                                            what changed ends and starts where it was
 *
 * The set is read every minute because secrets can change without their document. While the authority is unreachable, running exporters
 * continue. A destination whose secret cannot be read, or whose name is also in this analyzer's file, is not served and is reported as
 * failing. Tested in test/survival/siem-destinations.test.ts.
 */
import type { z } from 'zod';
import { readSiemSet } from '#schemas/api/detection/siem.js';
import type { SiemReport } from '#schemas/api/recordings/status.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Log } from '#runtime/log.js';
import { pause } from '#runtime/pause.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import type { Exporter } from './exporter.js';
import type { Credentials } from './sending.js';

type Kept = z.output<typeof readSiemSet.answer>[number];

export interface KeptDestinationsParts {
  readonly authority: Pick<AuthorityClient, 'current' | 'onChange' | 'detection'>;
  readonly start: (document: Kept['document'], credentials: Credentials) => Exporter;
  /** Names in this analyzer's file. */
  readonly named: ReadonlySet<string>;
  readonly log: Log;
  readonly lookMs?: number;
  readonly retryMs?: number;
}

const LOOK_MS = 60_000;
const RETRY_MS = 2_000;

interface Served {
  readonly document: Kept['document'];
  /** The whole entry as JSON: a changed entry restarts its exporter. */
  readonly entry: string;
  readonly by: { readonly kind: 'exporter'; readonly exporter: Exporter } | { readonly kind: 'fault'; readonly error: string };
}

export class KeptDestinations {
  readonly #parts: KeptDestinationsParts;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  readonly #stopWatching: () => void;
  #served: ReadonlyMap<string, Served> = new Map();
  #wake = new AbortController();

  constructor(parts: KeptDestinationsParts) {
    this.#parts = parts;
    let digest = parts.authority.current().siem_set;
    this.#stopWatching = parts.authority.onChange(() => {
      const now = parts.authority.current().siem_set;
      if (now === digest) return;
      digest = now;
      this.#wake.abort();
    });
    this.#running = this.#follow();
  }

  report(): readonly SiemReport[] {
    return [...this.#served.values()].map(({ document: { name, format }, by }) =>
      by.kind === 'exporter'
        ? by.exporter.report()
        : { name, format, state: 'failing', error: by.error, sent: 0, refused: 0, waiting: 0, lag_ms: 0 },
    );
  }

  async close(): Promise<void> {
    this.#stopWatching();
    this.#closing.abort();
    await this.#running;
    await Promise.all([...this.#served.values()].map(end));
  }

  async #follow(): Promise<void> {
    const { authority, log, lookMs = LOOK_MS, retryMs = RETRY_MS } = this.#parts;
    while (!this.#closing.signal.aborted) {
      // Create this before the set is read, so that a change during the read ends the next wait.
      this.#wake = new AbortController();
      let wait = lookMs;
      try {
        await this.#serve(await call(authority.detection, readSiemSet, {}));
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        // An older authority keeps no destinations.
        if (!(error instanceof StenoError && error.code === 'NOT_FOUND')) {
          log.warn({ err: error }, 'failed to read the SIEM destinations of the authority; trying again');
          wait = retryMs;
        }
      }
      await pause(wait, AbortSignal.any([this.#closing.signal, this.#wake.signal]));
    }
  }

  async #serve(set: readonly Kept[]): Promise<void> {
    const before = this.#served;
    const wanted = new Map(set.map((kept) => [kept.document.name, { kept, entry: JSON.stringify(kept) }]));
    const over = [...before].filter(([name, { entry }]) => wanted.get(name)?.entry !== entry);
    // First end exporters: two under one name would send twice, and each from a position that the other moves.
    await Promise.all(over.map(([, served]) => end(served)));
    if (this.#closing.signal.aborted) {
      this.#served = new Map([...before].filter(([name]) => !over.some(([gone]) => gone === name)));
      return;
    }
    this.#served = new Map(
      [...wanted].map(([name, { kept, entry }]) => {
        const known = before.get(name);
        return [name, known?.entry === entry ? known : { document: kept.document, entry, by: this.#begin(kept) }];
      }),
    );
  }

  #begin({ document, token, key, lacking }: Kept): Served['by'] {
    const { start, named, log } = this.#parts;
    const error = named.has(document.name) ? 'the file of this analyzer has a destination of the same name' : lacking;
    if (error !== null) {
      log.warn({ destination: document.name, error }, 'a SIEM destination of the authority is not served');
      return { kind: 'fault', error };
    }
    const { ca, certificate } = document;
    const credentials = {
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined ? {} : { certificate }),
      ...(key === null ? {} : { key }),
      ...(token === null ? {} : { token }),
    };
    return { kind: 'exporter', exporter: start(document, credentials) };
  }
}

async function end({ by }: Served): Promise<void> {
  if (by.kind === 'exporter') await by.exporter.close();
}
