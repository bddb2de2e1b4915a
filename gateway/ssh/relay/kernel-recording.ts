/**
 * Recording in the kernel of the node, as the gateway sees it: the order that goes with a session channel, and what the
 * node reports back, which becomes part of the signed recording.
 *
 *     unasked ──order──► awaited ──on──► recorded ──gap, read──► recorded ──exit──► complete
 *                           │               └──off, node lost──► missing
 *                           └──off──► missing: a gap without an end and an audit row; where the role is strict, the session ends
 *
 * A node that is lost, its service killed for one, says nothing of what is missing. It has said until when events are safe in
 * its log: from there on is the gap.
 *
 * A strict session shows nothing before the node has said `on`. Tested in test/kernel/.
 */
import { StenoError } from '#schemas/base/errors.js';
import { EVENTS_VARIABLE, ORDER_VARIABLE, PROGRESS_VARIABLE, REPORT_PREFIX, REPORT_SIGNAL, kernelReport } from '#schemas/kernel/kernel.js';
import type { EventsWay, KernelOrder } from '#schemas/kernel/kernel.js';
import type { EnhancedRecording } from '#schemas/policy/node.js';
import { sessionTime } from '#schemas/recording/line.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import type { AuditEntry, SessionRecorder } from '../../recorder/recorder.js';
import { MSG } from '../transport/messages.js';

export interface KernelRecordingDeps {
  readonly enhanced: EnhancedRecording;
  /** Whether the node runs Steno's agent: nobody else understands the order. */
  readonly agent: boolean;
  /** Where nodes bring rows to this gateway; null: nowhere, and they send them to ingest. */
  readonly events: EventsWay | null;
  /** ms since 1970. */
  readonly now: () => number;
  /** A message took no longer than this to the node, in ms: measured when it was dialled. */
  readonly delayMs: number;
  readonly audit: (entry: AuditEntry) => void;
}

export class KernelRecording {
  readonly #deps: KernelRecordingDeps;
  readonly #recorder: SessionRecorder;
  readonly #fail: (error: StenoError) => void;
  #state: 'awaited' | 'recorded' | 'complete' | 'missing' = 'awaited';
  #askedAt = 0;
  /** Events until then are safe, in ms of session time. */
  #until = 0;

  private constructor(deps: KernelRecordingDeps, recorder: SessionRecorder, fail: (error: StenoError) => void) {
    this.#deps = deps;
    this.#recorder = recorder;
    this.#fail = fail;
  }

  /** Null where nothing is to be recorded in the kernel. `fail`: ends the session. */
  static begin(deps: KernelRecordingDeps, recorder: SessionRecorder, fail: (error: StenoError) => void): KernelRecording | null {
    return deps.enhanced.mode === 'off' || deps.enhanced.classes.length === 0 || !deps.agent
      ? null
      : new KernelRecording(deps, recorder, fail);
  }

  /** Whether output may be shown. */
  get ready(): boolean {
    return this.#state !== 'awaited' || this.#deps.enhanced.mode !== 'strict';
  }

  /** Messages to the node's channel, to go before the one that starts the session. */
  orders(channel: number): readonly Uint8Array[] {
    const { enhanced, events, now, delayMs } = this.#deps;
    this.#askedAt = now();
    this.#until = this.#time();
    const order: KernelOrder = {
      session: this.#recorder.session,
      mode: enhanced.mode === 'strict' ? 'strict' : 'best_effort',
      classes: [...enhanced.classes],
      offset_ms: this.#until,
      error_ms: Math.min(60_000, Math.ceil(delayMs)),
    };
    return [
      [PROGRESS_VARIABLE, '1'],
      ...(events === null ? [] : [[EVENTS_VARIABLE, JSON.stringify(events)]]),
      [ORDER_VARIABLE, JSON.stringify(order)],
    ].map(([name, value]) => new SshWriter().byte(MSG.channelRequest).uint32(channel).utf8('env').byte(0).utf8(name!).utf8(value!).bytes());
  }

  /** ms of session time. */
  #time(): number {
    return Math.max(0, Math.floor(this.#deps.now() - sessionTime(this.#recorder.session)));
  }

  /** Whether an `exit-signal` was a report, which is no end of anything. */
  takes(signal: string, message: string): boolean {
    if (signal !== REPORT_SIGNAL || !message.startsWith(REPORT_PREFIX)) return false;
    const report = kernelReport.safeParse(parsed(message.slice(REPORT_PREFIX.length)));
    // A node that reports what nobody understands is a node that does not record.
    if (!report.success) this.#missing('the node reports what cannot be read');
    else if (report.data.state === 'off') this.#missing(report.data.reason);
    else if (report.data.state === 'on') {
      this.#state = 'recorded';
      // Before the fact that says so. A node whose rows find no log sends them to ingest.
      const log = report.data.log === true && this.#deps.events !== null && this.#recorder.logEvents();
      this.#recorder.fact({
        fact: 'kernel',
        classes: report.data.classes,
        error_ms: Math.max(1, Math.ceil(this.#deps.now() - this.#askedAt)),
        ...(log ? { log } : {}),
      });
    } else if (report.data.state === 'read') {
      this.#until = Math.max(this.#until, Math.min(report.data.until_ms, this.#time()));
    } else {
      const { why, count, first_ms: from, last_ms: to } = report.data;
      this.#recorder.gap({ reason: 'kernel_events', count, from, to, detail: why });
    }
    return true;
  }

  /** The session's program has ended, and the node had told before what is missing. */
  complete(): void {
    if (this.#state === 'recorded') this.#state = 'complete';
  }

  /** The connection to the node is gone while the session went on. */
  lost(): void {
    if (this.#state === 'recorded') this.#missing('the node was lost', this.#time());
  }

  /** Output came before the node had said that it records. */
  unready(): void {
    this.#missing('the node does not say that it records');
  }

  /** `to`: ms of session time; left out: nobody knows how long. */
  #missing(reason: string, to?: number): void {
    if (this.#state === 'missing') return;
    const began = this.#state !== 'awaited';
    this.#state = 'missing';
    const strict = this.#deps.enhanced.mode === 'strict';
    this.#deps.audit({
      event: strict && !began ? 'kernel_recording.impossible' : 'kernel_recording.lost',
      outcome: 'failure',
      code: 'KERNEL_RECORDING_IMPOSSIBLE',
      reason: reason.slice(0, 1024),
      session: this.#recorder.session,
    });
    this.#recorder.gap({
      reason: 'kernel_events',
      detail: reason.slice(0, 1024),
      ...(began ? { from: this.#until } : {}),
      ...(to === undefined ? {} : { to: Math.max(to, this.#until) }),
    });
    if (strict) this.#fail(new StenoError('KERNEL_RECORDING_IMPOSSIBLE', reason));
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
