/**
 * The recording of one session channel: opened before the request that starts the session goes to the node, so that nothing
 * can run or be shown unrecorded. Tested in ../server/gateway.test.ts.
 */
import { execFacts } from '#schemas/recording/line.js';
import type { ClientConnection, Gap, FileFact, RecordingMode, SessionKind } from '#schemas/recording/line.js';
import type { StenoError } from '#schemas/base/errors.js';
import type { OpenFacts, Recorder, SessionRecorder } from '../../recorder/recorder.js';
import type { Budget } from '../../streams/observing/budget.js';
import type { Follows, StreamObserver } from '../../streams/observing/observer.js';
import type { SessionRequest } from './channel-requests.js';

/** The recorded user and the path to the node: the same for all recordings of one connection. */
export type ConnectionFacts = Omit<OpenFacts, 'kind' | 'tty'>;

/** Creates the observer that parses the protocol inside a stream and reports file operations. */
export type Observe = (
  stream: { readonly subsystem?: string; readonly command?: string; readonly tty: boolean },
  report: (fact: FileFact | { readonly gap: Gap }) => void,
  budget: Budget,
) => StreamObserver | null;

export type SessionStart =
  { readonly kind: 'shell' } | { readonly kind: 'exec'; readonly command: string } | { readonly kind: 'subsystem'; readonly name: string };

export interface SessionRecordingDeps {
  readonly recorder: Recorder;
  readonly observe: Observe;
  readonly facts: ConnectionFacts;
  /** If omitted, sessions are not linked to the session they were opened from. */
  readonly connection?: ClientConnection;
  /** Budget shared by the observers of this connection. */
  readonly budget: Budget;
}

/** Records the data of a session as it passes. `null` recorder: best_effort, and recording is impossible. */
export class SessionTap {
  readonly recorder: SessionRecorder;
  readonly #observer: StreamObserver | null;
  /** Called with output that was recorded. */
  shown: ((bytes: Buffer) => void) | null = null;
  #follows: Follows = 'neither';

  constructor(recorder: SessionRecorder, observer: StreamObserver | null) {
    this.recorder = recorder;
    this.#observer = observer;
    this.#updateFollows();
  }

  /** False: pause until `recorder.onReady`. */
  output(stream: 'out' | 'err', bytes: Buffer): boolean {
    if (stream === 'out' && this.#observer !== null) {
      this.#observer.output(bytes);
      this.#updateFollows();
    }
    const ready = this.recorder.output(stream, bytes);
    this.shown?.(bytes);
    return ready;
  }

  input(bytes: Buffer): boolean {
    if (this.#observer !== null) {
      this.#observer.input(bytes);
      this.#updateFollows();
    }
    return this.recorder.input(bytes);
  }

  /**
   * Runs before the bytes in which the observer lost the protocol are recorded: from those bytes on, everything is kept in
   * full again.
   */
  #updateFollows(): void {
    const follows = this.#observer?.follows ?? 'neither';
    if (follows === this.#follows) return;
    this.#follows = follows;
    this.recorder.follows(follows);
  }

  close(): Promise<void> {
    this.#observer?.end();
    return this.recorder.close();
  }
}

/** Rejects with RECORDING_IMPOSSIBLE or SPOOL_FULL. `failed`: the recording broke later; a strict session must end. */
export async function openSessionTap(
  deps: SessionRecordingDeps,
  request: SessionRequest,
  start: SessionStart,
  failed: (error: StenoError) => void,
): Promise<SessionTap> {
  const { facts, connection, recorder: factory, observe } = deps;
  const size = { cols: request.cols, rows: request.rows, ...(request.term === '' ? {} : { type: request.term }) };
  const command = start.kind === 'exec' ? start.command : undefined;
  const recorder = await factory.open({ ...facts, kind: kindOf(start), tty: request.tty }, size, command);
  recorder.participant({
    action: 'joined',
    user: facts.user,
    mode: 'owner',
    source_address: facts.source_address,
    ...(connection === undefined ? {} : { connection }),
  });
  for (const [name, value] of request.environment) recorder.fact({ fact: 'environment', name, value });
  if (start.kind === 'exec') for (const fact of execFacts(start.command)) recorder.fact(fact);
  if (start.kind === 'subsystem') recorder.fact({ fact: 'subsystem', name: start.name });
  if (isStrict(facts.recording)) recorder.onFailure(failed);
  const observer =
    start.kind === 'shell'
      ? null
      : observe(
          start.kind === 'exec' ? { command: start.command, tty: request.tty } : { subsystem: start.name, tty: request.tty },
          (fact) => ('gap' in fact ? recorder.gap(fact.gap) : recorder.fact(fact)),
          deps.budget,
        );
  return new SessionTap(recorder, observer);
}

export function kindOf(start: SessionStart): SessionKind {
  return start.kind === 'subsystem' && start.name === 'sftp' ? 'sftp' : start.kind;
}

export function isStrict({ mode }: RecordingMode): boolean {
  return mode === 'strict';
}
