/**
 * Assembles the recorder: spool, counter, recovery of the files that a dead gateway left, audit queue, uplink.
 *
 * Start order: 1. the spool is repaired, interrupted recordings are signed, and event logs continue; 2. the counter
 * continues above every number seen; 3. the uplink dials. Sessions may be opened as soon as this resolves, whether or not
 * ingest answers. Tested in recorder.test.ts.
 */
import { join } from 'node:path';
import { freeEventRows } from '#runtime/uplink/free-event-rows.js';
import { EventQueue, QUARANTINED, auditRows } from '#runtime/uplink/event-queue.js';
import { UplinkClient } from '#runtime/uplink/client.js';
import type { UplinkLog, UplinkOptions } from '#runtime/uplink/client.js';
import { StenoError } from '#schemas/base/errors.js';
import { RECORDING_FORMAT, cutText, isSize, sessionId } from '#schemas/recording/line.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { SessionCounter } from '../spool/counter.js';
import { diskFiles } from '../spool/files.js';
import type { Files } from '../spool/files.js';
import { readHeader, recoverSpool } from '../spool/recovery.js';
import type { Found } from '../spool/recovery.js';
import { SessionFiles } from '../spool/session-files.js';
import { EventLogs } from './event-logs.js';
import { DEFAULT_BUDGET, Spool } from '../spool/spool.js';
import type { AuditEntry, OpenFacts, Recorder, SessionRecorder, TerminalSize } from './recorder.js';
import { RecordedSession } from './session.js';
import { SignedLog } from '../spool/signed-log.js';
import type { LogParts } from '../spool/signed-log.js';
import { UnrecordedSession } from './unrecorded.js';
import { Wheel } from './wheel.js';

export interface RecorderConfig {
  /** The spool's folder; created with mode 0700 if missing. */
  readonly spool: string;
  /** Name of this gateway. */
  readonly gateway: string;
  /** Bytes of lines the spool may hold; 1 GiB by default. */
  readonly budget?: number;
  /** How long `close` waits for ingest to take the rest, in ms. Anything not taken stays in the spool. */
  readonly drainMs?: number;
}

export interface RecorderDeps {
  /** The SSH signature blob of an SSHSIG over `text` in namespace `steno-checkpoint`, hash sha512, with the recording key. */
  readonly sign: (text: string) => Uint8Array;
  readonly clock: { /** Ms since 1970. */ now(): number; /** Ms of a clock that never goes back. */ monotonic(): number };
  readonly random: (bytes: number) => Uint8Array;
  readonly log: UplinkLog;
  /** Null: nothing is sent, and the spool keeps everything. */
  readonly uplink: Pick<UplinkOptions, 'url' | 'tls' | 'certificate' | 'onState'> | null;
  readonly files?: Files;
}

/** The recorder's contract, plus figures for `steno status` and metrics. */
export interface RunningRecorder extends Recorder {
  status(): RecorderStatus;
  /** Where nodes deliver the kernel events of sessions. */
  readonly eventLogs: EventLogs;
  /** Dials the uplink again, after the certificate changed or an ingest was removed. */
  reconnect(): void;
  /** Resolves when everything written so far is synced. */
  settled(): Promise<void>;
}
export interface RecorderStatus {
  readonly uplink: 'up' | 'down' | 'none';
  readonly openSessions: number;
  /** Recordings not yet stored to their end by ingest, open ones included. */
  readonly unstored: number;
  readonly spoolBytes: number;
  readonly spoolLimit: number;
}

const LATER_MS = 5_000;
/** Batches of 256 rows or 256 KiB each. */
const MAX_EVENT_BATCHES = 2_048;
/** Audit rows written about one quarantined file. */
const MAX_NAMED = 32;
const emptyRow: Omit<AuditRow, 'id' | 'at' | 'event' | 'outcome'> = {
  actor: '',
  target: '',
  code: '',
  reason: '',
  source_address: '',
  session: '',
  node: '',
  login: '',
  data: '{}',
};

