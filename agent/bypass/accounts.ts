/**
 * Looks up the account of a uid with getent(1), so that NSS sources count. Answers are cached for a minute. Tested in
 * login-watch.test.ts.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { LRUCache } from 'lru-cache';

const run = promisify(execFile);
const KEPT_MS = 60_000;
const TIMEOUT_MS = 5_000;

export class Accounts {
  readonly #names = new LRUCache<number, string>({ max: 1_000, ttl: KEPT_MS });

  /** '' if there is no such account, or if its source does not answer. */
  async nameOf(uid: number): Promise<string> {
    const known = this.#names.get(uid);
    if (known !== undefined) return known;
    let name = '';
    try {
      const { stdout } = await run('getent', ['passwd', String(uid)], { timeout: TIMEOUT_MS, maxBuffer: 64 << 10 });
      name = stdout.split(':', 1)[0] ?? '';
    } catch {
      // No such account.
    }
    this.#names.set(uid, name);
    return name;
  }
}
