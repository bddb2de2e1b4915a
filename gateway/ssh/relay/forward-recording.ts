/**
 * The recording of everything a connection forwards: one recording for all its ports, sockets and the agent, begun with the first of
 * them. Each forwarded channel has its own number in the recording. Tested in forwarding.test.ts.
 */
import type { StenoError } from '#schemas/base/errors.js';
import type { Recorder, SessionRecorder } from '../../recorder/recorder.js';
import type { LiveSession } from '../../sessions/live-session.js';
import type { ForwardRequest } from './channel-requests.js';
import { isStrict } from './session-recording.js';
import type { ConnectionFacts } from './session-recording.js';

export class ForwardTap {
  readonly recorder: SessionRecorder;
  readonly #number: number;

  constructor(recorder: SessionRecorder, number: number) {
    this.recorder = recorder;
    this.#number = number;
  }

  output(_stream: 'out' | 'err', bytes: Buffer): boolean {
    return this.recorder.output('out', bytes, this.#number);
  }

  input(bytes: Buffer): boolean {
    return this.recorder.input(bytes, this.#number);
  }

  async close(): Promise<void> {
    this.recorder.fact({ fact: 'forward_close', channel: this.#number });
  }
}

export class ForwardRecording {
  readonly #factory: Recorder;
  readonly #facts: ConnectionFacts;
  readonly #failed: (error: StenoError) => void;
  readonly #begin: (recorder: SessionRecorder) => LiveSession;
  #opening: Promise<SessionRecorder> | undefined;
  #numbers = 0;
  #live: LiveSession | undefined;
  #ended: StenoError | undefined;

  constructor(
    factory: Recorder,
    facts: ConnectionFacts,
    failed: (error: StenoError) => void,
    begin: (recorder: SessionRecorder) => LiveSession,
  ) {
    this.#factory = factory;
    this.#facts = facts;
    this.#failed = failed;
    this.#begin = begin;
  }

  /** Rejects with RECORDING_IMPOSSIBLE or SPOOL_FULL, in which case nothing may be forwarded. */
  recorder(): Promise<SessionRecorder> {
    this.#opening ??= this.#factory.open({ ...this.#facts, kind: 'forward', tty: false }, { cols: 80, rows: 24 }).then((recorder) => {
      this.#live = this.#begin(recorder);
      if (isStrict(this.#facts.recording)) recorder.onFailure(this.#failed);
      return recorder;
    });
    return this.#opening;
  }

  /** The session, once its recording has begun. */
  get live(): LiveSession | undefined {
    return this.#live;
  }

  /** Stops forwarding: later requests are refused with `error`. */
  end(error: StenoError): void {
    this.#ended = error;
  }

  async tap(request: ForwardRequest): Promise<ForwardTap> {
    const recorder = await this.recorder();
    if (this.#ended !== undefined) throw this.#ended;
    const channel = ++this.#numbers;
    recorder.fact({
      fact: 'forward_open',
      channel,
      direction: request.direction,
      address: request.address,
      port: request.port,
      origin_address: request.originAddress,
      origin_port: request.originPort,
    });
    return new ForwardTap(recorder, channel);
  }

  async listening(address: string, port: number): Promise<void> {
    (await this.recorder()).fact({ fact: 'forward_listen', address, port });
  }

  async close(): Promise<void> {
    const recorder = await this.#opening?.catch(() => undefined);
    await recorder?.close();
  }
}
