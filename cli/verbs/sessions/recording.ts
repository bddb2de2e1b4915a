/** `steno export` and `steno verify`. */
import { createWriteStream, readFileSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { exportFormats, exportSession } from '#schemas/api/recordings/sessions.js';
import { targetOf } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import { isSessionId } from '#schemas/recording/line.js';
import type { Fault } from '#schemas/recording/verdict.js';
import { pairFault } from '#schemas/recording/verify.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { openClient } from '../../client/client.js';
import { openHome, readProfile } from '../../client/home.js';
import { bytes, clock, failure, json, moment, standardOutput, styled, visible } from '../../terminal/output.js';
import { readHostKeys } from '../../client/host-keys.js';

/** A recording that is verified is held in memory whole. */
const MAX_VERIFY_BYTES = 1 << 30;

export function exportCommand(): Command {
  return new Command('export')
    .description('write a recording to a file or to standard output')
    .argument('<id>', 'the session')
    .addOption(
      new Option(
        '--format <format>',
        'cast.zst carries its proof; events.zst is the signed log of kernel events; cast is asciicast v3; txt is what was on screen; json adds files, forwards and gaps',
      )
        .choices(exportFormats)
        .default('cast.zst'),
    )
    .option('-o, --output <file>', 'where to; default is standard output')
    .addHelpText('after', '\nWith -o a.cast.zst the event log of the session, where it has one, is written to a.events.zst.')
    .action(async (id: string, options: { format: string; output?: string }) => {
      requireSession(id);
      if (options.output === undefined && options.format.endsWith('.zst') && process.stdout.isTTY) {
        throw new StenoError('USAGE', 'a compressed recording does not belong on a terminal: name a file with -o');
      }
      const client = openClient(openHome());
      const body = await client.stream(exportOf(id, options.format));
      if (options.output === undefined) return pipeline(body, process.stdout, { end: false });
      await writeWhole(body, options.output);
      if (options.format !== 'cast.zst') return;
      const log = await client.stream(exportOf(id, 'events.zst')).catch(noneThere);
      if (log !== null) await writeWhole(log, `${options.output.replace(/\.cast\.zst$/, '')}.events.zst`);
    });
}

function exportOf(id: string, format: string): string {
  return targetOf(exportSession.path, { id }, { format });
}

/** The session has no event log, or its Steno knows of none. */
function noneThere(error: unknown): null {
  if (error instanceof StenoError && (error.code === 'NOT_FOUND' || error.code === 'BAD_REQUEST')) return null;
  throw error;
}

/** A transfer that breaks leaves no half file under the name that was asked for. */
async function writeWhole(body: NodeJS.ReadableStream, file: string): Promise<void> {
  const temporary = `${file}.part`;
  try {
    await pipeline(body, createWriteStream(temporary, { mode: 0o600 }));
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

export function verifyCommand(): Command {
  return new Command('verify')
    .description('check that a recording and its event log are whole and unaltered, with the recording CA alone')
    .argument('<file|id>', 'an exported .cast.zst or .events.zst, or a session')
    .argument('[log]', 'the exported .events.zst of the same session; of a session it is fetched')
    .option('--ca <file>', 'public key of the recording CA; default is the one of the login')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nNeeds no network and no login when a file and --ca are given. The event log of a session\nthat has just ended is waited for. Exit codes: 0 whole and unaltered, 10 altered, 11 truncated,\n12 reordered, 13 a part is missing, 14 unsigned, 65 no recording.',
    )
    .action(async (target: string, logFile: string | undefined, options: { ca?: string; json?: boolean }) => {
      const lines = options.ca === undefined ? readProfile(openHome()).recording_ca : readHostKeys(readFileSync(options.ca, 'utf8'));
      if (lines.length === 0) throw new StenoError('USAGE', `no public key in ${options.ca}`);
      // Loaded here: it brings the terminal.
      const { KeyframeCheck } = await import('#recordings/render/keyframe-check.js');
      const verifier = await openVerifier(lines, (header) => new KeyframeCheck(header));
      const verdict = verifier(await readTarget(target, 'cast.zst'));
      const log = verdict.ok ? await verifyLog(verifier, verdict, target, logFile) : null;
      report(verdict, log, target, options.json === true);
    });
}

/** A session that ended less than so long ago may have an event log that is under way; so long it is waited for. */
const RECENT_MS = 120_000;
const LOG_PATIENCE_MS = 15_000;
const unfinished: ReadonlySet<string> = new Set(['VERIFY_MISSING_PART', 'VERIFY_TRUNCATED']);

/** What is found of the event log; null: the recording names none. */
type LogVerdict = FoundLog | 'not given';
type FoundLog = Verdict | null;

async function verifyLog(
  verifier: (file: Uint8Array) => Verdict,
  recording: Extract<Verdict, { readonly ok: true }>,
  target: string,
  file: string | undefined,
): Promise<LogVerdict> {
  const { header } = recording;
  const bad = ({ code, detail }: Pick<Fault, 'code' | 'detail'>): FoundLog => ({
    ok: false,
    code,
    detail,
    block: null,
    goodUntil: 0,
    header,
  });
  const ofSession = statSync(target, { throwIfNoEntry: false })?.isFile() !== true;
  if (file === undefined && !ofSession) return recording.logged ? 'not given' : null;
  const look = async (): Promise<FoundLog> => {
    const bytes = await readTarget(file ?? target, 'events.zst').catch(noneThere);
    // The recording says that there is one, and that is signed.
    if (bytes === null)
      return recording.logged ? bad({ code: 'VERIFY_MISSING_PART', detail: 'it is missing, or nothing of it is stored yet' }) : null;
    const verdict = verifier(bytes);
    if (!verdict.ok) return verdict;
    const fault = pairFault(header, verdict.header);
    return fault === null ? verdict : bad(fault);
  };
  // The node closes a log after the recording: what is asked for at once may still be under way.
  const patient = file === undefined && Date.now() - recording.checkpoint.time < RECENT_MS;
  for (const until = Date.now() + (patient ? LOG_PATIENCE_MS : 0); ; await sleep(500)) {
    const found = await look();
    if (found === null || found.ok || !unfinished.has(found.code) || Date.now() >= until) return found;
  }
}

async function readTarget(target: string, format: 'cast.zst' | 'events.zst'): Promise<Uint8Array> {
  const stat = statSync(target, { throwIfNoEntry: false });
  if (stat?.isFile() === true) {
    if (stat.size > MAX_VERIFY_BYTES) throw new StenoError('TOO_LARGE', target);
    return readFileSync(target);
  }
  if (!isSessionId(target)) throw new StenoError('NOT_FOUND', `no file "${target}", and it is no session id`);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of (await openClient(openHome()).stream(exportOf(target, format))) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_VERIFY_BYTES) throw new StenoError('TOO_LARGE', target);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function report(verdict: Verdict, log: LogVerdict, target: string, asJson: boolean): void {
  if (!verdict.ok) return reportFault(verdict, 'recording', asJson);
  if (log !== null && log !== 'not given' && !log.ok) return reportFault(log, 'event log', asJson);
  const { steno } = verdict.header;
  if (asJson) {
    json(standardOutput, {
      ok: true,
      session: steno.session,
      gateway: steno.gateway,
      counter: steno.counter,
      end: verdict.checkpoint.end,
      blocks: verdict.blocks,
      bytes: verdict.bytes,
      duration: verdict.duration,
      keyframes: verdict.keyframes,
      signed_at: verdict.checkpoint.time,
      head: verdict.checkpoint.head,
      event_log:
        log === null || log === 'not given'
          ? log
          : { end: log.checkpoint.end, blocks: log.blocks, bytes: log.bytes, signed_at: log.checkpoint.time, head: log.checkpoint.head },
    });
    return;
  }
  const { out, env } = standardOutput;
  const row = (name: string, value: string): void => void out.write(`  ${styled(out, env, 'dim', name.padEnd(10))} ${value}\n`);
  out.write(`${styled(out, env, 'green', '✓')} ${visible(target)} is whole and unaltered\n`);
  row('session', steno.session);
  row('who', `${visible(steno.user)} as ${visible(steno.login)}@${visible(steno.node)} from ${visible(steno.source_address)}`);
  row('when', `${moment(steno.started_at)}, ${clock(verdict.duration)} long, ended ${verdict.checkpoint.end}`);
  row('signed by', `gateway ${visible(steno.gateway)}, its session number ${steno.counter}, at ${moment(verdict.checkpoint.time)}`);
  row('covers', `${verdict.blocks} blocks, ${bytes(verdict.bytes)} of lines in ${verdict.parts} parts`);
  if (verdict.keyframes > 0) row('keyframes', `${verdict.keyframes}, each shows what the lines before it draw`);
  row('head', verdict.checkpoint.head);
  if (log === 'not given') row('event log', 'the session has one; name its file to check it too');
  else if (log !== null)
    row(
      'event log',
      `${log.blocks} blocks, ${bytes(log.bytes)} of rows, whole and unaltered, ended ${log.checkpoint.end}; head ${log.checkpoint.head}`,
    );
}

function reportFault(verdict: Extract<Verdict, { readonly ok: false }>, of: 'recording' | 'event log', asJson: boolean): void {
  const error = new StenoError(verdict.code, of === 'recording' ? verdict.detail : `event log: ${verdict.detail}`);
  process.exitCode = error.entry.exit;
  if (asJson) {
    json(standardOutput, {
      ok: false,
      of,
      code: verdict.code,
      message: error.entry.message,
      detail: verdict.detail,
      block: verdict.block,
      good_until: verdict.goodUntil,
      session: verdict.header?.steno.session ?? null,
    });
    return;
  }
  failure(standardOutput, error, false);
  const { err } = standardOutput;
  if (verdict.block !== null)
    err.write(`First bad block: ${verdict.block}. Everything up to ${clock(verdict.goodUntil)} of session time is as it was signed.\n`);
}

export function requireSession(id: string): void {
  if (!isSessionId(id)) throw new StenoError('SESSION_UNKNOWN', `"${id}" is no session id`);
}
