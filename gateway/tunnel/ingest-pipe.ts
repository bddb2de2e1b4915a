/**
 * Forwards a node's kernel events: a node that can reach only gateways is connected through to ingest.
 *
 *     agent ══TLS, agent/NAME══► gateway ──bytes──► ingest
 *       └────────────TLS, agent/NAME ↔ ingest─────────┘
 *
 * The gateway passes the bytes of a TLS connection that it cannot read: it can delay events, but not read, change or add
 * any. There is one pipe per node; a second ends the first. A node whose pipe has ended reconnects and is taken to the next
 * ingest, as is one whose ingest does not answer. Tested in ingest-pipe.test.ts and test/kernel/joined.test.ts.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { LRUCache } from 'lru-cache';
import type { Log } from '#runtime/log.js';

const CONNECT_MS = 10_000;
/** Both sides ping far more often than this (runtime/uplink/client.ts). */
const SILENCE_MS = 120_000;
/** Nodes whose last ingest is remembered. */
const MAX_REMEMBERED = 20_000;

interface Ingest {
  readonly host: string;
  readonly port: number;
}

export class IngestPipes {
  readonly #ingests: readonly Ingest[];
  readonly #log: Log;
  readonly #open = new Map<string, () => void>();
  /** The ingest to try first for a node's next pipe. */
  readonly #next = new LRUCache<string, number>({ max: MAX_REMEMBERED });

  /** `ingests`: `wss://host:port`, at least one. */
  constructor(ingests: readonly string[], log: Log) {
    this.#log = log;
    this.#ingests = ingests.map((url) => {
      const { hostname, port } = new URL(url);
      return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 443 : Number(port) };
    });
  }

  /** `agent`: the socket of an HTTP upgrade request; `head`: bytes that followed the request. */
  take(node: string, agent: Duplex, head: Buffer): void {
    this.#open.get(node)?.();
    let ingest: Socket | undefined;
    const end = (): void => {
      agent.destroy();
      ingest?.destroy();
      if (this.#open.get(node) === end) this.#open.delete(node);
    };
    this.#open.set(node, end);
    agent.on('error', end).on('close', end);
    const dial = (left: number): void => {
      if (agent.destroyed || left === 0) return end();
      const socket = connect({ ...this.#choose(node), timeout: CONNECT_MS, noDelay: true });
      ingest = socket;
      const refused = (error?: Error): void => {
        socket.off('error', refused).off('timeout', refused);
        socket.on('error', () => undefined).destroy();
        this.#log.warn({ node, err: error }, 'an ingest refuses the kernel events of a node');
        dial(left - 1);
      };
      socket.once('error', refused).once('timeout', refused);
      socket.once('connect', () => {
        socket.off('error', refused).off('timeout', refused);
        socket.on('error', end).on('close', end).on('timeout', end);
        socket.setTimeout(SILENCE_MS);
        agent.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: steno-ingest\r\n\r\n');
        if (head.length > 0) socket.write(head);
        agent.pipe(socket).pipe(agent);
      });
    };
    dial(this.#ingests.length);
  }

  close(): void {
    for (const end of [...this.#open.values()]) end();
  }

  #choose(node: string): Ingest {
    const turn = this.#next.get(node) ?? 0;
    this.#next.set(node, (turn + 1) % this.#ingests.length);
    return this.#ingests[turn]!;
  }
}
