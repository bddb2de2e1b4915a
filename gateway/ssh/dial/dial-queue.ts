/**
 * Limits how many dials to one node run at once; the others queue. A node asked for two hundred sessions at once serves all
 * of them, but if all were dialled at once, the last would exceed the time limit of a dial (dial.ts). Tested in
 * dial-queue.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';

const AT_ONCE = 16;
/** A node that does not answer occupies its slots for as long as dialling may take. */
const WAIT_MS = 60_000;

interface Node {
  turns: number;
  readonly waiting: Set<() => void>;
}

export class DialQueue {
  readonly #nodes = new Map<string, Node>();
  readonly #waitMs: number;

  constructor(waitMs = WAIT_MS) {
    this.#waitMs = waitMs;
  }

  /**
   * Runs `dial` when a slot is free. Rejects with NODE_UNREACHABLE after a minute without one or when `signal` is aborted,
   * and as `dial` does.
   */
  async with<T>(name: string, signal: AbortSignal, dial: () => Promise<T>): Promise<T> {
    const node = this.#nodes.get(name) ?? { turns: 0, waiting: new Set() };
    this.#nodes.set(name, node);
    if (node.turns >= AT_ONCE) await this.#turn(name, node, signal);
    node.turns += 1;
    try {
      return await dial();
    } finally {
      node.turns -= 1;
      const [next] = node.waiting;
      if (next !== undefined) next();
      else if (node.turns === 0) this.#nodes.delete(name);
    }
  }

  #turn(name: string, node: Node, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', aborted);
        node.waiting.delete(turn);
      };
      const turn = (): void => {
        settle();
        resolve();
      };
      const fail = (why: string): void => {
        settle();
        reject(new StenoError('NODE_UNREACHABLE', why));
      };
      const aborted = (): void => fail('the user disconnected');
      const timer = setTimeout(() => fail(`too many sessions are dialling ${name} at once`), this.#waitMs);
      signal.addEventListener('abort', aborted);
      if (signal.aborted) return aborted();
      node.waiting.add(turn);
    });
  }
}
