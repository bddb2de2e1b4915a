/**
 * The rules that an analyzer evaluates: those in its files, and those kept by the authority.
 *
 *     start ──files read strictly──► the authority's read ──► in force ◄─────────────┐
 *                                                               │ files (SIGHUP), or the set of the authority has changed
 *                                                               └──► read again; what cannot be read leaves those before in force
 *
 * The outcome for each rule of the authority is reported when a set comes into force, and every minute with its matches. Tested in
 * test/survival/rules-in-force.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { EventStore } from '#stores/events/contract.js';
import type { Log } from '#runtime/log.js';
import { pause } from '#runtime/pause.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import { KnownGood } from '../software/known-good.js';
import { CatalogueReporter } from './catalogue.js';
import { bookOf, readKeptSet, reportKept } from './kept-rules.js';
import type { KeptBook, KeptSet } from './kept-rules.js';
import { detectorsOf } from './detector-set.js';
import type { DetectorSet } from './detector-set.js';
import { hashOf, readFolders } from './rule-book.js';
import type { RuleFile } from '../sigma/rule-set.js';

export interface RulesInForceParts {
  readonly folders: readonly string[];
  /** What `readFolders` has read of them already, to check them. */
  readonly files?: readonly RuleFile[];
  readonly history: Pick<EventStore, 'readOnlySql' | 'scan'>;
  readonly authority: Pick<AuthorityClient, 'current' | 'onChange' | 'detection'>;
  /** Prefixes of tickets, one of which a reason must name. */
  readonly trackers?: readonly string[];
  readonly log: Log;
  /** Whether this analyzer follows sessions. If omitted, it always does. */
  readonly active?: () => boolean;
  readonly reportEveryMs?: number;
  readonly retryMs?: number;
}

const REPORT_EVERY_MS = 60_000;
const RETRY_MS = 2_000;
/** A folder of rules arrives in several calls, and each new set replays every open session, so successive changes are combined. */
const SETTLE_MS = 250;

export class RulesInForce {
  readonly #parts: RulesInForceParts;
  readonly #closing = new AbortController();
  readonly #catalogue: CatalogueReporter;
  #kept: KeptSet = { rules: { version: 0, rules: [] }, honey: [], good: new KnownGood() };
  #reports: KeptBook['reports'] = [];
  #files: readonly RuleFile[];
  #set: DetectorSet | null = null;
  #onSet: (set: DetectorSet) => void = () => undefined;
  #reading: Promise<void> | null = null;
  readonly #releases: (() => void)[] = [];

  constructor(parts: RulesInForceParts) {
    this.#parts = parts;
    this.#files = parts.files ?? [];
    this.#catalogue = new CatalogueReporter(parts.authority.detection);
  }

  /** Returns the first set; `onSet` is called with every later one. */
  async start(onSet: (set: DetectorSet) => void): Promise<DetectorSet> {
    const { authority } = this.#parts;
    while (!(await this.#readKept()) && !this.#closing.signal.aborted) await this.#pause();
    const first = this.load();
    this.#onSet = onSet;
    this.#releases.push(authority.onChange(() => this.#changed()));
    // Something may have changed since it was read.
    this.#changed();
    const timer = setInterval(() => void this.#report(), this.#parts.reportEveryMs ?? REPORT_EVERY_MS);
    timer.unref();
    this.#releases.push(() => clearInterval(timer));
    return first;
  }

  /** Reads the files again. Throws the reason if they cannot be read; the previous set then stays in force. */
  load(): DetectorSet {
    const { folders, history, log } = this.#parts;
    const files = readFolders(folders, this.#files);
    this.#files = files;
    const { rules: kept, honey, good } = this.#kept;
    const { set: rules, versions, reports } = bookOf(files, kept.rules);
    const hash = hashOf([
      ...files,
      ...kept.rules.map(({ id, version, text }) => ({ text: `${id} ${version}\n${text}` })),
      ...honey.map(({ id }) => ({ text: id })),
      ...good.lists.map((list) => ({ text: `${list.name} ${list.import}` })),
    ]);
    const set = detectorsOf({ ...rules, hash, files: files.length, versions }, history, honey, good, this.#parts.trackers);
    const refused = reports.filter(({ state }) => state === 'refused').length;
    log.info({ rules: set.rules, kept: kept.rules.length, refused, lacking: rules.lacking.length, hash }, 'rules loaded');
    this.#reports = reports;
    this.#set = set;
    this.#catalogue.reset();
    void this.#report();
    return set;
  }

  /** This analyzer begins to follow sessions: what it counts begins anew. */
  becameActive(): void {
    this.#catalogue.reset();
    void this.#report();
  }

  close(): void {
    this.#closing.abort();
    for (const release of this.#releases.splice(0)) release();
  }

  #changed(): void {
    if ((this.#parts.authority.current().rule_set ?? 0) === this.#kept.rules.version) return;
    this.#reading ??= this.#follow().finally(() => {
      this.#reading = null;
    });
  }

  async #follow(): Promise<void> {
    while (!this.#closing.signal.aborted && (this.#parts.authority.current().rule_set ?? 0) > this.#kept.rules.version) {
      await this.#pause(SETTLE_MS);
      if (!(await this.#readKept())) {
        await this.#pause();
        continue;
      }
      if (this.#closing.signal.aborted) return;
      try {
        this.#onSet(this.load());
      } catch (error) {
        this.#parts.log.error({ err: error }, 'failed to read the rules; the ones before stay in force');
      }
    }
  }

  /** Returns false if the authority is unreachable. */
  async #readKept(): Promise<boolean> {
    try {
      this.#kept = await readKeptSet(this.#parts.authority.detection, this.#kept.good);
      return true;
    } catch (error) {
      // An older authority keeps no rules.
      if (error instanceof StenoError && error.code === 'NOT_FOUND') return true;
      if (!this.#closing.signal.aborted) this.#parts.log.warn({ err: error }, 'failed to read the rules of the authority; trying again');
      return false;
    }
  }

  async #report(): Promise<void> {
    const set = this.#set;
    if (this.#closing.signal.aborted || set === null) return;
    try {
      await reportKept(this.#parts.authority.detection, this.#reports, set.counts().hits);
      if (this.#parts.active?.() ?? true) await this.#catalogue.report(set.catalogue());
    } catch (error) {
      // An older authority has no catalogue.
      if (error instanceof StenoError && error.code === 'NOT_FOUND') return;
      if (!this.#closing.signal.aborted) this.#parts.log.warn({ err: error }, 'failed to report on rules; trying again in a minute');
    }
  }

  async #pause(ms = this.#parts.retryMs ?? RETRY_MS): Promise<void> {
    await pause(ms, this.#closing.signal);
  }
}
