/**
 * Recording what sessions do in the kernel, as the node service sees it: programs, the collecting thread, the uplink.
 *
 *     absent (something is missing: it says what) │ ready ──session──► following ──channel over──► lingering ──last process gone──► ready
 *
 * A session's first process is made inside `spawn`, and is followed from its first instruction. `settle` waits until all
 * that happened before it was read, so that what is missing can be said before the channel ends. Tested in
 * test/kernel/.
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { StenoError } from '#schemas/errors.js';
import type { KernelGap, KernelOrder } from '#schemas/kernel.js';
import type { Log } from '#runtime/log.js';
import type { BatchSource, EventBatch } from '#runtime/uplink/source.js';
import { bootClock } from './libbpf.js';
import type { FromCollector, ToCollector } from './messages.js';
import { KernelPrograms, SLOTS, explain, obstacles } from './programs.js';
import type { Obstacle } from './programs.js';

export interface KernelRecorderConfig {
  /** Of the event log. */
  readonly folder: string;
  /** Bytes the log may hold of what ingest has not stored; 1 GiB when left out. */
  readonly budget?: number;
  /** Bytes of the ring: a power of two. */
  readonly ringSize?: number;
}

export interface KernelSession {
  /** Runs `make`, which must start the session's process, as a child of this thread, before it returns. */
  spawn<T>(make: () => T): T;
  /** Resolves when everything that happened so far was read and every gap was told. Never rejects. */
  settle(): Promise<void>;
  /** The channel is over: processes that go on are followed, and their gaps go into the event log. */
  end(): void;
}

const SETTLE_MS = 2_000;
/** Programs stay attached for so long after the last session. */
const LINGER_MS = 30_000;
const MEMORY = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 128 } as const;

interface Live {
  readonly onGap: (gap: KernelGap) => void;
  open: boolean;
}

export class KernelRecorder {
  readonly obstacles: readonly Obstacle[];
  readonly batches: KernelBatches;
  readonly #programs: KernelPrograms | null;
  readonly #worker: Worker | null;
  readonly #port: MessagePort | null;
  readonly #log: Log;
  readonly #boot: () => bigint;
  readonly #live = new Map<number, Live>();
  readonly #asks = new Map<number, () => void>();
  #number = 0;
  #ask = 0;
  #linger: NodeJS.Timeout | undefined;
  #failed: string | null = null;
  #closed: (() => void) | null = null;

  private constructor(programs: KernelPrograms | null, missing: readonly Obstacle[], config: KernelRecorderConfig, log: Log) {
    this.#programs = programs;
    this.#log = log;
    this.obstacles = missing;
    this.#boot = programs === null ? () => 0n : bootClock();
    if (programs === null) {
      this.#worker = this.#port = null;
      this.batches = new KernelBatches(() => undefined);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.batches = new KernelBatches((batch, refused, payload) =>
      this.#post({ kind: 'stored', batch, refused, payload }, [payload.buffer as ArrayBuffer]),
    );
    port1.on('message', (message: FromCollector) => this.#take(message));
    port1.unref();
    this.#worker = new Worker(new URL('./collector-thread.js', import.meta.url), {
      workerData: {
        config: {
          ring: programs.ring,
          totalsFd: programs.totalsFd,
          folder: config.folder,
          ...(config.budget === undefined ? {} : { budget: config.budget }),
        },
        port: port2,
      },
      transferList: [port2],
      resourceLimits: MEMORY,
    });
    this.#worker.on('error', (error) => this.#fail(error instanceof Error ? error.message : String(error)));
    this.#worker.on('exit', () => this.#fail('the collecting thread ended'));
    this.#worker.unref();
  }

  /** Never throws: where events cannot be recorded, `obstacles` says why, and sessions are refused or go on without. */
  static open(config: KernelRecorderConfig, log: Log): KernelRecorder {
    const missing = obstacles();
    if (missing.length > 0) return new KernelRecorder(null, missing, config, log);
    try {
      return new KernelRecorder(KernelPrograms.open(config.ringSize === undefined ? {} : { ringSize: config.ringSize }), [], config, log);
    } catch (error) {
      const what = error instanceof StenoError ? (error.detail ?? error.message) : String(error);
      log.warn({ err: error }, 'kernel events cannot be recorded');
      return new KernelRecorder(null, [{ what, fix: 'Run `steno doctor` on this machine.' }], config, log);
    }
  }

  get available(): boolean {
    return this.#programs !== null && this.#failed === null;
  }

  /** In words, or null when all is well. */
  get reason(): string | null {
    return this.#failed ?? (this.obstacles.length === 0 ? null : explain(this.obstacles));
  }

