/**
 * Kernel recording on a node, as seen by the gateway: the order sent with a session channel, and the node's reports, which
 * become part of the signed recording.
 *
 *     unasked ──order──► awaited ──on──► recorded ──gap, read──► recorded ──exit──► complete
 *                           │               └──off, node lost──► missing
 *                           └──off──► missing: a gap without an end and an audit row; where the role is strict, the session ends
 *
 * A node that is lost, for example because its service was killed, reports nothing. It has reported until when events are
 * safe in its log; the gap begins there.
 *
 * A strict session shows nothing before the node has reported `on`; a node that never does leaves a gap. Messages:
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
import type { EventsWay, KernelOrder, OrderRequest } from '#schemas/kernel/orders.js';
import type { EnhancedRecording } from '#schemas/policy/node.js';
import { sessionTime } from '#schemas/recording/line.js';
import type { AuditEntry, SessionRecorder } from '../../recorder/recorder.js';
import { message } from '../transport/messages.js';

export interface KernelRecordingDeps {
  readonly enhanced: EnhancedRecording;
  /** Whether the node runs Steno's agent; no other server understands the order. */
  readonly agent: boolean;
  /** Whether the agent accepts the order as a private channel request; older agents get the previous form. */
  readonly requests: boolean;
  /** Where nodes send rows to this gateway; null: nodes send them to ingest. */
  readonly events: EventsWay | null;
  /** The node that sends the rows, if it is not the session's own node. */
  readonly sender?: string;
  /** ms since 1970. */
  readonly now: () => number;
  /** Upper bound in ms for a message's way to the node, measured when it was dialled. */
  readonly delayMs: number;
  readonly audit: (entry: AuditEntry) => void;
}

export class KernelRecording {
  readonly #deps: KernelRecordingDeps;
  readonly #recorder: SessionRecorder;
  readonly #fail: (error: StenoError) => void;
  #state: 'awaited' | 'recorded' | 'complete' | 'missing' = 'awaited';
  #askedAt = 0;
  /** Events up to this session time, in ms, are safe. */
  #until = 0;

  private constructor(deps: KernelRecordingDeps, recorder: SessionRecorder, fail: (error: StenoError) => void) {
    this.#deps = deps;
    this.#recorder = recorder;
    this.#fail = fail;
  }

  /** Null if nothing is to be recorded in the kernel. `fail`: ends the session. */
  static begin(deps: KernelRecordingDeps, recorder: SessionRecorder, fail: (error: StenoError) => void): KernelRecording | null {
    return deps.enhanced.mode === 'off' || deps.enhanced.classes.length === 0 || !deps.agent
      ? null
      : new KernelRecording(deps, recorder, fail);
  }

  /** Whether output may be shown. */
  get ready(): boolean {
    return this.#state !== 'awaited' || this.#deps.enhanced.mode !== 'strict';
  }

  /** Messages for the node's channel, sent before the request that starts the session. */
  orders(channel: number): readonly Uint8Array[] {
    const order = this.#order();
    if (!this.#deps.requests)
      return [
        message.request(channel, 'env', PROGRESS_VARIABLE, '1'),
        message.request(channel, 'env', ORDER_VARIABLE, JSON.stringify(order)),
      ];
    return [message.request(channel, ORDER_REQUEST, JSON.stringify(this.#request(order)))];
  }

  /** The order as a separate message, for callers that send it to the node by other means than a channel. */
  request(): OrderRequest {
    return this.#request(this.#order());
  }

  #order(): KernelOrder {
    const { enhanced, now, delayMs } = this.#deps;
    this.#askedAt = now();
    this.#until = this.#time();
    return {
      session: this.#recorder.session,
      mode: enhanced.mode === 'strict' ? 'strict' : 'best_effort',
      classes: [...enhanced.classes],
      offset_ms: this.#until,
      error_ms: Math.min(60_000, Math.ceil(delayMs)),
    };
  }

  #request(order: KernelOrder): OrderRequest {
    const { events } = this.#deps;
    return { ...order, reports: [PROGRESS_REPORT], ...(events === null ? {} : { events }) };
  }

  /** ms of session time. */
  #time(): number {
    return Math.max(0, Math.floor(this.#deps.now() - sessionTime(this.#recorder.session)));
  }

  /** Whether an `exit-signal` was a report in the previous form, which does not end the session. */
  takesSignal(signal: string, text: string): boolean {
    if (this.#deps.requests || signal !== REPORT_SIGNAL || !text.startsWith(REPORT_PREFIX)) return false;
    this.#take(text.slice(REPORT_PREFIX.length));
    return true;
  }

  /** Handles a report. A report in a form that was not negotiated is ignored. */
  takesRequest(text: string): void {
    if (this.#deps.requests) this.#take(text);
  }

  #take(text: string): void {
    const report = kernelReport.safeParse(parsedText(text));
    // A node whose reports cannot be parsed counts as a node that does not record.
    if (!report.success) this.#missing('the node sent an unreadable report');
    else if (report.data.state === 'off') this.#missing(report.data.reason);
    else if (report.data.state === 'on') {
      this.#state = 'recorded';
      // The log begins before the fact that announces it. A node whose rows find no log sends them to ingest.
      const log =
        report.data.log === true && this.#deps.requests && this.#deps.events !== null && this.#recorder.logEvents(this.#deps.sender);
      this.#recorder.fact({
        fact: 'kernel',
        classes: report.data.classes,
        error_ms: Math.max(1, Math.ceil(this.#deps.now() - this.#askedAt)),
        ...(log ? { log } : {}),
      });
    } else if (report.data.state === PROGRESS_REPORT) {
      this.#until = Math.max(this.#until, Math.min(report.data.until_ms, this.#time()));
    } else {
      const { why, count, first_ms: from, last_ms: to } = report.data;
      this.#recorder.gap({ reason: 'kernel_events', count, from, to, detail: why });
    }
  }

  /**
   * The session's program has ended. By now the node has reported any losses, and that it records at all, or it never will.
   */
  complete(): void {
    if (this.#state === 'recorded') this.#state = 'complete';
    else if (this.#state === 'awaited') this.unready();
  }

  /** The connection to the node was lost while the session was running. */
  lost(): void {
    if (this.#state !== 'complete') this.#missing('the node was lost', this.#time());
  }

  /** Output, or the end, came before the node reported that it records. */
  unready(): void {
    this.#missing('the node did not report that it records');
  }

  /** The node's events do not, or may not, belong to the session. */
  astray(reason: string): void {
    this.#missing(reason);
  }

  /** `to`: ms of session time; omitted if the duration is unknown. */
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