export async function startRecorder(config: RecorderConfig, deps: RecorderDeps): Promise<RunningRecorder> {
  const { clock, random, log } = deps;
  const disk = deps.files ?? diskFiles;
  const parts: LogParts = { sign: deps.sign, wallClock: () => clock.now() };
  const wheel = new Wheel(() => clock.monotonic());
  const sessions = new Set<RecordedSession>();
  let closing: Promise<void> | null = null;
  const open = (session: string): boolean => [...sessions].some((one) => one.session === session);

  const spool = new Spool({
    folder: config.spool,
    files: disk,
    budget: config.budget ?? DEFAULT_BUDGET,
    onQuarantine: (refused, code, detail) => {
      log.warn({ session: refused.files.session, code, detail }, 'a recording was put into quarantine');
      audit({
        event: 'recording.quarantined',
        outcome: 'failure',
        code,
        reason: detail,
        session: refused.files.session,
        data: JSON.stringify({ counter: refused.counter, stream: refused.files.stream }),
      });
    },
  });
  const queue = new EventQueue(
    {
      folder: join(config.spool, 'events'),
      now: () => clock.now(),
      random,
      onQuarantine: ({ file, rows, sessions: named, code, detail }) => {
        log.warn({ file: `events/${file}`, rows, sessions: [...named.keys()], code, detail }, 'audit rows were put into quarantine');
        // A recording still open gets a gap for the audit rows it lacks; for ended recordings, and for rows of no session,
        // an audit row is written instead.
        for (const session of sessions) {
          const count = named.get(session.session);
          if (count !== undefined) session.gap({ reason: 'audit_events', count, detail: code });
        }
        for (const [session, count] of named.size === 0 ? [['', rows] as const] : [...named].slice(0, MAX_NAMED)) {
          audit({ event: QUARANTINED, outcome: 'failure', code, reason: detail, session, data: JSON.stringify({ file, rows: count }) });
        }
      },
    },
    auditRows,
  );
  const events = new EventQueue(
    {
      folder: join(config.spool, 'free-events'),
      maxBatches: MAX_EVENT_BATCHES,
      now: () => clock.now(),
      random,
      onQuarantine: ({ file, rows, code, detail }) => {
        log.warn({ file: `free-events/${file}`, rows, code, detail }, 'events without a session were put into quarantine');
        audit({ event: 'events.quarantined', outcome: 'failure', code, reason: detail, data: JSON.stringify({ file, rows }) });
      },
    },
    freeEventRows(clock.now()),
  );
  const audit = (entry: AuditEntry): void => queue.push({ ...emptyRow, ...entry, reason: (entry.reason ?? '').slice(0, 4096) });

  const eventLogs = new EventLogs({ spool, wheel, log: parts, monotonic: () => clock.monotonic(), live: open });

  let highest = 0;
  const take = (found: Found): void => {
    switch (found.kind) {
      case 'recovered': {
        const { log: recovered, interrupted } = found;
        highest = Math.max(highest, recovered.counter);
        spool.enlist(recovered);
        // Its checkpoints are sent once everything is synced, including data written by the dead gateway.
        void spool.flushSoon(recovered.files);
        if (interrupted)
          audit({
            event: 'recording.interrupted',
            outcome: 'failure',
            session: recovered.files.session,
            reason: 'the gateway died',
            data: JSON.stringify({ counter: recovered.counter }),
          });
        return;
      }
      case 'log':
        eventLogs.resume(found.log, found.mark);
        return;
      case 'empty':
        // None of its rows was acknowledged, so the node sends all of them again.
        if (found.stream === 'events') return;
        highest = Math.max(highest, found.counter ?? 0);
        audit({
          event: 'recording.empty',
          outcome: 'failure',
          session: found.session,
          reason: 'the gateway died before anything was shown',
          data: JSON.stringify({ counter: found.counter }),
        });
        return;
      case 'damaged':
        found.files.moveTo(join(config.spool, 'quarantine'));
        log.warn({ session: found.files.session, reason: found.reason }, 'a recording in the spool is damaged');
        audit({
          event: 'recording.quarantined',
          outcome: 'failure',
          code: 'RECORDING_MALFORMED',
          session: found.files.session,
          reason: found.reason,
        });
        return;
      case 'later': {
        const retry = { due: () => recoverSpool(spool, parts, found.name).forEach(take) };
        wheel.at(retry, clock.monotonic() + LATER_MS);
        return;
      }
    }
  };
  recoverSpool(spool, parts).forEach(take);

  const counter = await SessionCounter.open(disk, config.spool, highest);
  if (counter.skipped !== null) {
    audit({
      event: 'recording.counters_skipped',
      outcome: 'success',
      reason: 'the machine lost power; no session had these numbers',
      data: JSON.stringify(counter.skipped),
    });
  }
  const client =
    deps.uplink === null
      ? null
      : new UplinkClient({
          ...deps.uplink,
          name: config.gateway,
          recordings: spool,
          batches: [queue, events],
          random: () => new DataView(Uint8Array.from(random(4)).buffer).getUint32(0) / 2 ** 32,
          log,
        });

  const begin = async (facts: OpenFacts, term: TerminalSize, command: string | undefined): Promise<SessionRecorder> => {
    if (spool.full) throw new StenoError('SPOOL_FULL');
    const number = await counter.next();
    const startedAt = clock.now();
    const start = clock.monotonic();
    const session = sessionId(startedAt, random(10));
    const files = new SessionFiles(spool, session);
    const signed = new SignedLog(files, config.gateway, number, parts);
    try {
      signed.begin(makeHeader(config.gateway, session, number, startedAt, facts, term, command));
    } catch (error) {
      files.remove();
      throw new Spent(number, session, error);
    }
    spool.enlist(signed);
    const recorded = new RecordedSession(
      {
        spool,
        wheel,
        monotonic: () => clock.monotonic(),
        audit,
        closed: (one) => sessions.delete(one),
        logEvents: (sender) => {
          const { header } = readHeader(files);
          if (header === null) throw new StenoError('RECORDING_IMPOSSIBLE', 'the first line cannot be read back');
          eventLogs.begin(header, sender);
        },
      },
      signed,
      facts,
      start,
    );
    sessions.add(recorded);
    return recorded;
  };

  return {
    async open(facts, term, command) {
      if (closing !== null) throw new StenoError('DRAINING');
      try {
        return await begin(facts, term, command);
      } catch (error) {
        const spent = error instanceof Spent ? error : null;
        const cause = spent?.cause ?? error;
        const failure =
          cause instanceof StenoError
            ? cause
            : new StenoError('RECORDING_IMPOSSIBLE', (cause as NodeJS.ErrnoException).code ?? 'unknown', { cause });
        const strict = facts.recording.mode === 'strict';
        audit({
          event: strict ? 'recording.impossible' : 'recording.lost',
          outcome: 'failure',
          code: failure.code,
          reason: failure.detail ?? '',
          actor: facts.user,
          node: facts.node,
          login: facts.login,
          source_address: facts.source_address,
          session: spent?.session ?? '',
          data: JSON.stringify({ counter: spent?.counter ?? null }),
        });
        if (strict) throw failure;
        return new UnrecordedSession(spent?.session ?? sessionId(clock.now(), random(10)), failure);
      }
    },
    audit,
    event: (event) => events.push(event),
    get eventsFull() {
      return events.full;
    },
    eventLogs,
    close() {
      closing ??= (async () => {
        const ended = Promise.all([...sessions].map((session) => session.close()));
        await Promise.race([ended, pause(2_000)]);
        for (const session of sessions) session.abandon();
        eventLogs.close();
        await Promise.all([queue.flush(), events.flush()]);
        const deadline = clock.monotonic() + (config.drainMs ?? 2_000);
        while (
          client !== null &&
          client.state !== 'down' &&
          clock.monotonic() < deadline &&
          (!queue.empty || !events.empty || spool.unstored > 0)
        )
          await pause(20);
        await client?.close();
        await Promise.all([queue.close(), events.close()]);
        wheel.close();
        await spool.close();
        counter.close();
      })();
      return closing;
    },
    reconnect: () => client?.reconnect(),
    async settled() {
      await Promise.all([spool.flush(), queue.flush(), events.flush()]);
    },
    status: () => ({
      uplink: client === null ? 'none' : client.state === 'up' ? 'up' : 'down',
      openSessions: sessions.size,
      unstored: spool.unstored,
      spoolBytes: spool.bytes,
      spoolLimit: spool.limit,
    }),
  };
}

