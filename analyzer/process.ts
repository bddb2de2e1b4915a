/**
 * An analyzer as a process, or as part of the process that holds the embedded stores. Order: stores, rules (strictly: an invalid rule
 * prevents the start), identity and authority, analyzer.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { announceFindings } from '#schemas/api/detection/suppressions.js';
import { parseDuration } from '#schemas/base/duration.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Log } from '#runtime/log.js';
import { readSecret } from '#runtime/service/config.js';
import { openMember } from '#runtime/service/member.js';
import type { Joining } from '#runtime/service/member.js';
import { underLease } from '#stores/leases/keeper.js';
import type { Alone } from '#stores/leases/keeper.js';
import { openStores } from '#stores/configured/open.js';
import type { Stores } from '#stores/configured/open.js';
import type { EventStore } from '#stores/events/contract.js';
import { StoreRetry } from '#stores/store-retry.js';
import type { AnalyzerServiceConfig } from './config.js';
import { builtInRules, readFolders } from './detectors/rule-book.js';
import { RulesInForce } from './detectors/rules-in-force.js';
import { Announcer } from './findings/announcer.js';
import { isSignal } from './findings/finding.js';
import { startAnalyzer } from './main.js';
import type { RunningAnalyzer } from './main.js';
import { Responder } from './responding/responder.js';
import { startExport } from './siem/start.js';

export interface AnalyzerProcessParts {
  readonly log: Log;
  /** The stores of an ingest in the same process. */
  readonly beside?: { readonly stores: Stores };
}

const LEASE_MS = 15_000;

export async function startAnalyzerProcess(config: AnalyzerServiceConfig & Joining, parts: AnalyzerProcessParts): Promise<RunningAnalyzer> {
  const { beside } = parts;
  const log = parts.log.child({ part: 'analyzer' });
  const clock = Date.now;
  const opened: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const release of opened.splice(0).reverse()) await release();
  };
  try {
    const stores = beside?.stores ?? (await openStores(config, eventsPassword(config), (line) => log.info(line)));
    if (beside === undefined) opened.push(() => stores.close());
    const retry = new StoreRetry({ firstWait: 50, longestWait: 5_000, onOutage: () => undefined, onRecovery: () => undefined });
    opened.push(() => retry.close());
    const history = {
      readOnlySql: (...asked: Parameters<EventStore['readOnlySql']>) => retry.run(() => stores.events.readOnlySql(...asked)),
      scan: (...asked: Parameters<EventStore['scan']>) => retry.run(() => stores.events.scan(...asked)),
    };
    const builtIn = config.built_in_rules ? builtInRules() : null;
    const folders = [...(builtIn === null ? [] : [builtIn]), ...(config.rules === undefined ? [] : [config.rules])];
    const files = readFolders(folders);
    const {
      identity,
      authority,
      close: leave,
    } = await openMember('analyzer', config, { dir: join(config.data, 'analyzer-keys') }, { log, clock });
    opened.push(leave);
    // Only one process at a time can open the embedded event store, so a holder that was killed delays nobody.
    const holder = config.events === undefined ? 'embedded' : randomBytes(8).toString('hex');
    const responder = new Responder({ authority, log, clock });
    opened.push(() => responder.close());
    const announcer = new Announcer({ send: (findings) => call(authority.detection, announceFindings, { body: { findings } }), log });
    opened.push(() => announcer.close());
    let analyzer: RunningAnalyzer | null = null;
    const inForce = new RulesInForce({
      folders,
      files,
      history,
      authority,
      trackers: config.trackers,
      log,
      active: () => analyzer?.analysis().report.active ?? false,
    });
    opened.push(() => inForce.close());
    const rules = await inForce.start((set) => analyzer?.reload(set));
    const alone: Alone = (name, work) => underLease(authority.leases, name, { holder, ttlMs: LEASE_MS }, work);
    const sentOn = startExport(config.siem, { store: stores.events, authority, alone, log, clock });
    opened.push(() => sentOn.close());
    analyzer = startAnalyzer({
      siem: () => sentOn.report(),
      announced: () => announcer.counts,
      onFinding: (row, session) => responder.tell(row, session),
      onWritten: (row) => (isSignal(row) ? undefined : announcer.tell(row)),
      events: stores.events,
      ingests: config.ingest,
      tls: () => identity.tlsClientOptions(['ingest']),
      rules,
      onActive: () => inForce.becameActive(),
      lookBack: parseDuration(config.look_back)!,
      alone,
      // The embedded event store can be open in only one process at a time.
      ...(config.events === undefined ? {} : { held: (prefix: string) => authority.leases.held(prefix) }),
      log,
      clock,
    });
    const running = analyzer;
    opened.push(() => running.close());
    const reload = (): void => {
      try {
        running.reload(inForce.load());
      } catch (error) {
        log.error({ err: error }, 'failed to read the rules; the ones before stay in force');
      }
    };
    process.on('SIGHUP', reload);
    opened.push(() => void process.off('SIGHUP', reload));
    opened.push(identity.removed.onChange((kinds) => kinds.has('ingest') && running.reconnect()));
    return { ...running, over: authority.removed, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function eventsPassword({ events }: AnalyzerServiceConfig): string | undefined {
  return events?.password_file === undefined ? process.env['STENO_EVENTS_PASSWORD'] : readSecret(events.password_file);
}
