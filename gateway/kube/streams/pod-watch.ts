/**
 * Kernel recording of a command in a container, as seen by the gateway: the agent that records it, the order, and the agent's reports.
 *
 *     found ──order──► awaited ──on──► expected ──started──► recorded ──over──► complete
 *       │                 └──off, ANSWER_MS, stream lost──► missing     └──off, stream lost──► missing
 *       └── expected ──shown, and not started within START_MS──► missing
 *
 * The agent is the one whose node has the label `steno/kubernetes-node` with the cluster and the Kubernetes node's name; the container's
 * id and node come from the pod's status. A strict session shows nothing before the agent has seen its command start. Missing events are a
 * gap in the recording, and end a strict session (../../ssh/relay/kernel-recording.ts). Tested in pod-watch.test.ts, and
 * in test/kube/ with real agents.
 */
import type { Duplex } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import { KUBE_NODE_LABEL } from '#schemas/kube/kube-cluster.js';
import { CHANNEL, exitCodeOf } from '#schemas/kube/remote-command.js';
import type { EventsWay } from '#schemas/kernel/orders.js';
import { MAX_POD_LINE, startedReport } from '#schemas/kernel/pod-orders.js';
import type { PodOrder } from '#schemas/kernel/pod-orders.js';
import type { EnhancedRecording } from '#schemas/policy/node.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { readLines, writeLine } from '#runtime/tunnel/lines.js';
import type { AuditEntry, SessionRecorder } from '../../recorder/recorder.js';
import { KernelRecording } from '../../ssh/relay/kernel-recording.js';
import type { PodFacts } from './pod-facts.js';

/** An agent answers immediately, unless the same command is already starting in the container, for which it waits first. */
const ANSWER_MS = 15_000;
/** Limit from the first sign that the command runs to the agent's report that it has seen the command start. */
const START_MS = 5_000;
/** Time for an agent's last reports after the command has ended. */
const END_MS = 5_000;

/** How the gateway reaches agents, and the address to which they send their rows. */
export interface PodWatching {
  /** Throws NODE_UNREACHABLE, TOO_MANY. */
  open(node: NodeRecord): Duplex;
  readonly events: EventsWay;
}

/** The agent that can record in this pod. Throws KERNEL_RECORDING_IMPOSSIBLE with a text for the user. */
export function agentOf(nodes: Snapshot['nodes'], cluster: string, pod: PodFacts): NodeRecord {
  const lacking = (why: string): StenoError => new StenoError('KERNEL_RECORDING_IMPOSSIBLE', why);
  if (pod.node === '') throw lacking('the pod cannot be read with the rights of your roles, so its node is not known');
  if (pod.id === '') throw lacking(`the container ${pod.container} does not run`);
  const found = nodes.filter(({ labels }) => labels[KUBE_NODE_LABEL] === `${cluster}/${pod.node}`);
  if (found.length === 0) throw lacking(`the pod is on ${pod.node}, where no agent of Steno runs`);
  if (found.length > 1) throw lacking(`several agents claim to be the one of ${pod.node}`);
  return found[0]!;
}

export interface PodWatchParts {
  readonly watching: PodWatching;
  readonly agent: NodeRecord;
  readonly enhanced: EnhancedRecording;
  readonly pod: PodFacts & { readonly namespace: string; readonly name: string };
  readonly argv: readonly string[];
  readonly recorder: SessionRecorder;
  readonly now: () => number;
  readonly audit: (entry: AuditEntry) => void;
  /** Ends a strict session. */
  readonly fail: (error: StenoError) => void;
  readonly startMs?: number;
}

