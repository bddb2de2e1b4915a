/**
 * Records logins on this node that belong to no session: reads them from the kernel's ring (agent/bpf/logins.h) and keeps them on disk
 * until ingest has stored them.
 *
 *     ring ──every 200 ms──► account looked up ──► queue on disk ──► uplink ──► ingest, as events of kind `login` without a session
 *
 * Every five seconds it also looks for sshd connections without a program (quiet-logins.ts). Logins for which the ring had no room are
 * reported as a gap with their count. Logins from before the start are not reported. Tested in login-watch.test.ts with a real sshd, su
 * and cron.
 */
import type { FreeEvent } from '#runtime/uplink/free-event-rows.js';
import type { Log } from '#runtime/log.js';
import { bootClock } from '../kernel/probes/libbpf.js';
import type { RingPlace } from '../kernel/probes/programs.js';
import { RING_HEADER, Ring, isDiscarded, mapRing, stride } from '../kernel/probes/ring.js';
import { Accounts } from './accounts.js';
import { loginEvent, lostLogins } from './login-event.js';
import { LOGIN_BYTES, readLogin } from './login-record.js';
import type { LoginRecord } from './login-record.js';
import { QuietLogins } from './quiet-logins.js';

const PERIOD_MS = 200;
const QUIET_PERIOD_MS = 5_000;
const TURN_BYTES = 1 << 18;

export interface LoginWatchParts {
  readonly ring: RingPlace;
  /** Takes an event and stores it. Never throws. */
  readonly tell: (event: FreeEvent) => void;
  readonly log: Log;
  /** ms since 1970. */
  readonly clock?: () => number;
}

export class LoginWatch {
  readonly #parts: LoginWatchParts;
  readonly #ring: Ring;
  readonly #boot = bootClock();
  readonly #accounts = new Accounts();
  readonly #quiet = new QuietLogins(this.#accounts);
  readonly #timers: readonly NodeJS.Timeout[];
  #telling: Promise<void> = Promise.resolve();
  #lost = 0;

  constructor(parts: LoginWatchParts) {
    this.#parts = parts;
    this.#ring = new Ring(mapRing(parts.ring));
    this.#timers = [setInterval(() => this.#read(), PERIOD_MS), setInterval(() => this.#look(), QUIET_PERIOD_MS)];
    for (const timer of this.#timers) timer.unref();
  }

  /** Resolves once everything that happened so far is recorded. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#read();
    await this.#telling;
  }

  #read(): void {
    const records: LoginRecord[] = [];
    this.#ring.read(TURN_BYTES, (bytes) => {
      const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let at = 0; at + RING_HEADER <= bytes.length;) {
        const header = words.getUint32(at, true);
        const record = isDiscarded(header) ? null : readLogin(bytes.subarray(at + RING_HEADER, at + RING_HEADER + LOGIN_BYTES));
        if (record !== null) records.push(record);
        at += stride(header);
      }
    });
    for (const record of records) this.#telling = this.#telling.then(() => this.#tell(record));
  }

  #look(): void {
    const { tell, clock = Date.now, log } = this.#parts;
    this.#telling = this.#telling
      .then(async () => {
        for (const event of await this.#quiet.look(clock())) {
          log.info({ login: event.login, address: event.address }, 'a connection by ssh that belongs to no session');
          tell(event);
        }
      })
      .catch((error: unknown) => log.warn({ err: error }, 'failed to look for connections of sshd'));
  }

  async #tell(record: LoginRecord): Promise<void> {
    const { tell, clock = Date.now, log } = this.#parts;
    this.#quiet.told(record.doorPid);
    const account = await this.#accounts.nameOf(record.uid);
    const at = clock() - Number((this.#boot() - record.time) / 1_000_000n);
    const lost = record.lost - this.#lost;
    this.#lost = record.lost;
    if (lost > 0) {
      log.warn({ count: lost }, 'logins beside Steno were missed');
      tell(lostLogins(lost, at));
    }
    const event = loginEvent(record, account, at);
    log.info({ login: event.login, door: event.name, address: event.address }, 'a login that belongs to no session');
    tell(event);
  }
}
