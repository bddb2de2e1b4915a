/**
 * Records the processes of one session channel as its gateway orders: accepts the order, starts the process under recording,
 * and reports back on the channel in the form in which the order came (schemas/kernel/orders.ts). Without an order nothing
 * is recorded and nothing is spent. Tested in test/agent/orders.test.ts and test/kernel/.
 */
import type { ServerChannel } from 'ssh2';
import { StenoError } from '#schemas/base/errors.js';
import {
  MAX_ORDER_BYTES,
  ORDER_REQUEST,
  ORDER_VARIABLE,
  PROGRESS_REPORT,
  PROGRESS_VARIABLE,
  REPORT_PREFIX,
  REPORT_REQUEST,
  REPORT_SIGNAL,
  orderRequest,
  orderVariable,
  parsedText,
} from '#schemas/kernel/orders.js';
import type { EventsWay, KernelOrder, KernelReport } from '#schemas/kernel/orders.js';
import { SshReader } from '#schemas/ssh/wire.js';
import type { Log } from '#runtime/log.js';
import { sendChannelRequest } from '#runtime/ssh/own-messages.js';
import type { KernelRecorder, KernelSession } from './kernel-recorder.js';

type Form = 'request' | 'variable';

export class ChannelWatch {
  readonly #kernel: KernelRecorder | null;
  readonly #log: Log;
  #order: KernelOrder | null = null;
  #form: Form = 'request';
  #session: KernelSession | null = null;
  #garbled = false;
  /** Reports that the gateway accepts in addition to `on`, `off` and `gap`. */
  readonly #reports = new Set<string>();
  /** To the gateway, if it signs rows; null if it does not. */
  #way: EventsWay | null = null;

  /** `kernel` null: this node service records no kernel events. */
  constructor(kernel: KernelRecorder | null, log: Log) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /** Whether this request was the order. An unreadable order refuses the start: its sender would believe it was obeyed. */
  takesRequest(name: string, data: Uint8Array | null): boolean {
    if (name !== ORDER_REQUEST) return false;
    const order = orderRequest.safeParse(orderIn(data));
    this.#obey(order.success ? order.data : null, 'request');
    for (const report of order.data?.reports ?? []) this.#reports.add(report);
    this.#way = order.data?.events ?? null;
    return true;
  }

  /** The same for the previous form, an environment variable. */
  takesVariable(name: string, value: string): boolean {
    if (name === PROGRESS_VARIABLE) this.#reports.add(PROGRESS_REPORT);
    else if (name === ORDER_VARIABLE) this.#obey(orderVariable.safeParse(parsedText(value)).data ?? null, 'variable');
    else return false;
    return true;
  }

  /** Only the first order counts; a gateway never sends a second one, in either form. */
  #obey(order: KernelOrder | null, form: Form): void {
    if (order === null || this.#order !== null) this.#garbled = true;
    else [this.#order, this.#form] = [order, form];
  }

  /**
   * Runs `make`, which must start the process synchronously. Throws KERNEL_RECORDING_IMPOSSIBLE if the order is strict and
   * recording fails.
   */
  spawn<T>(channel: ServerChannel, make: () => T): T {
    if (this.#garbled) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', 'the order of the gateway cannot be read');
    const order = this.#order;
    if (order === null) return make();
    const report = (what: KernelReport): void => send(channel, this.#form, what);
    let session: KernelSession;
    try {
      if (this.#kernel === null) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', 'this node service records no kernel events');
      session = this.#kernel.session(order, this.#way, (what) => {
        if (what.state !== PROGRESS_REPORT || this.#reports.has(PROGRESS_REPORT)) report(what);
      });
    } catch (error) {
      const reason = error instanceof StenoError ? (error.detail ?? error.message) : String(error);
      this.#log.warn({ session: order.session, reason }, 'a session runs without kernel events');
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

  /** Called before the exit status is sent: everything missing up to now has been reported. */
  async settle(): Promise<void> {
    await this.#session?.settle();
  }

  /** The channel has closed. */
  end(): void {
    this.#session?.end();
    this.#session = null;
  }
}

/** The JSON in an order's single string, or null. */
function orderIn(data: Uint8Array | null): unknown {
  try {
    const reader = new SshReader(data ?? new Uint8Array(0), 'BAD_REQUEST');
    const text = reader.utf8('the order', MAX_ORDER_BYTES);
    reader.end('the order');
    return parsedText(text);
  } catch {
    return null;
  }
}

function send(channel: ServerChannel, form: Form, report: KernelReport): void {
  if (channel.destroyed) return;
  const text = JSON.stringify(report);
  if (form === 'request') sendChannelRequest(channel, REPORT_REQUEST, text);
  else channel.exit(REPORT_SIGNAL, false, `${REPORT_PREFIX}${text}`);
}
