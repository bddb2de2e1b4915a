/**
 * Records commands that users run in containers of this machine, as gateways order it (schemas/kernel/pod-orders.ts).
 *
 *     order ──container found──► waiting for its turn ──on──► expecting ──one fits──► started ──shown, over──► confirmed
 *       └──not found: off              └──TURN_MS: off           │                       └──a second one fits──► off
 *                                                                └──shown or over, and none has fitted──► off
 *
 *     order without a command: container found ──► nobody else attached ──► its processes followed ──on, started──► over: followed no more
 *
 * How the process is identified. The runtime starts a process in the container that executes the command; the gateway cannot know the
 * process's number, and the runtime does not know the session. Both know the container and the arguments. Therefore only one command
 * per container and argument list is expected at a time, from before the API server is asked until the gateway has seen that its
 * command is running (output, or its end). The command has started within that time, and if exactly one process fitted, it is the
 * command. If two fitted, somebody else has started the same command in the same container, and the two cannot be told apart: the
 * recording says so, and a strict session ends.
 *
 * Tested in pod-watches.test.ts, and in test/kube/ with the real kubelet.
 */
import type { Duplex } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import { PROGRESS_REPORT } from '#schemas/kernel/orders.js';
import type { KernelOrder, KernelReport } from '#schemas/kernel/orders.js';
import { MAX_POD_LINE, podOrder, podWord } from '#schemas/kernel/pod-orders.js';
import type { PodOrder, StartedReport } from '#schemas/kernel/pod-orders.js';
import type { Log } from '#runtime/log.js';
import { readLines, writeLine } from '#runtime/tunnel/lines.js';
import type { FollowedSession, KernelRecorder } from '../kernel/kernel-recorder.js';
import type { ExecWindow } from '../kernel/probes/expected-exec.js';
import type { ContainerPlace } from '../kernel/rows/container-place.js';
import { findContainer, machineNamespace, mountsOf, processesOf, startOf } from './containers.js';
import type { RunningContainer } from './containers.js';

/** How long a command waits for another one with the same arguments that has not produced any output yet. */
const TURN_MS = 10_000;
const LOOK_MS = 10;
const LOOK_AGAIN_MS = 1_000;
/** Limit of how often the processes of a container are listed until none is new: children of followed processes are followed themselves. */
const MAX_ROUNDS = 20;

export interface PodWatchDeps {
  readonly recorder: Pick<KernelRecorder, 'expect' | 'attach'>;
  readonly log: Log;
  readonly find?: (id: string) => Promise<RunningContainer | null>;
  readonly turnMs?: number;
}

export class PodWatches {
  readonly #deps: PodWatchDeps;
  /** By container and arguments: resolves when the currently expected command, and all that wait for it, are done. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(deps: PodWatchDeps) {
    this.#deps = deps;
  }

  /** Takes one stream of a tunnel. */
  take(stream: Duplex): void {
    let watch: PodWatch | null = null;
    stream.on('error', () => stream.destroy());
    stream.on('close', () => watch?.close());
    stream.on('end', () => (watch === null ? stream.end() : void watch.over()));
    readLines(stream, MAX_POD_LINE, (message) => {
      if (watch !== null) return podWord.safeParse(message).success ? watch.shown() : undefined;
      const order = podOrder.safeParse(message);
      if (!order.success) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', 'the order of the gateway cannot be read');
      watch = new PodWatch(stream, order.data, this.#deps, (key) => this.#turn(key));
    });
  }

  /** Resolves with a function that ends the turn; null: the turn did not come in time. */
  async #turn(key: string): Promise<(() => void) | null> {
    const before = this.#turns.get(key);
    let done: () => void = () => undefined;
    const mine = new Promise<void>((resolve) => {
      done = resolve;
    });
    const all = Promise.all([before, mine]).then(() => {
      if (this.#turns.get(key) === all) this.#turns.delete(key);
    });
    this.#turns.set(key, all);
    if (before === undefined) return done;
    const late = Symbol('late');
    let timer: NodeJS.Timeout | undefined;
    const first = await Promise.race([
      before,
      new Promise<symbol>((resolve) => {
        timer = setTimeout(() => resolve(late), this.#deps.turnMs ?? TURN_MS);
      }),
    ]);
    clearTimeout(timer);
    if (first !== late) return done;
    done();
    return null;
  }
}

class PodWatch {
  readonly #stream: Duplex;
  readonly #order: PodOrder;
  readonly #deps: PodWatchDeps;
  readonly #begun: Promise<void>;
  #session: FollowedSession | null = null;
  /** The window of a command; null for a session that attaches. */
  #window: ExecWindow | null = null;
  #endTurn: (() => void) | null = null;
  #looking: NodeJS.Timeout | undefined;
  #started = false;
  #closed = false;

  constructor(stream: Duplex, order: PodOrder, deps: PodWatchDeps, turn: (key: string) => Promise<(() => void) | null>) {
    this.#stream = stream;
    this.#order = order;
    this.#deps = deps;
    this.#begun = this.#begin(turn).catch((error: unknown) => {
      const reason = error instanceof StenoError ? (error.detail ?? error.message) : String(error);
      deps.log.warn({ session: order.session, container: order.container, reason }, 'a command in a container runs without kernel events');
      this.#off(reason);
    });
  }

