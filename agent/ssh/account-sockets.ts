/**
 * Sockets that a connection opens on behalf of its account, by path and over TCP, from a helper that has the account's ids
 * (helper/). The helper starts when the connection first needs it; if it cannot start, or ends, nothing can be opened.
 * Tested in test/agent/streamlocal.test.ts and test/agent/agent.test.ts with stock ssh.
 */
import type { Socket } from 'node:net';
import { getSystemErrorMap } from 'node:util';
import type { Log } from '#runtime/log.js';
import type { Account } from '../login/account.js';
import type { Helper, Helpers, Listening } from '../helper/helper.js';
import type { Place } from '../helper/messages.js';

const systemErrors = new Map(getSystemErrorMap().values());

export type Dialled = { readonly socket: Socket } | { /** In sshd's words, for example "connection refused". */ readonly why: string };

export class AccountSockets {
  readonly #account: Account;
  readonly #helpers: Helpers;
  readonly #log: Log;
  #helper: Promise<Helper | null> | undefined;
  #closed = false;

  constructor(account: Account, helpers: Helpers, log: Log) {
    this.#account = account;
    this.#helpers = helpers;
    this.#log = log;
  }

  async connect(place: Place): Promise<Dialled> {
    const result = (await (await this.#ready())?.connect(place)) ?? { code: '' };
    if ('socket' in result) return result;
    return { why: systemErrors.get(result.code) ?? (result.code === '' ? 'the node could not ask' : result.code) };
  }

  /** Null if the account may not listen there, or something exists there. */
  async listen(place: Place, accept: (socket: Socket) => void): Promise<Listening | null> {
    return (await (await this.#ready())?.listen(place, accept)) ?? null;
  }

  close(): void {
    this.#closed = true;
    void this.#helper?.then((helper) => helper?.close());
  }

  #ready(): Promise<Helper | null> {
    if (this.#closed) return Promise.resolve(null);
    return (this.#helper ??= this.#start());
  }

  async #start(): Promise<Helper | null> {
    let helper: Helper | undefined;
    try {
      helper = this.#helpers.fresh();
      if (await helper.become(this.#account)) return helper;
    } catch (error) {
      // No process or descriptor is available.
      this.#log.warn({ err: error }, 'a login has no helper for its forwardings');
    }
    helper?.close();
    return null;
  }
}
