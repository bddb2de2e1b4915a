/**
 * Presence of nodes and live sessions: which holder has a connection to which node, and which session, in the state store,
 * so that every authority knows.
 *
 * A holder (a gateway with its tunnels, an authority with the watches of agents) reports changes as they happen and sends a
 * heartbeat every few seconds, which updates one row per holder rather than per node. A holder silent for HOLDER_SILENCE_MS
 * holds nothing, and a restarted one, recognized by its `epoch`, reports everything again. Tested in nodes.test.ts.
 */
import { randomBytes } from 'node:crypto';
import type { Log } from '#runtime/log.js';
import type { Records } from '../../records/records.js';
import type { LiveSessionDetails, LiveSessionHolder } from '#schemas/api/inventory/live-sessions.js';
import {
  SessionRoom,
  beginSessions,
  describeSessions,
  endSessions,
  forgetSessions,
  sessionDetails,
  sessionHolder,
} from './live-sessions.js';
import { beat, beginHolder, gatewayAddresses, lastSeen, link, liveNodes, unlink } from './records.js';

const HOLDER_BEAT_MS = 2_500;
export const HOLDER_SILENCE_MS = 8_000;
/** Sessions of a holder silent for this long are deleted; they stop counting long before. */
const FORGET_MS = 600_000;

export interface HolderReport {
  readonly holder: string;
  /** Identifies this run of the holder. */
  readonly epoch: string;
  /** `host:port` for agents; empty if agents cannot connect. */
  readonly address: string;
  /** The complete list, at the beginning and on request; otherwise only changes. */
  readonly all?: readonly string[] | undefined;
  readonly up: readonly string[];
  readonly down: readonly string[];
  /** `ingest/name` of the ingest that receives its recordings; empty if none. */
  readonly ingest?: string | undefined;
  readonly sessions?:
    | { readonly up: readonly string[]; readonly down: readonly string[]; readonly details?: readonly LiveSessionDetails[] | undefined }
    | undefined;
}

export class Presence {
  readonly #records: Records;
  readonly #clock: () => number;
  readonly #room = new SessionRoom();

  constructor(records: Records, clock: () => number) {
    this.#records = records;
    this.#clock = clock;
  }

  /** False: this run of the holder is unknown, and it must report everything. */
  report({ holder, epoch, address, all, up, down, ingest = '', sessions = { up: [], down: [] } }: HolderReport): Promise<boolean> {
    const now = this.#clock();
    return this.#records.act([], async (tx) => {
      if (all !== undefined) await beginHolder(tx, { holder, epoch, address, ingest }, now);
      else if (!(await beat(tx, holder, epoch, ingest, now))) return false;
      await link(tx, holder, all ?? up, now);
      await unlink(tx, holder, down, now);
      const changed = await beginSessions(tx, holder, sessions.up, sessions.details ?? [], now);
      if (sessions.up.length > 0) await this.#room.take(tx, holder, sessions.up.length);
      await endSessions(tx, holder, sessions.down, now);
      await describeSessions(tx, holder, changed, now);
      return true;
    });
  }

  /** Rejects NOT_FOUND. */
  session(session: string): Promise<LiveSessionHolder> {
    return this.#records.read((db) => sessionHolder(db, session, this.#clock() - HOLDER_SILENCE_MS));
  }

  /** The participants of these sessions; sessions that no connected gateway holds are left out. */
  details(sessions: readonly string[]): Promise<readonly LiveSessionDetails[]> {
    return this.#records.read((db) => sessionDetails(db, sessions, this.#clock() - HOLDER_SILENCE_MS));
  }

  purge(): Promise<void> {
    this.#room.forget();
    return this.#records.act([], (tx) => forgetSessions(tx, this.#clock() - FORGET_MS));
  }

  /** Names of the present nodes, and since when. */
  live(): Promise<ReadonlyMap<string, number>> {
    return this.#records.read((db) => liveNodes(db, this.#clock() - HOLDER_SILENCE_MS));
  }

  async lastSeen(nodes: readonly string[]): Promise<ReadonlyMap<string, number | null>> {
    return nodes.length === 0 ? new Map() : this.#records.read((db) => lastSeen(db, nodes));
  }

  /** Addresses at which agents reach the connected gateways. */
  gateways(): Promise<readonly string[]> {
    return this.#records.read((db) => gatewayAddresses(db, this.#clock() - HOLDER_SILENCE_MS));
  }

  /** A holder in this process. */
  hold(holder: string, log: Log): LocalHolder {
    return new LocalHolder(this, holder, log);
  }
}

export class LocalHolder {
  readonly #presence: Presence;
  readonly #holder: string;
  readonly #log: Log;
  readonly #epoch = randomBytes(8).toString('hex');
  /** Number of connections per node. */
  readonly #held = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #known = false;
  #closed = false;
  #running: Promise<void> = Promise.resolve();

  constructor(presence: Presence, holder: string, log: Log) {
    this.#presence = presence;
    this.#holder = holder;
    this.#log = log;
    this.#timer = setInterval(() => this.#say([], []), HOLDER_BEAT_MS);
    this.#timer.unref();
  }

  up(node: string): void {
    const count = this.#held.get(node) ?? 0;
    this.#held.set(node, count + 1);
    if (count === 0) this.#say([node], []);
  }

  down(node: string): void {
    const count = this.#held.get(node) ?? 0;
    if (count > 1) return void this.#held.set(node, count - 1);
    if (this.#held.delete(node)) this.#say([], [node]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#running;
  }

  /** Serialized: reports take effect in order. */
  #say(up: readonly string[], down: readonly string[]): void {
    if (this.#closed) return;
    this.#running = this.#running
      .then(async () => {
        const report = { holder: this.#holder, epoch: this.#epoch, address: '', up, down };
        if (this.#known && (await this.#presence.report(report))) return;
        this.#known = await this.#presence.report({ ...report, all: [...this.#held.keys()], up: [], down: [] });
      })
      .catch((error: unknown) => {
        this.#known = false;
        this.#log.warn({ err: error }, 'failed to store which nodes are present');
      });
  }
}
