/** An analyzer and the feed of an ingest, over mutual TLS, for tests of the two together. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import type { FindingRow } from '#schemas/events/rows.js';
import { ROW_FEED_PATH, parseRowsWanted } from '#schemas/row-feed.js';
import { UPLINK_PROTOCOL } from '#schemas/uplink.js';
import { openLog } from '#runtime/log.js';
import type { EventFixture } from '#stores/events/conformance.js';
import { openedChdb } from '#stores/events/testing/opened.js';
import type { RowFeed } from '../../ingest/feed/row-feed.js';
import { ServiceAuthority } from '../../ingest/testing/gateway.js';
import { startAnalyzer } from '../../analyzer/main.js';
import type { AnalyzerParts, RunningAnalyzer } from '../../analyzer/main.js';
import type { makeSession } from '../../analyzer/testing/session-rows.js';

const quiet = openLog('test', 'silent');

export interface FeedWorld {
  readonly fixture: EventFixture;
  /** The feed of an ingest on a port of its own. */
  feeding(feed: RowFeed, port?: number): Promise<Feeding>;
  /** An analyzer of these feeds. `found`: resolves with its first finding of a session. */
  analyzing(
    ingests: readonly string[],
    parts: Pick<AnalyzerParts, 'rules'> & Partial<AnalyzerParts>,
  ): { readonly analyzer: RunningAnalyzer; readonly rows: readonly FindingRow[]; found(session: string): Promise<FindingRow> };
  /** Stores the rows of a live session. */
  store(made: ReturnType<typeof makeSession>): Promise<void>;
  close(): Promise<void>;
}

export interface Feeding {
  readonly port: number;
  readonly url: string;
  readonly sockets: WebSocketServer;
  /** Resolves when so many followers have connected since the start. */
  followed(count?: number): Promise<void>;
  stop(): Promise<void>;
}

export async function openFeedWorld(): Promise<FeedWorld> {
  const fixture = await openedChdb();
  const services = await ServiceAuthority.create();
  const client = { ...(await services.certify('analyzer/one')), checkServerIdentity: () => undefined };

  return {
    fixture,
    async feeding(feed, port = 0) {
      const server = createServer(await services.certify('ingest/local'));
      const sockets = new WebSocketServer({ server, path: ROW_FEED_PATH, handleProtocols: () => UPLINK_PROTOCOL });
      let followers = 0;
      const waiting: (() => void)[] = [];
      sockets.on('connection', (socket, request) => {
        feed.add(socket, [], parseRowsWanted(new URL(request.url!, 'wss://ingest'))!);
        followers += 1;
        for (const wake of waiting.splice(0)) wake();
      });
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
      const bound = (server.address() as AddressInfo).port;
      return {
        port: bound,
        url: `wss://127.0.0.1:${bound}`,
        sockets,
        async followed(count = 1) {
          while (followers < count) await new Promise<void>((resolve) => waiting.push(resolve));
        },
        async stop() {
          for (const socket of sockets.clients) socket.terminate();
          sockets.close();
          server.closeAllConnections();
          await new Promise((resolve) => server.close(resolve));
        },
      };
    },
    analyzing(ingests, parts) {
      const rows: FindingRow[] = [];
      const waiting: (() => void)[] = [];
      const analyzer = startAnalyzer({
        events: fixture.store,
        ingests,
        tls: () => client as never,
        lookBack: 3_600_000,
        log: quiet,
        clock: Date.now,
        graceMs: 0,
        onWritten: (row) => {
          rows.push(row);
          for (const wake of waiting.splice(0)) wake();
        },
        ...parts,
      });
      return {
        analyzer,
        rows,
        async found(session) {
          for (;;) {
            const row = rows.find((one) => one.session === session);
            if (row !== undefined) return row;
            await new Promise<void>((resolve) => waiting.push(resolve));
          }
        },
      };
    },
    async store({ live, events, screen }) {
      await fixture.store.insert('events', events, `${live.session} events`);
      await fixture.store.insert('screen', screen, `${live.session} screen`);
      await fixture.store.insert('sessions', [live], `${live.session} live`);
    },
    async close() {
      await fixture.store.close();
      await fixture.dispose();
    },
  };
}
