/**
 * Recording in the kernel of the node, as the gateway sees it: the order that goes with a session channel, and what the
 * node reports back, which becomes part of the signed recording.
 *
 *     unasked ──order──► awaited ──on──► recorded ──gap──► recorded
 *                           └──off──► missing: a gap and an audit row; where the role is strict, the session ends
 *
 * A strict session shows nothing before the node has said `on`. Tested in test/kernel/.
 */
import { StenoError } from '#schemas/errors.js';
import { ORDER_VARIABLE, REPORT_PREFIX, REPORT_SIGNAL, kernelReport } from '#schemas/kernel.js';
import type { KernelOrder } from '#schemas/kernel.js';
import type { EnhancedRecording } from '#schemas/policy/node.js';
import { sessionTime } from '#schemas/recording/line.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import type { AuditEntry, SessionRecorder } from '../recorder/recorder.js';
import { MSG } from './messages.js';

export interface KernelRecordingDeps {
  readonly enhanced: EnhancedRecording;
  /** Whether the node runs Steno's agent: nobody else understands the order. */
  readonly agent: boolean;
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
  #state: 'awaited' | 'recorded' | 'missing' = 'awaited';
  #askedAt = 0;

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

  /** The message to the node's channel, to go before the one that starts the session. */
  order(channel: number): Uint8Array {
    const { enhanced, now, delayMs } = this.#deps;
    this.#askedAt = now();
    const order: KernelOrder = {
      session: this.#recorder.session,
      mode: enhanced.mode === 'strict' ? 'strict' : 'best_effort',
      classes: [...enhanced.classes],
      offset_ms: Math.max(0, Math.floor(this.#askedAt - sessionTime(this.#recorder.session))),
      error_ms: Math.min(60_000, Math.ceil(delayMs)),
    };
    return new SshWriter()
      .byte(MSG.channelRequest)
      .uint32(channel)
      .utf8('env')
      .byte(0)
      .utf8(ORDER_VARIABLE)
      .utf8(JSON.stringify(order))
      .bytes();
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
      this.#recorder.fact({
        fact: 'kernel',
        classes: report.data.classes,
        error_ms: Math.max(1, Math.ceil(this.#deps.now() - this.#askedAt)),
      });
    } else {
      const { why, count, first_ms: from, last_ms: to } = report.data;
      this.#recorder.gap({ reason: 'kernel_events', count, from, to, detail: why });
    }
    return true;
  }

  /** Output came before the node had said that it records. */
  unready(): void {
    this.#missing('the node does not say that it records');
  }

  #missing(reason: string): void {
    if (this.#state === 'missing') return;
    this.#state = 'missing';
    const strict = this.#deps.enhanced.mode === 'strict';
    this.#deps.audit({
      event: strict ? 'kernel_recording.impossible' : 'kernel_recording.lost',
      outcome: 'failure',
      code: 'KERNEL_RECORDING_IMPOSSIBLE',
      reason: reason.slice(0, 1024),
      session: this.#recorder.session,
    });
    this.#recorder.gap({ reason: 'kernel_events', detail: reason.slice(0, 1024) });
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
