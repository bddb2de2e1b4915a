/**
 * Kernel recording in the node service: BPF programs, the collecting thread, the uplink.
 *
 *     absent (`obstacles` say what is missing) │ ready ──session──► following ──channel over──► lingering ──last process gone──► ready
 *
 * A session's first process is created inside `spawn` and followed from its first instruction. `settle` waits until every
 * earlier event has been read, so that losses can be reported before the channel closes. Tested in test/kernel/.
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { StenoError } from '#schemas/base/errors.js';
import type { EventsWay, KernelOrder, KernelReport } from '#schemas/kernel/orders.js';
import type { Log } from '#runtime/log.js';
import { KernelBatches } from './kernel-batches.js';
import { LoggedBatches } from './logged-batches.js';
import type { ExecWindow, ExpectedExec } from './probes/expected-exec.js';
import { bootClock } from './probes/libbpf.js';
import type { FromCollector, LostRows, ToCollector } from './collecting/messages.js';
import { KernelPrograms, SLOTS, explain, obstacles } from './probes/programs.js';
import type { AttachedProcesses, Obstacle, RingPlace } from './probes/programs.js';
import type { ContainerPlace } from './rows/container-place.js';
import { offsetOf } from './rows/rows.js';
import type { SessionClock } from './rows/rows.js';

export interface KernelRecorderConfig {
  /** Folder of the event log. */
  readonly folder: string;
  /** Bytes of unstored events that the log may hold; 1 GiB by default. */
  readonly budget?: number;
  /** Bytes of the ring: a power of two. */
  readonly ringSize?: number;
}

export interface FollowedSession {
  /** Resolves when every event so far was read and every gap reported. Never rejects. */
  settle(): Promise<void>;
  /** The channel has closed: remaining processes are still followed, and their gaps go into the event log. */
  end(): void;
}

export interface KernelSession extends FollowedSession {
  /** Runs `make`, which must start the session's process as a child of this thread before it returns. */
  spawn<T>(make: () => T): T;
}

export interface ExpectedSession extends FollowedSession {
  readonly window: ExecWindow;
}

export interface AttachedSession extends FollowedSession {
  readonly processes: Pick<AttachedProcesses, 'add' | 'remove'>;
}

interface Begun {
  readonly programs: KernelPrograms;
  readonly number: number;
  readonly followed: FollowedSession;
}

const SETTLE_MS = 2_000;
/** Programs stay attached for this long after the last session. */
const LINGER_MS = 30_000;
/** The collecting thread sends a sign of life every second; after this long without one it counts as dead. */
const SILENCE_MS = 20_000;
const MEMORY = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 128 } as const;

/** The loaded programs, or the reasons why they cannot be loaded. */
export type KernelLoad =
  { readonly kind: 'loaded'; readonly programs: KernelPrograms } | { readonly kind: 'missing'; readonly obstacles: readonly Obstacle[] };

interface Live {
  readonly report: (report: KernelReport) => void;
  readonly clock: SessionClock;
  open: boolean;
}

export class KernelRecorder {
  readonly obstacles: readonly Obstacle[];
  /** Batches for ingest. */
  readonly batches: KernelBatches;
  /** Called once for each gateway that receives rows; the callback sends them there. */
  onGateway: ((way: EventsWay, batches: LoggedBatches) => void) | null = null;
  readonly #logged = new Map<string, LoggedBatches>();
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
  /** When the collecting thread was last heard of, while sessions are followed; ms of a monotonic clock. */
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
      stored: (batch, lost, payload) => this.#stored(batch, lost, payload),
      parked: (batch, payload) => this.#parked(batch, payload),
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

  /** Takes a third of a second, while the kernel verifies the programs. Never throws. */
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

  /** Never throws: if events cannot be recorded, `obstacles` says why, and sessions are refused or run without. */
  static open(config: KernelRecorderConfig, log: Log, load: KernelLoad = KernelRecorder.load(config.ringSize)): KernelRecorder {
    return load.kind === 'loaded'
      ? new KernelRecorder(load.programs, [], config, log)
      : new KernelRecorder(null, load.obstacles, config, log);
  }

  get available(): boolean {
    return this.#programs !== null && this.#failed === null;
  }

  /** A description of the fault, or null if recording works. */
  get reason(): string | null {
    return this.#failed ?? (this.obstacles.length === 0 ? null : explain(this.obstacles));
  }

  /**
   * Throws KERNEL_RECORDING_IMPOSSIBLE. `report`: called while the session's channel is open, with gaps, with the time up to
   * which events are kept, and with `off` when collection stops. `way`: to the gateway that signs the rows; null: they go to
   * ingest.
   */
  session(order: KernelOrder, way: EventsWay | null, report: (report: KernelReport) => void): KernelSession {
    const { programs, number, followed } = this.#begin(order, way, report);
    return { ...followed, spawn: (make) => programs.begin(number, order.classes, make) };
  }