/** A session that was given a number and then could not begin. */
class Spent extends Error {
  readonly counter: number;
  readonly session: string;
  constructor(counter: number, session: string, cause: unknown) {
    super('a session could not begin', { cause });
    this.counter = counter;
    this.session = session;
  }
}

/** Bytes of labels in a header, which must fit in one line with everything else. Larger label sets are omitted. */
const MAX_LABELS = 8_192;

function makeHeader(
  gateway: string,
  session: string,
  counter: number,
  startedAt: number,
  facts: OpenFacts,
  term: TerminalSize,
  command: string | undefined,
): RecordingHeader {
  const cells = (value: number, otherwise: number): number => (isSize(value) ? value : value > 1000 ? 1000 : otherwise);
  return {
    version: 3,
    term: { cols: cells(term.cols, 80), rows: cells(term.rows, 24), ...(term.type === undefined ? {} : { type: short(term.type, 256) }) },
    timestamp: Math.floor(startedAt / 1000),
    // The whole command is in the `s` lines of the exec; the header must stay within one line.
    ...(command === undefined ? {} : { command: cutText(command, 4096) }),
    steno: {
      format: RECORDING_FORMAT,
      session,
      gateway,
      counter,
      started_at: startedAt,
      kind: facts.kind,
      user: facts.user,
      roles: facts.roles.slice(0, 256),
      node: facts.node,
      login: facts.login,
      source_address: facts.source_address,
      client_version: short(facts.client_version, 256),
      certificate_serial: facts.certificate_serial,
      certificate_key_id: short(facts.certificate_key_id, 1024),
      requests: facts.requests.slice(0, 64),
      tty: facts.tty,
      recording: facts.recording,
      ...(facts.pod === undefined ? {} : { pod: facts.pod }),
      ...(facts.labels !== undefined && Buffer.byteLength(JSON.stringify(facts.labels)) <= MAX_LABELS ? { labels: facts.labels } : {}),
    },
  };
}

function short(text: string, length: number): string {
  return text.length <= length ? text : Buffer.from(text.slice(0, length)).toString();
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
