/**
 * The workers of a gateway: starts them, distributes the connections among them, and restarts a worker that died.
 *
 *     worker:  loading ──config──► starting ──ready──► serving ──exit──► waiting (0.1 s, doubled to 5 s) ──► loading
 *                                     └──failed, the first time──► the whole start fails with its error
 *     closing: every worker is told ──all 'drained'──► all go on ──all 'ended'──► all go on ──► exit
 *
 * The first worker starts alone, since the others take its host keys; the others then start together. A connection goes to the worker
 * with the fewest connections, and stays there; while no worker is serving, it waits in its slot. When a worker dies, the kernel closes
 * its connections, the parent releases its slots and tunnels, and the process that replaces it completes its recordings. Tested in
 * test/end-to-end/workers.test.ts and, as a service, in test/end-to-end/worker-service.test.ts.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { StenoError } from '#schemas/base/errors.js';
import type { Log } from '#runtime/log.js';
import type { Slot, TurnedAway } from '#runtime/http/stranger-slots.js';
import type { Admissions } from '../edge/admissions.js';
import type { Arrival, TcpHandle } from './front.js';
import type { FromWorker, Phase, PortName, ToWorker, WorkerPlace } from './messages.js';

export interface WorkerPlan {
  /** From 1; also the name of the worker's folder. */
  readonly number: number;
  readonly name: string;
  /** See `WorkerPlace.retiring`. */
  readonly retiring: boolean;
  readonly config: object;
  /** Called before each start. */
  readonly prepare: () => void;
  /** Called when a retiring worker has nothing left to send. */
  readonly retired: () => void;
}

export interface PoolParts {
  /** Path of the program. */
  readonly module: string;
  readonly plans: readonly WorkerPlan[];
  readonly place: Pick<WorkerPlace, 'folder' | 'addresses'>;
  /** Counts the connections of browsers, which arrive through the tunnel port. */
  readonly admissions: Admissions;
  /** Called when a worker reports that the gateway cannot continue. */
  readonly over: (error: StenoError) => void;
  readonly log: Log;
}

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;
/** The same time that a service has for its last steps. */
const END_LIMIT_MS = 12_000;

interface Worker {
  readonly number: number;
  readonly plan: WorkerPlan;
  child: ChildProcess | null;
  state: 'starting' | 'serving' | 'gone' | 'retired';
  delay: number;
  /** Connections that the worker has or waits for, by id. */
  readonly held: Map<number, { readonly slot: Slot | null; readonly displace: () => void }>;
  /** Handles on their way to the worker. */
  readonly passing: Set<TcpHandle>;
  readonly tunnels: Set<string>;
  phase: 'open' | Phase;
  readonly gone: (() => void)[];
}

export interface PoolCounts {
  readonly name: string;
  readonly serving: boolean;
  readonly connections: number;
  readonly restarts: number;
}

export class Pool {
  readonly #parts: PoolParts;
  readonly #workers: readonly Worker[];
  readonly #waiting = new Set<Arrival>();
  readonly #restarts = new Map<number, number>();
  #lastId = 0;
  /** `begun`: until all workers are drained. `drained`: until all have ended their sessions. */
  #closing: 'no' | 'begun' | Phase = 'no';
  #next = 0;