export class PodWatch {
  readonly #parts: PodWatchParts;
  readonly #kernel: KernelRecording | null;
  #stream: Duplex | undefined;
  /** Whether the agent has answered the order. */
  #answered = false;
  #onAnswer: (() => void) | undefined;
  #started = false;
  #shown = false;
  #missing = false;
  #accepted = false;
  /** Whether the command is known not to have started, although it was accepted. */
  #failed = false;
  /** The command is over; and whether the agent has sent its last report about it. */
  #ending = false;
  #agentEnded = false;
  #over = false;
  #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: PodWatchParts) {
    const { watching, agent, enhanced, now, audit, fail } = parts;
    this.#parts = parts;
    this.#kernel = KernelRecording.begin(
      { enhanced, agent: true, requests: true, events: watching.events, sender: agent.name, now, delayMs: ANSWER_MS, audit },
      parts.recorder,
      (error) => fail(error),
    );
  }

  /** Resolves when the agent expects the command, or has failed to: the failure has then been recorded, or has ended the session. */
  async begin(): Promise<void> {
    const kernel = this.#kernel;
    if (kernel === null) return;
    const { watching, agent, pod, argv, recorder } = this.#parts;
    let stream: Duplex;
    try {
      stream = watching.open(agent);
    } catch (error) {
      return this.#astray(error instanceof StenoError ? (error.detail ?? error.message) : String(error));
    }
    this.#stream = stream;
    readLines(stream, MAX_POD_LINE, (message) => this.#take(kernel, message));
    stream.on('error', () => stream.destroy());
    stream.on('end', () => (this.#agentEnded = true));
    stream.on('close', () => this.#lost());
    const order: PodOrder = {
      ...kernel.request(),
      ...{ container: pod.id, pod_uid: pod.uid, namespace: pod.namespace, pod: pod.name, argv: [...argv] },
    };
    writeLine(stream, order);
    if (argv.length === 0)
      recorder.gap({ reason: 'kernel_events', to: order.offset_ms, detail: 'what the container did before somebody attached' });
    await new Promise<void>((resolve) => {
      this.#onAnswer = resolve;
      this.#timer = setTimeout(() => this.#astray(`the agent of ${agent.name} did not answer`), ANSWER_MS);
    });
    clearTimeout(this.#timer);
  }

  /** Whether a frame of the API server may be shown now. If not, `onReady` calls back when it may. */
  passes(frame: Buffer): boolean {
    if (this.#kernel === null || this.#over) return true;
    if (!this.#isSign(frame)) return true;
    if (!this.#shown) {
      this.#shown = true;
      if (this.#stream !== undefined) writeLine(this.#stream, { said: 'shown' });
      if (!this.#started && !this.#missing)
        this.#timer = setTimeout(() => this.#astray('the agent did not see the command start'), this.#parts.startMs ?? START_MS);
    }
    return this.#started || this.#missing || this.#parts.enhanced.mode !== 'strict';
  }

  onReady(callback: () => void): void {
    if (this.#started || this.#missing) callback();
    else this.#waiting.push(callback);
  }

  /** The API server has accepted the command: it may run from now on. */
  accepted(): void {
    this.#accepted = true;
  }

  /** Resolves when the agent has reported any missing events. */
  async complete(): Promise<void> {
    const kernel = this.#kernel;
    if (kernel === null || this.#ending) return;
    this.#ending = true;
    const stream = this.#stream;
    if (stream !== undefined && !stream.destroyed && !this.#missing) {
      const ended = new Promise<void>((resolve) => {
        const limit = setTimeout(resolve, END_MS);
        const end = (): void => {
          clearTimeout(limit);
          resolve();
        };
        stream.once('end', end).once('close', end);
      });
      stream.end();
      await ended;
    }
    clearTimeout(this.#timer);
    if (!this.#agentEnded && stream !== undefined) this.#lost();
    this.#over = true;
    if (this.#started) kernel.complete();
    else if (this.#accepted && !this.#failed && !this.#missing) kernel.astray('the agent did not see the command start');
    stream?.destroy();
  }

  /** Whether the frame shows that the command runs or ran. An error alone only shows that the command did not start. */
  #isSign(frame: Buffer): boolean {
    const data = frame.subarray(1);
    if (data.length === 0) return false;
    if (frame[0] !== CHANNEL.error) return frame[0] === CHANNEL.stdout || frame[0] === CHANNEL.stderr;
    if (exitCodeOf(data) !== null) return true;
    if (!this.#shown) this.#failed = true;
    return false;
  }

  #take(kernel: KernelRecording, message: unknown): void {
    if (this.#over) return;
    if (startedReport.safeParse(message).success) {
      this.#started = true;
      clearTimeout(this.#timer);
      return this.#wake();
    }
    const state = (message as { readonly state?: unknown } | null)?.state;
    // A report of missing events about a command that never ran is not a loss.
    if (state === 'off') {
      if (this.#failed) return;
      this.#missing = true;
    }
    kernel.takesRequest(JSON.stringify(message));
    if (!this.#answered) {
      this.#answered = true;
      this.#onAnswer?.();
    }
    if (this.#missing) this.#wake();
  }

  #lost(): void {
    if (this.#over || this.#missing || this.#failed || (this.#ending && (this.#agentEnded || !this.#accepted))) return;
    if (!this.#answered || !this.#started) return this.#astray('the agent was lost');
    this.#missing = true;
    this.#kernel?.lost();
    this.#wake();
  }

  #astray(reason: string): void {
    if (this.#missing || this.#over) return;
    this.#missing = true;
    this.#kernel?.astray(reason);
    this.#onAnswer?.();
    this.#wake();
  }

  #wake(): void {
    for (const callback of this.#waiting.splice(0)) callback();
  }
}
