/**
 * Recording of one session channel's processes, as its gateway orders it: takes the order, starts the process inside it,
 * and reports back on the channel. No order: nothing is recorded, and nothing costs anything.
 *
 * Reports travel as `exit-signal` requests that ssh2 can send and no client ever gets (schemas/kernel/kernel.ts). Tested in
 * test/kernel/.
 */
import type { ServerChannel } from 'ssh2';
import { StenoError } from '#schemas/base/errors.js';
import { EVENTS_VARIABLE, ORDER_VARIABLE, PROGRESS_VARIABLE, REPORT_PREFIX, REPORT_SIGNAL, eventsWay, kernelOrder } from '#schemas/kernel/kernel.js';
import type { EventsWay, KernelOrder, KernelReport } from '#schemas/kernel/kernel.js';
import type { Log } from '#runtime/log.js';
import type { KernelRecorder, KernelSession } from './kernel-recorder.js';

export class ChannelWatch {
  readonly #kernel: KernelRecorder | null;
  readonly #log: Log;
  #order: KernelOrder | null = null;
  #session: KernelSession | null = null;
  #garbled = false;
  /** The gateway takes reports of how far events are kept. */
  #progress = false;
  /** The gateway signs rows, and this is the way there. */
  #way: EventsWay | null = null;

  /** `kernel` null: this node service records no kernel events. */
  constructor(kernel: KernelRecorder | null, log: Log) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /** Whether this variable was the order. One that cannot be read refuses the start: its sender would think it obeyed. */
  takes(name: string, value: string): boolean {
    if (name === PROGRESS_VARIABLE) return (this.#progress = true);
    if (name === EVENTS_VARIABLE) {
      // One that cannot be read is not obeyed: the report does not say `log`, and the rows go to ingest.
      const way = eventsWay.safeParse(parsedJson(value));
      this.#way = way.success ? way.data : null;
      return true;
    }
    if (name !== ORDER_VARIABLE) return false;
    const order = kernelOrder.safeParse(parsedJson(value));
    if (order.success && this.#order === null) this.#order = order.data;
    else this.#garbled = true;
    return true;
  }

  /** Runs `make`, which must start the process synchronously. Throws KERNEL_RECORDING_IMPOSSIBLE where the order is strict. */
  spawn<T>(channel: ServerChannel, make: () => T): T {
    if (this.#garbled) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', 'the order of the gateway cannot be read');
    const order = this.#order;
    if (order === null) return make();
    const report = (what: KernelReport): void => send(channel, what);
    let session: KernelSession;
    try {
      if (this.#kernel === null) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', 'this node service records none');
      session = this.#kernel.session(order, this.#way, (what) => {
        if (what.state !== 'read' || this.#progress) report(what);
      });
    } catch (error) {
      const reason = error instanceof StenoError ? (error.detail ?? error.message) : String(error);
      this.#log.warn({ session: order.session, reason }, 'a session without kernel events');
      report({ state: 'off', reason: reason.slice(0, 1024) });
      if (order.mode === 'strict') throw error;
      return make();
    }
    this.#session = session;
    report({ state: 'on', classes: order.classes, ...(this.#way === null ? {} : { log: true }) });
    try {
      return session.spawn(make);
    } catch (error) {
      this.end();
      throw error;
    }
  }

  /** Before the exit status is sent: what is missing until here is told. */
  async settle(): Promise<void> {
    await this.#session?.settle();
  }

  /** The channel is over. */
  end(): void {
    this.#session?.end();
    this.#session = null;
  }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function send(channel: ServerChannel, report: KernelReport): void {
  if (channel.destroyed) return;
  channel.exit(REPORT_SIGNAL, false, `${REPORT_PREFIX}${JSON.stringify(report)}`);
}
