/**
 * Syslog over TLS: RFC 5424 messages, each preceded by its length (RFC 5425). The text of a message is the row as OCSF.
 *
 * The protocol has no acknowledgement. As a substitute, each batch is one connection, which this side ends (close_notify) after the
 * last message. The receiver has read everything if it then ends the connection too; a receiver that dies with unread data resets the
 * connection instead. If the receiver ends first, the batch has failed: this side waits a moment to detect that. A receiver that
 * happens to end at the very moment at which this side does, without having read everything, cannot be distinguished from one that has.
 * Processing after the read is the receiver's responsibility: give it a queue on disk. Tested in syslog.test.ts, with rsyslog.
 */
import { connect } from 'node:tls';
import { requireHostPort } from '#schemas/base/host-port.js';
import { TIMEOUT_MS, secureContext } from './sending.js';
import type { Line, ReadCredentials, WayOut } from './sending.js';

/** Log audit (RFC 5424 facility 13). */
const FACILITY = 13;
/** Delay between the last byte and the end of the connection on this side. */
const ASKED_AFTER_MS = 50;

export interface SyslogReceiver {
  /** `HOST:PORT`. */
  readonly address: string;
  /** Maximum bytes of a message: longer ones are cut. */
  readonly max_message: number;
}

export class SyslogWayOut implements WayOut {
  readonly #of: SyslogReceiver;
  readonly #credentials: ReadCredentials;
  readonly #timeoutMs: number;

  constructor(of: SyslogReceiver, credentials: ReadCredentials, timeoutMs = TIMEOUT_MS) {
    this.#of = of;
    this.#credentials = credentials;
    this.#timeoutMs = timeoutMs;
  }

  async send(lines: readonly Line[], signal: AbortSignal): Promise<void> {
    const { address, max_message: most } = this.#of;
    const { host, port } = requireHostPort(address);
    const secure = secureContext(this.#credentials());
    const bytes = Buffer.concat(lines.map((line) => frame(line, most)));
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host, port, servername: serverName(host), ...secure });
      let asked = false;
      let ended = false;
      const abort = (): void => void socket.destroy(new Error('the exporter ends'));
      const timer = setTimeout(() => socket.destroy(new Error('the receiver does not end the connection')), this.#timeoutMs);
      signal.addEventListener('abort', abort, { once: true });
      socket.on('secureConnect', () => {
        // A receiver that ends on its own, because it stops or times out, does so before this side ends.
        socket.write(bytes, () => {
          setTimeout(() => {
            asked = true;
            socket.end();
          }, ASKED_AFTER_MS).unref();
        });
      });
      socket.on('end', () => {
        if (asked) ended = true;
        else socket.destroy(new Error('the receiver ended the connection first'));
      });
      socket.on('error', reject);
      socket.on('close', () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        if (ended) resolve();
        else reject(new Error('the connection was cut off'));
      });
      socket.resume();
    });
  }

  close(): void {
    // No connection stays open between batches.
  }
}

/** A message preceded by its length in bytes; a message longer than `most` is cut. */
export function frame({ json, level, at, node, kind }: Line, most: number): Buffer {
  const head = `<${FACILITY * 8 + level}>1 ${new Date(at).toISOString()} ${word(node, 255)} steno - ${word(kind, 32)} - `;
  const text = head + shortened(json, most - Buffer.byteLength(head));
  return Buffer.from(`${Buffer.byteLength(text)} ${text}`);
}

/** The event without the row's own `data`, without the row, or only its identity: still JSON, and marked as cut. */
function shortened(json: string, most: number): string {
  if (Buffer.byteLength(json) <= most) return json;
  const event = JSON.parse(json) as Record<string, unknown> & { metadata: unknown; unmapped: { steno: Record<string, unknown> } };
  const { data: _, ...row } = event.unmapped.steno;
  const tries = [
    { ...event, unmapped: { steno: row, cut: true } },
    { ...event, unmapped: { cut: true } },
    {
      ...{ metadata: event.metadata, class_uid: event['class_uid'], type_uid: event['type_uid'], time: event['time'] },
      unmapped: { cut: true },
    },
  ];
  return tries.map((part) => JSON.stringify(part)).find((text) => Buffer.byteLength(text) <= most) ?? '{"unmapped":{"cut":true}}';
}

function word(text: string, most: number): string {
  return text.replace(/[^!-~]/g, '?').slice(0, most) || '-';
}

/** A numeric address has no server name. */
function serverName(host: string): string {
  return /^[\d.]+$|:/.test(host) ? '' : host;
}
