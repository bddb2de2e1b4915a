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
 * A strict session shows nothing before the node has said `on`; a node that never says so leaves a gap. Messages:
 * schemas/kernel/orders.ts. Tested in kernel-recording.test.ts, kernel-requests.test.ts and test/kernel/.
 */
import { StenoError } from '#schemas/base/errors.js';
import {
  ORDER_REQUEST,
  ORDER_VARIABLE,
  PROGRESS_REPORT,
  PROGRESS_VARIABLE,
  REPORT_PREFIX,
  REPORT_SIGNAL,
  kernelReport,
  parsedText,
} from '#schemas/kernel/orders.js';
import type { KernelOrder, OrderRequest } from '#schemas/kernel/orders.js';
import type { EnhancedRecording } from '#schemas/policy/node.js';
import { sessionTime } from '#schemas/recording/line.js';
import type { AuditEntry, SessionRecorder } from '../../recorder/recorder.js';
import { message } from '../transport/messages.js';

export interface KernelRecordingDeps {
  readonly enhanced: EnhancedRecording;
  /** Whether the node runs Steno's agent: nobody else understands the order. */
  readonly agent: boolean;
  /** Whether it takes the order as a request of its own name; else it is spoken to in the form before. */
  readonly requests: boolean;
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
    const { enhanced, now, delayMs } = this.#deps;
    this.#askedAt = now();
    this.#until = this.#time();
    const order: KernelOrder = {
      session: this.#recorder.session,
      mode: enhanced.mode === 'strict' ? 'strict' : 'best_effort',
      classes: [...enhanced.classes],
      offset_ms: this.#until,
      error_ms: Math.min(60_000, Math.ceil(delayMs)),
    };
    if (!this.#deps.requests)
      return [
        message.request(channel, 'env', PROGRESS_VARIABLE, '1'),
        message.request(channel, 'env', ORDER_VARIABLE, JSON.stringify(order)),
      ];
    return [message.request(channel, ORDER_REQUEST, JSON.stringify({ ...order, reports: [PROGRESS_REPORT] } satisfies OrderRequest))];
  }

  /** ms of session time. */
  #time(): number {
    return Math.max(0, Math.floor(this.#deps.now() - sessionTime(this.#recorder.session)));
  }

  /** Whether an `exit-signal` was a report in the form before, which is no end of anything. */
  takesSignal(signal: string, text: string): boolean {
    if (this.#deps.requests || signal !== REPORT_SIGNAL || !text.startsWith(REPORT_PREFIX)) return false;
    this.#take(text.slice(REPORT_PREFIX.length));
    return true;
  }

  /** A report. In the form that was not agreed on it says nothing. */
  takesRequest(text: string): void {
    if (this.#deps.requests) this.#take(text);
  }

  #take(text: string): void {
    const report = kernelReport.safeParse(parsedText(text));
    // A node that reports what nobody understands is a node that does not record.
    if (!report.success) this.#missing('the node reports what cannot be read');
    else if (report.data.state === 'off') this.#missing(report.data.reason);
    else if (report.data.state === 'on') {
      this.#state = 'recorded';
      this.#recorder.fact({
        fact: 'kernel',
        classes: report.data.classes,
        error_ms: Math.max(1, Math.ceil(this.#deps.now() - this.#askedAt)),
      });
    } else if (report.data.state === PROGRESS_REPORT) {
      this.#until = Math.max(this.#until, Math.min(report.data.until_ms, this.#time()));
    } else {
      const { why, count, first_ms: from, last_ms: to } = report.data;
      this.#recorder.gap({ reason: 'kernel_events', count, from, to, detail: why });
    }
  }

  /** The session's program has ended: the node has told what is missing, or that it records at all, before that or never. */
  complete(): void {
    if (this.#state === 'recorded') this.#state = 'complete';
    else if (this.#state === 'awaited') this.unready();
  }

  /** The connection to the node is gone while the session went on. */
  lost(): void {
    if (this.#state !== 'complete') this.#missing('the node was lost', this.#time());
  }

  /** Output, or the end, came before the node had said that it records. */
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