  /** The command is running by now: a process that has not fitted yet is not the command, and no other may fit. */
  shown(): void {
    void this.#begun.then(() => this.#decide());
  }

  /** The command has ended. */
  async over(): Promise<void> {
    await this.#begun;
    this.#look();
    this.#closeWindow();
    await this.#session?.settle();
    this.#session?.end();
    this.#stream.end();
  }

  /** The stream is gone; processes still running are followed, and their gaps go into the event log. */
  close(): void {
    this.#closed = true;
    this.#session?.end();
    this.#closeWindow();
  }

  async #begin(turn: (key: string) => Promise<(() => void) | null>): Promise<void> {
    const { container: id, pod_uid: uid, namespace, pod, argv, classes, events } = this.#order;
    const container = await (this.#deps.find ?? findContainer)(id);
    if (container === null) throw impossible(`no container ${id.slice(0, 12)} runs on this machine`);
    if (container.podUid !== undefined && container.podUid !== uid) throw impossible(`the container ${id.slice(0, 12)} is of another pod`);
    const place = {
      id,
      namespace,
      pod,
      mounts: [...(await mountsOf(container.pid))],
      inside: container.mntNs,
      machine: await machineNamespace(),
    };
    // Scripts cannot be told apart by the path before the command's name (../kernel/probes/expected-exec.ts).
    const key = argv.length === 0 ? [] : [argv[0]!.replace(/^.*\//s, ''), ...argv.slice(1)];
    this.#endTurn = await turn(JSON.stringify([container.mntNs, ...key]));
    if (this.#endTurn === null)
      throw impossible(
        argv.length === 0
          ? 'somebody else is attached to this container, and its events are of that session'
          : 'the same command is starting in this container, and which is which could not be told',
      );
    if (this.#closed) return this.#endsTurn();
    try {
      if (argv.length === 0) await this.#attach(container, place);
      else this.#expect(container, place);
    } catch (error) {
      this.#endsTurn();
      throw error;
    }
    this.#say({ state: 'on', classes, ...(events === undefined ? {} : { log: true }) });
    if (this.#window === null) this.#start();
    else this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  #expect({ mntNs }: RunningContainer, place: ContainerPlace): void {
    const exec = { mntNs, argv: this.#order.argv };
    const session = this.#deps.recorder.expect(this.#kernelOrder, this.#order.events ?? null, this.#report, { exec, container: place });
    this.#session = session;
    this.#window = session.window;
  }

  /** Processes that are not followed yet may create others meanwhile: list them until there are no new ones. */
  async #attach({ group }: RunningContainer, place: ContainerPlace): Promise<void> {
    const session = this.#deps.recorder.attach(this.#kernelOrder, this.#order.events ?? null, this.#report, place);
    this.#session = session;
    const known = new Set<number>();
    for (let rounds = 0, more = true; more && rounds < MAX_ROUNDS; rounds++) {
      more = false;
      for (const pid of await processesOf(group)) {
        if (known.has(pid)) continue;
        known.add(pid);
        const started = await startOf(pid);
        if (started === null || this.#closed || !session.processes.add(pid)) continue;
        more = true;
        if ((await startOf(pid)) !== started) session.processes.remove(pid);
      }
    }
  }

  get #kernelOrder(): KernelOrder {
    const { session, mode, classes, offset_ms, error_ms } = this.#order;
    return { session, mode, classes, offset_ms, error_ms };
  }

  readonly #report = (report: KernelReport): void => {
    if (report.state !== PROGRESS_REPORT || this.#order.reports.includes(PROGRESS_REPORT)) this.#say(report);
  };

  #start(): void {
    this.#started = true;
    this.#say({ state: 'started' });
    // A command may be silent for hours.
    clearInterval(this.#looking);
    if (this.#window !== null) this.#looking = setInterval(() => this.#look(), LOOK_AGAIN_MS);
  }

  #look(): void {
    const matches = this.#window?.matches() ?? 0;
    if (this.#endTurn === null || matches === 0) return;
    if (matches > 1) {
      this.#closeWindow();
      return this.#off('another process of the same command was started in this container at the same time: which is which cannot be told');
    }
    if (!this.#started) this.#start();
  }

  #decide(): void {
    this.#look();
    // An attached session stays attached until it is over.
    if (this.#endTurn === null || this.#window === null) return;
    this.#closeWindow();
    if (!this.#started) this.#off('the command was not recognized when it started');
  }

  #closeWindow(): void {
    clearInterval(this.#looking);
    this.#window?.close();
    this.#endsTurn();
  }

  #endsTurn(): void {
    this.#endTurn?.();
    this.#endTurn = null;
  }

  #off(reason: string): void {
    this.#say({ state: 'off', reason: reason.slice(0, 1024) });
  }

  #say(report: KernelReport | StartedReport): void {
    if (!this.#stream.destroyed) writeLine(this.#stream, report);
  }
}

function impossible(detail: string): StenoError {
  return new StenoError('KERNEL_RECORDING_IMPOSSIBLE', detail);
}