  /**
   * Like `session`, for a command that a container runtime is about to start: nothing is followed until one process fits. Throws
   * KERNEL_RECORDING_IMPOSSIBLE. The caller must close the window.
   */
  expect(
    order: KernelOrder,
    way: EventsWay | null,
    report: (report: KernelReport) => void,
    { exec, container }: { readonly exec: ExpectedExec; readonly container: ContainerPlace },
  ): ExpectedSession {
    const { programs, number, followed } = this.#begin(order, way, report, container);
    try {
      return { ...followed, window: programs.expect(number, order.classes, exec) };
    } catch (error) {
      followed.end();
      throw error;
    }
  }

  /**
   * Like `session`, for processes already running in a container, until the session ends: nothing is followed until it is named. Throws
   * KERNEL_RECORDING_IMPOSSIBLE.
   */
  attach(order: KernelOrder, way: EventsWay | null, report: (report: KernelReport) => void, container: ContainerPlace): AttachedSession {
    const { programs, number, followed } = this.#begin(order, way, report, container);
    const processes = programs.attachTo(number, order.classes);
    let over = false;
    return {
      ...followed,
      processes,
      end: () => {
        if (over) return;
        over = true;
        processes.detach();
        void followed.settle().then(() => {
          processes.forget();
          followed.end();
        });
      },
    };
  }

  #begin(order: KernelOrder, way: EventsWay | null, report: (report: KernelReport) => void, container?: ContainerPlace): Begun {
    const programs = this.#programs;
    if (programs === null || this.#failed !== null) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', this.reason ?? '');
    const number = this.#nextNumber();
    programs.attach();
    clearTimeout(this.#linger);
    const { session, classes, mode, offset_ms, error_ms } = order;
    const clock: SessionClock = { session, boot_ns: Number(this.#boot()), offset_ms, error_ms, ...(container && { container }) };
    const live: Live = { report, clock, open: true };
    if (this.#live.size === 0) this.#watch();
    this.#live.set(number, live);
    this.#post({ kind: 'begin', session: { number, classes, mode, way, ...clock } });
    const followed = {
      settle: (): Promise<void> => this.#settle(number),
      end: (): void => {
        if (!live.open) return;
        live.open = false;
        this.#post({ kind: 'ended', number });
      },
    };
    return { programs, number, followed };
  }

  /** Starts watching logins outside any session, and returns the ring that reports them; null if they cannot be watched. */
  watchLogins(): RingPlace | null {
    try {
      return this.#programs?.watchLogins() ?? null;
    } catch (error) {
      this.#log.warn({ err: error }, 'logins beside Steno cannot be seen');
      return null;
    }
  }

  /** Detaches the programs now if no session needs them; this happens by itself after a while. */
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
    for (const batches of this.#logged.values()) batches.close();
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
      // Counters belong to a number's slot, which two sessions must not share.
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

  /** A failing channel of one session must not affect the others. */
  #tell(live: Live, report: KernelReport): void {
    if (!live.open) return;
    try {
      live.report(report);
    } catch (error) {
      this.#log.error({ err: error }, 'failed to report kernel events to a session');
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
        if (message.way !== null) return this.#to(message.way).add(message);
        return this.batches.add({ id: message.id, table: 'kernel', payload: message.payload });
      case 'closed':
        return this.#closed?.();
      case 'failed':
        return this.#fail(message.reason);
    }
  }

  #to(way: EventsWay): LoggedBatches {
    const known = this.#logged.get(way.gateway);
    if (known !== undefined) return known;
    const batches = new LoggedBatches({
      stored: (batch, payload) => this.#stored(batch, [], payload),
      parked: (batch, payload) => this.#parked(batch, payload),
      unsigned: (batch) => this.batches.add(batch),
      now: () => performance.now(),
    });
    this.#logged.set(way.gateway, batches);
    this.onGateway?.(way, batches);
    return batches;
  }

  #stored(batch: string, lost: readonly LostRows[], payload: Uint8Array | undefined): void {
    if (payload === undefined) this.#post({ kind: 'stored', batch, lost });
    else this.#post({ kind: 'stored', batch, lost, payload }, [payload.buffer as ArrayBuffer]);
  }

  #parked(batch: string, payload: Uint8Array): void {
    this.#post({ kind: 'parked', batch, payload }, [payload.buffer as ArrayBuffer]);
  }

  /** A stopped thread, for example in a debugger, does not report that. */
  #watch(): void {
    this.#heard = performance.now();
    clearInterval(this.#watchdog);
    let looked = this.#heard;
    this.#watchdog = setInterval(() => {
      const now = performance.now();
      // A process that was stopped as a whole has received nothing either.
      const stood = now - looked > SILENCE_MS / 2;
      looked = now;
      if (stood) this.#heard = now;
      else if (now - this.#heard > SILENCE_MS) this.#fail('the collecting thread does not answer');
    }, SILENCE_MS / 10);
    this.#watchdog.unref();
  }

  /** Reports to open sessions a gap without an end; new sessions are refused or run without recording. */
  #fail(reason: string): void {
    if (this.#failed !== null) return;
    this.#failed = `kernel events are no longer collected: ${reason}`;
    clearInterval(this.#watchdog);
    this.#log.error(
      { reason, sessions: [...this.#live.values()].map(({ clock }) => clock.session) },
      'kernel events are no longer collected',
    );
    for (const live of this.#live.values()) this.#tell(live, { state: 'off', reason: this.#failed.slice(0, 1024) });
    for (const done of this.#asks.values()) done();
  }
}
