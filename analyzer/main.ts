/**
 * The analyzer: follows every session, runs the detectors, writes findings.
 *
 *   ingests ──wss /rows──► follower ──► session runs ──► detectors ──► findings ──► event store
 *                             ▲                                                        │
 *                             └────────────── what the feeds did not bring ────────────┘
 *
 * All state is in the event store, so the process can be killed at any moment; a session without a mark is replayed. If several
 * analyzers share a store, each follows some of the sessions (sharing/). Tested in test/survival/analyzer-feed.test.ts and
 * test/survival/analyzers.test.ts.
 */
import type { ConnectionOptions } from 'node:tls';
import type { AnalysisReport, SiemReport } from '#schemas/api/recordings/status.js';
import type { FindingRow, SessionRow } from '#schemas/events/rows.js';
import type { Log } from '#runtime/log.js';
import { analysisMetrics } from '#runtime/service/analysis-metrics.js';
import type { Running } from '#runtime/service/process.js';
import type { EventStore } from '#stores/events/contract.js';
import type { Alone } from '#stores/leases/keeper.js';
import { StoreRetry } from '#stores/store-retry.js';
import type { DetectorSet } from './detectors/detector-set.js';
import type { Announcer } from './findings/announcer.js';
import { SHARES, allShares } from '#schemas/events/shares.js';
import { FindingWriter } from './findings/finding-writer.js';
import { AcrossRun } from './following/across-run.js';
import { FeedClient } from './following/feed-client.js';
import { Follower } from './following/follower.js';
import type { FollowerReport } from './following/follower.js';
import { Membership } from './sharing/membership.js';
import type { Assignment } from './sharing/membership.js';

export interface AnalyzerParts {
  readonly events: EventStore;
  /** `wss://HOST:PORT` of every ingest. */
  readonly ingests: readonly string[];
  /** `ServiceIdentity.tlsClientOptions(['ingest'])`, read for each connection. */
  readonly tls: () => ConnectionOptions;
  readonly rules: DetectorSet;
  /** Milliseconds. */
  readonly lookBack: number;
  /** Reports of sending to SIEMs and of announcing. */
  readonly siem?: () => readonly SiemReport[];
  readonly announced?: () => Announcer['counts'];
  /** If omitted, nobody else shares the store. */
  readonly alone?: Alone;
  /** Names of held leases with a prefix. If omitted, another analyzer may only wait for this one to leave. */
  readonly held?: (prefix: string) => Promise<readonly string[]>;
  /** Called when this analyzer starts to follow sessions, and again when its part changes. */
  readonly onActive?: () => void;
  /** Called for each finding when it is made, and again after a restart if its session has no mark. `session`: as far as it is known. */
  readonly onFinding?: (row: FindingRow, session: SessionRow | null) => void;
  /**
   * Called when the finding is durable, and again after a restart as above: the session gets no mark before this resolves, and none if
   * it rejects.
   */
  readonly onWritten?: (row: FindingRow) => Promise<void> | void;
  readonly log: Log;
  /** ms since 1970. */
  readonly clock: () => number;
  readonly graceMs?: number;
  readonly idleMs?: number;
  readonly sweepMs?: number;
}

export interface RunningAnalyzer extends Running {
  /** The figures for `steno status` and metrics; `hits`: matches, `costs`: milliseconds, of each rule since the start, by its id. */
  analysis(): { readonly report: AnalysisReport; readonly hits: ReadonlyMap<string, number>; readonly costs: ReadonlyMap<string, number> };
  /** Puts different rules into force: sessions that are not over are analyzed again, from their first row. */
  reload(rules: DetectorSet): void;
  /** Called when an ingest was removed: reconnects the feeds, which checks the other ends again. */
  reconnect(): void;
}

/** A node sends the last rows of a session within seconds of its end. */
const GRACE_MS = 5_000;
/** A process that outlives its session continues to report events. */
const IDLE_MS = 600_000;
const idle: FollowerReport = { open: 0, behind: 0, rows: 0, oldest: null, overflow: 0 };

