/**
 * Recording of one session channel's processes, as its gateway orders it: takes the order, starts the process inside it,
 * and reports back on the channel, in the form in which the order came (schemas/kernel/orders.ts). No order: nothing is
 * recorded, and nothing costs anything. Tested in test/agent/orders.test.ts and test/kernel/.
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
import type { KernelOrder, KernelReport } from '#schemas/kernel/orders.js';
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
  /** Reports that the gateway takes beside `on`, `off` and `gap`. */
  readonly #reports = new Set<string>();

  /** `kernel` null: this node service records no kernel events. */
  constructor(kernel: KernelRecorder | null, log: Log) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /** Whether this request was the order. One that cannot be read refuses the start: its sender would think it obeyed. */
  takesRequest(name: string, data: Uint8Array | null): boolean {
    if (name !== ORDER_REQUEST) return false;
    const order = orderRequest.safeParse(orderIn(data));
    this.#obey(order.success ? order.data : null, 'request');
    for (const report of order.data?.reports ?? []) this.#reports.add(report);
    return true;
  }

  /** The same of the form before. */
  takesVariable(name: string, value: string): boolean {
    if (name === PROGRESS_VARIABLE) this.#reports.add(PROGRESS_REPORT);
    else if (name === ORDER_VARIABLE) this.#obey(orderVariable.safeParse(parsedText(value)).data ?? null, 'variable');
    else return false;
    return true;
  }

  /** The first order counts; a second one, in either form, is none that a gateway gives. */
  #obey(order: KernelOrder | null, form: Form): void {
    if (order === null || this.#order !== null) this.#garbled = true;
    else [this.#order, this.#form] = [order, form];
  }

  /** Runs `make`, which must start the process synchronously. Throws KERNEL_RECORDING_IMPOSSIBLE where the order is strict. */
  spawn<T>(channel: ServerChannel, make: () => T): T {
    if (this.#garbled) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', 'the order of the gateway cannot be read');
    const order = this.#order;
    if (order === null) return make();
    const report = (what: KernelReport): void => send(channel, this.#form, what);
    let session: KernelSession;
    try {
      if (this.#kernel === null) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', 'this node service records none');
      session = this.#kernel.session(order, (what) => {
        if (what.state !== PROGRESS_REPORT || this.#reports.has(PROGRESS_REPORT)) report(what);
      });
    } catch (error) {
      const reason = error instanceof StenoError ? (error.detail ?? error.message) : String(error);
      this.#log.warn({ session: order.session, reason }, 'a session without kernel events');
      report({ state: 'off', reason: reason.slice(0, 1024) });
      if (order.mode === 'strict') throw error;
      return make();
    }
    this.#session = session;
    report({ state: 'on', classes: order.classes });
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

/** The JSON of an order's one string, or null. */
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
