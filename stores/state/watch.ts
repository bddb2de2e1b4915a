/**
 * Coordination of authorities that share a state store: change notifications, and leadership.
 *
 *     connecting ──LISTEN──► listening ──connection lost──► backoff ──► connecting      (every arrival counts as a change)
 *                                │  ▲
 *                       lock got ▼  │ connection lost, and with it the lock
 *                             leading
 *
 * One process leads at a time: the one whose connection holds the advisory lock. It does work that should not be done twice,
 * such as sending audit rows to ingest. A leader that is cut off from the server stops leading when it notices, within
 * `SILENCE_MS`; the server releases the lock when it notices. In between two may lead, so the leader's work must be
 * repeatable. With SQLite there is one process, which always leads and misses nothing. Tested in `postgres.test.ts`.
 */
import type pg from 'pg';
import type { StateOptions } from './open.js';

export interface StateWatch {
  /** Another process may have changed what the authority publishes: read it again. */
  onChange(listener: () => void): void;
  /** Another process may have left audit rows in the outbox. */
  onAudit(listener: () => void): void;
  leads(): boolean;
  /** Called when this process begins to lead; immediately if it already leads. */
  onLead(listener: () => void): void;
  close(): Promise<void>;
}

const BEAT_MS = 2_000;
const SILENCE_MS = 6_000;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;

export function watchState(options: StateOptions): StateWatch {
  switch (options.kind) {
    case 'sqlite':
      return {
        onChange: () => undefined,
        onAudit: () => undefined,
        leads: () => true,
        onLead: (listener) => listener(),
        close: async () => undefined,
      };
    case 'postgres':
      return new PostgresWatch(options.url);
  }
}

class PostgresWatch implements StateWatch {
  readonly #url: string;
  readonly #changed = new Set<() => void>();
  readonly #audited = new Set<() => void>();
  readonly #led = new Set<() => void>();
  #client: pg.Client | undefined;
  #leads = false;
  #closed = false;
  #backoff = FIRST_BACKOFF_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(url: string) {
    this.#url = url;
    void this.#connect();
  }

  onChange(listener: () => void): void {
    this.#changed.add(listener);
  }

  onAudit(listener: () => void): void {
    this.#audited.add(listener);
  }

  leads(): boolean {
    return this.#leads;
  }

  onLead(listener: () => void): void {
    this.#led.add(listener);
    if (this.#leads) listener();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#leads = false;
    clearTimeout(this.#timer);
    await this.#client?.end().catch(() => undefined);
  }

  async #connect(): Promise<void> {
    const [{ default: driver }, { CHANGE_CHANNEL, connectionOptions }] = await Promise.all([import('pg'), import('./postgres.js')]);
    if (this.#closed) return;
    const client = new driver.Client({ ...connectionOptions(this.#url), query_timeout: SILENCE_MS });
    this.#client = client;
    let lost = false;
    const onLost = (): void => {
      if (lost) return;
      lost = true;
      this.#leads = false;
      clearTimeout(this.#timer);
      void client.end().catch(() => undefined);
      if (this.#closed) return;
      this.#timer = setTimeout(() => void this.#connect(), this.#backoff * (0.5 + Math.random() / 2));
      this.#backoff = Math.min(this.#backoff * 2, LONGEST_BACKOFF_MS);
    };
    client.on('error', onLost);
    client.on('end', onLost);
    client.on('notification', ({ payload }) => this.#tell(payload === 'audit_outbox' ? this.#audited : this.#changed));
    const beat = async (): Promise<void> => {
      try {
        await this.#tryToLead(client);
        if (!lost && !this.#closed) this.#timer = setTimeout(() => void beat(), BEAT_MS);
      } catch {
        onLost();
      }
    };
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANGE_CHANNEL}`);
      this.#backoff = FIRST_BACKOFF_MS;
      // Anything may have changed while the connection was down.
      this.#tell(this.#changed);
      this.#tell(this.#audited);
      await beat();
    } catch {
      onLost();
    }
  }

  async #tryToLead(client: pg.Client): Promise<void> {
    if (this.#leads) {
      await client.query('SELECT 1');
      return;
    }
    const { rows } = await client.query<{ got: boolean }>(`SELECT pg_try_advisory_lock(hashtext('steno leader')) AS got`);
    if (rows[0]?.got !== true || this.#closed) return;
    this.#leads = true;
    this.#tell(this.#led);
  }

  #tell(listeners: ReadonlySet<() => void>): void {
    for (const listener of listeners) listener();
  }
}
