/**
 * The way of a node's kernel events: a node that reaches nothing but gateways is carried on to ingest.
 *
 *     agent ══TLS, agent/NAME══► gateway ──bytes──► ingest
 *       └────────────TLS, agent/NAME ↔ ingest─────────┘
 *
 * The gateway passes bytes of a TLS connection that it cannot read: it can hold events up, not read, change or add any.
 * One pipe for each node; a second ends the first. Tested in test/kernel/joined.test.ts.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

const CONNECT_MS = 10_000;
/** Both sides ping far more often (runtime/uplink/client.ts). */
const SILENCE_MS = 120_000;

export class IngestPipes {
  readonly #ingest: { readonly host: string; readonly port: number };
  readonly #open = new Map<string, () => void>();

  /** `ingest`: `wss://host:port`. */
  constructor(ingest: string) {
    const { hostname, port } = new URL(ingest);
    this.#ingest = { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 443 : Number(port) };
  }

  /** `agent`: what remains of an HTTP connection after its upgrade was asked for; `head`: what came behind it. */
  take(node: string, agent: Duplex, head: Buffer): void {
    this.#open.get(node)?.();
    const ingest: Socket = connect({ ...this.#ingest, timeout: CONNECT_MS, noDelay: true });
    const end = (): void => {
      agent.destroy();
      ingest.destroy();
      if (this.#open.get(node) === end) this.#open.delete(node);
    };
    this.#open.set(node, end);
    agent.on('error', end).on('close', end);
    ingest.on('error', end).on('close', end).on('timeout', end);
    ingest.once('connect', () => {
      ingest.setTimeout(SILENCE_MS);
      agent.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: steno-ingest\r\n\r\n');
      if (head.length > 0) ingest.write(head);
      agent.pipe(ingest).pipe(agent);
    });
  }

  close(): void {
    for (const end of [...this.#open.values()]) end();
  }
}