export function startAnalyzer(parts: AnalyzerParts): RunningAnalyzer {
  const { events, log, clock } = parts;
  let { rules } = parts;
  const retry = new StoreRetry({
    firstWait: 50,
    longestWait: 5_000,
    onOutage: (error) => log.error({ err: error }, 'the event store does not answer; sessions are analyzed when it does'),
    onRecovery: () => log.info('the event store answers again'),
  });
  const writer = new FindingWriter(events, retry);
  let faults = 0;
  let beyond = 0;
  let follower: Follower | null = null;
  let clients: FeedClient[] = [];
  let stopAcross = (): void => undefined;
  let assignment: Assignment | null = null;

  const write = async (row: FindingRow, session: SessionRow | null, first: boolean): Promise<void> => {
    if (first) parts.onFinding?.(row, session);
    await writer.add(row);
    await parts.onWritten?.(row);
  };
  const running = {
    ruleVersion: (rule: string) => rules.version(rule),
    onFault: (detector: string, error: unknown) => {
      faults += 1;
      log.error({ err: error, detector }, 'a detector failed; it is switched off for what it was looking at');
    },
    onBeyond: () => {
      beyond += 1;
    },
  };
  const lookAcross = (): AcrossRun => {
    const across = new AcrossRun({
      ...running,
      detectors: rules.across,
      store: events,
      clock,
      onFinding: (row, first) => void write(row, null, first).catch(() => undefined),
    });
    void retry
      .run(
        () => across.begin(),
        () => across.closed,
      )
      .catch((error: unknown) => {
        if (!across.closed) log.error({ err: error }, 'failed to read the past; nothing is looked for across sessions');
      });
    return across;
  };
  const follow = ({ shares, leads }: Assignment): void => {
    const isShared = shares.size < SHARES;
    // With sessions that others follow, the past is read when the feeds are open: from then on nothing is missed.
    let across = leads && !isShared ? lookAcross() : null;
    const current = new Follower({
      ...running,
      store: events,
      retry,
      log,
      clock,
      rules: rules.hash,
      lookBack: parts.lookBack,
      graceMs: parts.graceMs ?? GRACE_MS,
      idleMs: parts.idleMs ?? IDLE_MS,
      ...(parts.sweepMs === undefined ? {} : { sweepMs: parts.sweepMs }),
      detectors: rules.perSession,
      ...(isShared ? { shares } : {}),
      onObservation: (observation) => across?.take(observation),
      write,
    });
    const unread = (error: unknown): void => {
      if (follower === current) log.warn({ err: error }, 'failed to read what belongs to no session; it is read at the next connection');
    };
    follower = current;
    parts.onActive?.();
    stopAcross = () => across?.close();
    clients = parts.ingests.map(
      (url) =>
        new FeedClient(url, {
          tls: parts.tls,
          log,
          shares: leads || !isShared ? null : shares,
          onOpen: () => {
            // Rows that the feed missed of sessions that others follow: the past is read again.
            if (leads && isShared) {
              across?.close();
              across = lookAcross();
            }
            void Promise.all([current.missed(), isShared ? undefined : across?.missed().catch(unread)]);
          },
          onRows: (rows) => current.take(rows),
        }),
    );
  };
  const stop = (): void => {
    for (const client of clients) client.close();
    follower?.close();
    stopAcross();
    clients = [];
    follower = null;
  };

  const assign = (next: Assignment | null): void => {
    stop();
    assignment = next;
    if (next !== null) follow(next);
  };
  const { alone, held } = parts;
  let membership: Membership | null = null;
  if (alone === undefined) assign({ shares: allShares, leads: true });
  else membership = new Membership({ alone, ...(held === undefined ? {} : { held }), log, onAssignment: assign });
  const analysis: RunningAnalyzer['analysis'] = () => {
    const { open, behind, rows, oldest, overflow } = follower?.report() ?? idle;
    const counts = rules.counts();
    const announced = parts.announced?.() ?? { told: 0, waiting: 0, dropped: 0, refused: 0 };
    return {
      report: {
        active: follower !== null,
        leads: assignment?.leads ?? false,
        share: (assignment?.shares.size ?? 0) / SHARES,
        rules: rules.rules,
        feeds: parts.ingests.length,
        feeds_open: clients.filter((client) => client.open).length,
        sessions: open,
        behind,
        lag_ms: oldest === null ? 0 : Math.max(0, clock() - oldest),
        rows,
        findings: writer.written,
        findings_waiting: writer.waiting,
        findings_dropped: writer.dropped,
        faults,
        beyond: beyond + counts.beyond + overflow,
        announced: announced.told,
        announcements_waiting: announced.waiting,
        announcements_lost: announced.dropped + announced.refused,
        siem: [...(parts.siem?.() ?? [])],
      },
      hits: counts.hits,
      costs: counts.costs,
    };
  };

  return {
    addresses: {},
    metrics: () => {
      return analysisMetrics(analysis());
    },
    analysis,
    reload: (next) => {
      rules = next;
      assign(assignment);
    },
    reconnect: () => {
      for (const client of clients) client.reconnect();
    },
    async close() {
      const left = membership?.close();
      stop();
      retry.close();
      await left;
      await writer.close();
    },
  };
}