  constructor(parts: PoolParts) {
    this.#parts = parts;
    this.#workers = parts.plans.map((plan) => ({
      number: plan.number,
      plan,
      child: null,
      state: 'starting',
      delay: FIRST_DELAY_MS,
      held: new Map(),
      passing: new Set(),
      tunnels: new Set(),
      phase: 'open',
      gone: [],
    }));
  }

  /** Rejects with the error of a worker that fails to start. The caller must close the pool in that case too. */
  async start(): Promise<void> {
    const [first, ...others] = this.#workers;
    await this.#launch(first!);
    await Promise.all(others.map((worker) => this.#launch(worker)));
  }

  counts(): readonly PoolCounts[] {
    return this.#workers.map(({ plan, state, held, number }) => ({
      name: plan.name,
      serving: state === 'serving',
      connections: held.size,
      restarts: this.#restarts.get(number) ?? 0,
    }));
  }

  /** Whether a connection that arrives now is taken immediately. */
  get serving(): boolean {
    return this.#taking.length > 0;
  }

  /** Workers that new connections are passed to. */
  get #taking(): readonly Worker[] {
    return this.#workers.filter(({ state, plan }) => state === 'serving' && !plan.retiring);
  }

  deliver(arrival: Arrival): void {
    const worker = this.#choose(arrival.wanted);
    if (worker === undefined) {
      if (this.#closing !== 'no') return arrival.destroy();
      this.#waiting.add(arrival);
      return;
    }
    const handle = arrival.detach();
    if (handle === null) return arrival.destroy();
    const id = ++this.#lastId;
    const displace = (): void => {
      this.#send(worker, { kind: 'displace', id });
    };
    worker.held.set(id, { slot: arrival.slot, displace });
    arrival.displaced = displace;
    worker.passing.add(handle);
    const passed = (): void => {
      if (worker.passing.delete(handle)) handle.close();
    };
    this.#send(worker, { kind: 'connection', port: arrival.port, id, head: arrival.head.toString('base64') }, handle, passed);
  }

  /** Reports strangers that the parent turned away; the first serving worker writes the audit row. */
  turnedAway(port: PortName, counts: TurnedAway & { readonly sources: number }): void {
    const worker = this.#workers.find(({ state }) => state === 'serving');
    if (worker !== undefined) this.#send(worker, { kind: 'turned_away', port, counts });
  }

  /** Resolves when every worker has exited. `hurry`: aborted when sessions must end now. */
  async close(hurry?: AbortSignal): Promise<void> {
    this.#closing = 'begun';
    for (const arrival of this.#waiting) arrival.destroy();
    this.#waiting.clear();
    const living = this.#workers.filter(({ child }) => child !== null);
    const gone = living.map((worker) => new Promise<void>((resolve) => worker.gone.push(resolve)));
    const rush = (): void => living.forEach((worker) => this.#send(worker, { kind: 'hurry' }));
    for (const worker of living) this.#send(worker, { kind: 'close' });
    if (hurry?.aborted === true) rush();
    else hurry?.addEventListener('abort', rush, { once: true });
    this.#pass();
    await Promise.all(gone);
    hurry?.removeEventListener('abort', rush);
  }

  #choose(wanted: string | null): Worker | undefined {
    const serving = this.#taking;
    const named = wanted === null ? undefined : this.#workers.find(({ plan }) => plan.name === wanted);
    // If the named worker is not serving, its sessions are over: another worker refuses the client, which then tries again.
    if (named?.state === 'serving') return named;
    const fewest = Math.min(...serving.map(({ held }) => held.size));
    const least = serving.filter(({ held }) => held.size === fewest);
    return least[this.#next++ % Math.max(1, least.length)];
  }

  #launch(worker: Worker): Promise<void> {
    return new Promise((resolve, reject) => {
      const { module, place, log, plans } = this.#parts;
      worker.plan.prepare();
      const child = fork(module, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      worker.child = child;
      worker.state = 'starting';
      let failure: StenoError | undefined;
      child.on('error', reject);
      child.on('message', (message: FromWorker) => {
        if (message.kind === 'failed') {
          failure = new StenoError(message.code, `${worker.plan.name}: ${message.detail}`);
          return undefined;
        }
        if (message.kind === 'ready') {
          this.#serves(worker);
          return resolve();
        }
        this.#hear(worker, message);
      });
      child.on('exit', (code, signal) => {
        const served = worker.state === 'serving';
        this.#gone(worker);
        // Only now, because the worker's socket is free at this point.
        reject(failure ?? new StenoError('INTERNAL', `the worker ${worker.plan.name} ended with ${signal ?? code}`));
        if (!served || this.#closing !== 'no') return;
        if (worker.plan.retiring && code === 0) {
          worker.plan.retired();
          return void log.info({ worker: worker.plan.name }, 'a worker that is no longer wanted has emptied its spool');
        }
        log.warn({ worker: worker.plan.name, code, signal }, 'a worker ended; starting it again');
        this.#again(worker);
      });
      this.#send(worker, {
        kind: 'config',
        config: worker.plan.config,
        place: {
          ...place,
          number: worker.number,
          names: plans.map(({ number, name }) => ({ number, name })),
          retiring: worker.plan.retiring,
        },
      });
    });
  }

  #again(worker: Worker): void {
    this.#restarts.set(worker.number, (this.#restarts.get(worker.number) ?? 0) + 1);
    setTimeout(() => {
      if (this.#closing !== 'no') return;
      worker.delay = Math.min(worker.delay * 2, LONGEST_DELAY_MS);
      this.#launch(worker).catch((error: unknown) => {
        this.#parts.log.error({ worker: worker.plan.name, err: error }, 'a worker does not start');
        if (this.#closing === 'no') this.#again(worker);
      });
    }, worker.delay);
  }

  #serves(worker: Worker): void {
    worker.state = 'serving';
    worker.delay = FIRST_DELAY_MS;
    this.#parts.log.info({ worker: worker.plan.name, process: worker.child?.pid }, 'a worker serves');
    for (const other of this.#workers)
      if (other !== worker && other.tunnels.size > 0)
        this.#send(worker, { kind: 'tunnels', worker: other.number, up: [...other.tunnels], down: [] });
    for (const arrival of this.#waiting) {
      this.#waiting.delete(arrival);
      if (arrival.destroyed) arrival.destroy();
      else this.deliver(arrival);
    }
  }

  #gone(worker: Worker): void {
    worker.child = null;
    worker.state = 'gone';
    for (const { slot } of worker.held.values()) slot?.release();
    worker.held.clear();
    for (const handle of worker.passing) handle.close();
    worker.passing.clear();
    worker.tunnels.clear();
    this.#tellOthers(worker, { kind: 'gone', worker: worker.number });
    for (const callback of worker.gone.splice(0)) callback();
    this.#pass();
  }

  #hear(worker: Worker, message: Exclude<FromWorker, { readonly kind: 'ready' | 'failed' }>): void {
    switch (message.kind) {
      case 'over':
        return this.#parts.over(new StenoError(message.code, `${worker.plan.name}: ${message.detail}`));
      case 'enter':
        return this.#enter(worker, message.id, message.source);
      case 'admitted':
        return worker.held.get(message.id)?.slot?.admitted();
      case 'closed':
        worker.held.get(message.id)?.slot?.release();
        worker.held.delete(message.id);
        return undefined;
      case 'tunnel':
        if (message.held) worker.tunnels.add(message.node);
        else worker.tunnels.delete(message.node);
        return this.#tellOthers(worker, {
          kind: 'tunnels',
          worker: worker.number,
          up: message.held ? [message.node] : [],
          down: message.held ? [] : [message.node],
        });
      case 'reached':
        worker.phase = message.phase;
        return this.#pass();
    }
  }

  /** Queues a browser's connection, which the worker holds, for its turn. */
  #enter(worker: Worker, id: number, source: string): void {
    const child = worker.child;
    const displace = (): void => {
      this.#send(worker, { kind: 'displace', id });
    };
    const connection = {
      get destroyed() {
        return worker.child !== child || !worker.held.has(id);
      },
      destroy: displace,
    };
    worker.held.set(id, { slot: null, displace });
    this.#parts.admissions.enter(
      source,
      connection,
      (slot) => {
        worker.held.set(id, { slot, displace });
        this.#send(worker, { kind: 'turn', id });
      },
      (reason) => {
        worker.held.delete(id);
        this.#send(worker, { kind: 'refused', id, reason });
      },
    );
  }

  /** Lets the workers continue once all of them have reached a phase. */
  #pass(): void {
    if (this.#closing === 'no' || this.#closing === 'ended') return;
    const phase = this.#closing === 'begun' ? 'drained' : 'ended';
    const living = this.#workers.filter(({ child }) => child !== null);
    if (!living.every((worker) => worker.phase === phase)) return;
    this.#closing = phase;
    for (const worker of living) {
      this.#send(worker, { kind: 'pass', phase });
      if (phase !== 'drained') continue;
      const limit = setTimeout(() => worker.child?.kill('SIGKILL'), END_LIMIT_MS);
      worker.gone.push(() => clearTimeout(limit));
    }
  }

  #tellOthers(worker: Worker, message: ToWorker): void {
    for (const other of this.#workers) if (other !== worker && other.state === 'serving') this.#send(other, message);
  }

  #send(worker: Worker, message: ToWorker, handle?: TcpHandle, done: () => void = () => undefined): void {
    const { child } = worker;
    if (child === null || !child.connected) return done();
    child.send(message, handle as never, done);
  }
}
