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
import { StenoError } from '#schemas/base/errors.js';
import type { KernelOrder, KernelReport } from '#schemas/kernel/orders.js';
import type { Log } from '#runtime/log.js';
import { KernelBatches } from './kernel-batches.js';
import { bootClock } from './probes/libbpf.js';
import type { FromCollector, ToCollector } from './collecting/messages.js';
import { KernelPrograms, SLOTS, explain, obstacles } from './probes/programs.js';
import type { Obstacle } from './probes/programs.js';
import { offsetOf } from './rows/rows.js';
import type { SessionClock } from './rows/rows.js';

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
/** The collecting thread says each second that it runs; without a word for so long it counts as gone. */
const SILENCE_MS = 20_000;
const MEMORY = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 128 } as const;

/** The programs, or what stands in their way. */
export type KernelLoad =
  { readonly kind: 'loaded'; readonly programs: KernelPrograms } | { readonly kind: 'missing'; readonly obstacles: readonly Obstacle[] };

interface Live {
  readonly report: (report: KernelReport) => void;
  readonly clock: SessionClock;
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
  /** When the collecting thread was last heard of, while sessions are followed; ms of a clock that never stands. */
  #heard = 0;
  #watchdog: NodeJS.Timeout | undefined;
  #failed: string | null = null;
  #closed: (() => void) | null = null;

  private constructor(programs: KernelPrograms | null, missing: readonly Obstacle[], config: KernelRecorderConfig, log: Log) {
    this.#programs = programs;
    this.#log = log;
    this.obstacles = missing;
    this.#boot = programs === null ? () => 0n : bootClock();
    if (programs === null) {
      this.#worker = this.#port = null;
      this.batches = new KernelBatches({ stored: () => undefined, parked: () => undefined, log });
      return;
    }
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.batches = new KernelBatches({
      stored: (batch, lost, payload) =>
        this.#post(
          { kind: 'stored', batch, lost, ...(payload === undefined ? {} : { payload }) },
          payload === undefined ? [] : [payload.buffer as ArrayBuffer],
        ),
      parked: (batch, payload) => this.#post({ kind: 'parked', batch, payload }, [payload.buffer as ArrayBuffer]),
      log,
    });
    port1.on('message', (message: FromCollector) => this.#take(message));
    port1.unref();
    this.#worker = new Worker(new URL('./collecting/collector-thread.js', import.meta.url), {
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

  /** Takes a third of a second, in which the kernel checks the programs. Never throws. */
  static load(ringSize?: number): KernelLoad {
    const missing = obstacles();
    if (missing.length > 0) return { kind: 'missing', obstacles: missing };
    try {
      return { kind: 'loaded', programs: KernelPrograms.open(ringSize === undefined ? {} : { ringSize }) };
    } catch (error) {
      const what = error instanceof StenoError ? (error.detail ?? error.message) : String(error);
      return { kind: 'missing', obstacles: [{ what, fix: 'Run `steno doctor` on this machine.' }] };
    }
  }

  /** Never throws: where events cannot be recorded, `obstacles` says why, and sessions are refused or go on without. */
  static open(config: KernelRecorderConfig, log: Log, load: KernelLoad = KernelRecorder.load(config.ringSize)): KernelRecorder {
    return load.kind === 'loaded'
      ? new KernelRecorder(load.programs, [], config, log)
      : new KernelRecorder(null, load.obstacles, config, log);
  }

  get available(): boolean {
    return this.#programs !== null && this.#failed === null;
  }

  /** In words, or null when all is well. */
  get reason(): string | null {
    return this.#failed ?? (this.obstacles.length === 0 ? null : explain(this.obstacles));
  }

  /**
   * Throws KERNEL_RECORDING_IMPOSSIBLE. `report`: told while the session's channel is open: of gaps, of how far events are kept,
   * and `off` when they are collected no more.
   */
  session(order: KernelOrder, report: (report: KernelReport) => void): KernelSession {
    const programs = this.#programs;
    if (programs === null || this.#failed !== null) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', this.reason ?? '');
    const number = this.#nextNumber();
    programs.attach();
    clearTimeout(this.#linger);
    const { session, classes, mode, offset_ms, error_ms } = order;
    const clock: SessionClock = { session, boot_ns: Number(this.#boot()), offset_ms, error_ms };
    const live: Live = { report, clock, open: true };
    if (this.#live.size === 0) this.#watch();
    this.#live.set(number, live);
    this.#post({ kind: 'begin', session: { number, classes, mode, ...clock } });
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
    clearInterval(this.#watchdog);
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

  /** One session's channel is no matter of the others. */
  #tell(live: Live, report: KernelReport): void {
    if (!live.open) return;
    try {
      live.report(report);
    } catch (error) {
      this.#log.error({ err: error }, 'a session could not be told of its kernel events');
    }
  }

  #take(message: FromCollector): void {
    switch (message.kind) {
      case 'gap': {
        const live = this.#live.get(message.number);
        if (live !== undefined) this.#tell(live, message.gap);
        return;
      }
      case 'alive':
        this.#heard = performance.now();
        for (const number of message.sessions) {
          const live = this.#live.get(number);
          if (live !== undefined) this.#tell(live, { state: 'read', until_ms: offsetOf(live.clock, message.boot_ns) });
        }
        return;
      case 'settled':
        return this.#asks.get(message.ask)?.();
      case 'finished':
        this.#live.delete(message.number);
        if (this.#live.size === 0) {
          clearInterval(this.#watchdog);
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

  /** A thread that was stopped, by a debugger for one, does not say so. */
  #watch(): void {
    this.#heard = performance.now();
    clearInterval(this.#watchdog);
    let looked = this.#heard;
    this.#watchdog = setInterval(() => {
      const now = performance.now();
      // A whole process that stood still has heard nothing either.
      const stood = now - looked > SILENCE_MS / 2;
      looked = now;
      if (stood) this.#heard = now;
      else if (now - this.#heard > SILENCE_MS) this.#fail('the collecting thread does not answer');
    }, SILENCE_MS / 10);
    this.#watchdog.unref();
  }

  /** Sessions that are open learn of it as of a gap without an end; new ones are refused or go on without. */
  #fail(reason: string): void {
    if (this.#failed !== null) return;
    this.#failed = `kernel events are not collected any more: ${reason}`;
    clearInterval(this.#watchdog);
    this.#log.error(
      { reason, sessions: [...this.#live.values()].map(({ clock }) => clock.session) },
      'kernel events are not collected any more',
    );
    for (const live of this.#live.values()) this.#tell(live, { state: 'off', reason: this.#failed.slice(0, 1024) });
    for (const done of this.#asks.values()) done();
  }
}