  /** Throws KERNEL_RECORDING_IMPOSSIBLE. `onGap`: told while the session's channel is open. */
  session(order: KernelOrder, onGap: (gap: KernelGap) => void): KernelSession {
    const programs = this.#programs;
    if (programs === null || this.#failed !== null) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', this.reason ?? '');
    const number = this.#nextNumber();
    programs.attach();
    clearTimeout(this.#linger);
    const live: Live = { onGap, open: true };
    this.#live.set(number, live);
    const { session, classes, mode, offset_ms, error_ms } = order;
    this.#post({ kind: 'begin', session: { number, session, classes, mode, boot_ns: Number(this.#boot()), offset_ms, error_ms } });
    return {
      spawn: (make) => programs.begin(number, classes, make),
      settle: () => this.#settle(number),
      end: () => {
        if (!live.open) return;
        live.open = false;
        this.#post({ kind: 'ended', number });
      },
    };
  }

  /** Takes the programs off the kernel at once where no session needs them, as happens by itself after a while. */
  rest(): void {
    if (this.#live.size === 0) this.#programs?.detach();
  }

  async close(): Promise<void> {
    clearTimeout(this.#linger);
    if (this.#worker !== null && this.#failed === null) {
      const closed = new Promise<void>((resolve) => {
        this.#closed = resolve;
        setTimeout(resolve, SETTLE_MS).unref();
      });
      this.#post({ kind: 'close' });
      await closed;
    }
    this.#failed ??= 'closed';
    await this.#worker?.terminate();
    this.#port?.close();
    this.#programs?.close();
  }

  #post(message: ToCollector, transfer: readonly ArrayBuffer[] = []): void {
    this.#port?.postMessage(message, [...transfer]);
  }

  #nextNumber(): number {
    for (let tries = 0; tries < SLOTS; tries++) {
      this.#number = (this.#number + 1) >>> 0;
      // Counters are those of a number's slot: two sessions must not share one.
      if (![...this.#live.keys()].some((used) => used % SLOTS === this.#number % SLOTS)) return this.#number;
    }
    throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', `${SLOTS} sessions are followed already`);
  }

  #settle(number: number): Promise<void> {
    if (this.#failed !== null || !this.#live.has(number)) return Promise.resolve();
    return new Promise((resolve) => {
      const ask = ++this.#ask;
      const done = (): void => {
        clearTimeout(timer);
        this.#asks.delete(ask);
        resolve();
      };
      const timer = setTimeout(done, SETTLE_MS);
      this.#asks.set(ask, done);
      this.#post({ kind: 'settle', number, ask });
    });
  }

  #take(message: FromCollector): void {
    switch (message.kind) {
      case 'gap': {
        const live = this.#live.get(message.number);
        if (live?.open === true) live.onGap(message.gap);
        return;
      }
      case 'settled':
        return this.#asks.get(message.ask)?.();
      case 'finished':
        this.#live.delete(message.number);
        if (this.#live.size === 0) {
          this.#linger = setTimeout(() => this.#programs?.detach(), LINGER_MS);
          this.#linger.unref();
        }
        return;
      case 'batch':
        return this.batches.add({ id: message.id, table: 'kernel', payload: message.payload });
      case 'closed':
        return this.#closed?.();
      case 'failed':
        return this.#fail(message.reason);
    }
  }

  /** Sessions that are open learn of it as of a gap without an end; new ones are refused or go on without. */
  #fail(reason: string): void {
    if (this.#failed !== null) return;
    this.#failed = `kernel events are not collected any more: ${reason}`;
    this.#log.error({ reason }, 'kernel events are not collected any more');
    for (const done of this.#asks.values()) done();
  }
}

/** What the collecting thread has ready, a few batches at a time. */
export class KernelBatches implements BatchSource {
  onWork: (() => void) | null = null;
  readonly #stored: (batch: string, refused: boolean, payload: Uint8Array) => void;
  readonly #waiting = new Map<string, EventBatch>();
  #handedOut = new Set<string>();

  constructor(stored: (batch: string, refused: boolean, payload: Uint8Array) => void) {
    this.#stored = stored;
  }

  /** Whether everything was acknowledged. */
  get empty(): boolean {
    return this.#waiting.size === 0;
  }

  add(batch: EventBatch): void {
    this.#waiting.set(batch.id, batch);
    this.onWork?.();
  }

  next(): EventBatch | null {
    for (const [id, batch] of this.#waiting) {
      if (this.#handedOut.has(id)) continue;
      this.#handedOut.add(id);
      return batch;
    }
    return null;
  }

  rewind(underWay: ReadonlySet<string>): void {
    this.#handedOut = new Set(underWay);
  }

  acknowledged(id: string): void {
    this.#forget(id, false);
  }

  refused(id: string): void {
    this.#forget(id, true);
  }

  #forget(id: string, refused: boolean): void {
    const batch = this.#waiting.get(id);
    if (batch === undefined) return;
    this.#waiting.delete(id);
    this.#handedOut.delete(id);
    this.#stored(id, refused, batch.payload);
  }
}
