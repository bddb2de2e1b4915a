/**
 * `steno verify`: of files, of a page that `steno export --html` wrote, or of a session, with the recording CA alone. Tested in
 * test/end-to-end/spine.test.ts, test/kernel/event-log.test.ts and test/end-to-end/evidence.test.ts.
 */
import { readFileSync, statSync } from 'node:fs';
import { Command } from 'commander';
import { StenoError } from '#schemas/base/errors.js';
import { isSessionId } from '#schemas/recording/line.js';
import { isUnfinished, logPatience, verifyEventLog } from '#schemas/recording/event-log-check.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { openClient } from '../../client/client.js';
import { openHome, readProfile } from '../../client/home.js';
import { readHostKeys } from '../../client/host-keys.js';
import { bytes, clock, failure, json, moment, standardOutput, styled, visible } from '../../terminal/output.js';
import { webRoot } from '../../machine/web-root.js';
import { checkBundle, isBundle } from './bundle-check.js';
import type { CheckedBundle } from './bundle-check.js';
import { MAX_VERIFY_BYTES, exportOf, noneThere, untilFinished } from './fetch.js';

export function verifyCommand(): Command {
  return new Command('verify')
    .description('check that a recording and its event log are whole and unaltered, with the recording CA alone')
    .argument('<file|id>', 'an exported .cast.zst, .events.zst or .html, the folder of a bundle, or a session')
    .argument('[log]', 'the exported .events.zst of the same session; of a session it is fetched')
    .option('--ca <file>', 'public key of the recording CA; default is the one of the login')
    .option(
      '--user-ca <file>',
      'of a bundle: public key of the user CA, which certifies whoever signed it; default is the one of the login',
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nNeeds no network and no login when a file and --ca are given. The event log of a session\nthat has just ended is waited for. Exit codes: 0 whole and unaltered, 10 altered, 11 truncated,\n12 reordered, 13 a part is missing, 14 unsigned, 65 no recording.',
    )
    .action(async (target: string, logFile: string | undefined, options: Options) => {
      const lines = options.ca === undefined ? readProfile(openHome()).recording_ca : readHostKeys(readFileSync(options.ca, 'utf8'));
      if (lines.length === 0) throw new StenoError('USAGE', `no public key in ${options.ca}`);
      // Loaded here: it brings the terminal.
      const { KeyframeCheck } = await import('#recordings/render/keyframe-check.js');
      const verifier = await openVerifier(lines, (header) => new KeyframeCheck(header));
      const bundle = isBundle(target) ? await checkBundle(target, userCas(options)) : null;
      if (bundle !== null && logFile !== undefined) throw new StenoError('USAGE', 'a bundle has its event log in it');
      if (options.userCa !== undefined && bundle === null) throw new StenoError('USAGE', '--user-ca is for bundles');
      const page = bundle === null ? await readPage(target) : await bundledFiles(bundle);
      const verdict = verifier(page?.recording ?? (await readTarget(target, 'cast.zst')));
      const log = !verdict.ok
        ? null
        : page === null
          ? await verifyLog(verifier, verdict, target, logFile)
          : verifyEventLog(verdict, page.events, verifier);
      if (verdict.ok && bundle !== null && verdict.header.steno.session !== bundle.manifest.session)
        throw new StenoError('BUNDLE_MALFORMED', 'the recording is of another session than the manifest says');
      report(verdict, log, { target, asJson: options.json === true, code: page?.code ?? null, bundle });
    });
}

interface Options {
  readonly ca?: string;
  readonly userCa?: string;
  readonly json?: boolean;
}

/** Blobs of the user CA; null with --ca alone, where there may be no login. */
function userCas({ ca, userCa }: Options): readonly Uint8Array[] | null {
  const lines =
    userCa !== undefined ? readHostKeys(readFileSync(userCa, 'utf8')) : ca === undefined ? readProfile(openHome()).ssh_user_ca : null;
  if (lines?.length === 0) throw new StenoError('USAGE', `no public key in ${userCa ?? 'the profile of the login'}`);
  return lines === null ? null : lines.map((line) => parseAuthorizedLine(line).blob);
}

/** The signed files; where the bundle has a page, that is read too and must hold the same ones. */
async function bundledFiles({ recording, events, page }: CheckedBundle): Promise<PageFiles> {
  const take = (file: string): Buffer => {
    if (statSync(file).size > MAX_VERIFY_BYTES) throw new StenoError('TOO_LARGE', file);
    return readFileSync(file);
  };
  const files = { recording: take(recording), events: events === null ? null : take(events) };
  const read = page === null ? null : await readPage(page);
  if (page !== null && read === null) throw new StenoError('BUNDLE_MALFORMED', 'session.html is no page');
  const same = (a: Buffer | null, b: Buffer | null): boolean => (a === null || b === null ? a === b : a.equals(b));
  if (read !== null && !(same(read.recording, files.recording) && same(read.events, files.events)))
    throw new StenoError('BUNDLE_MALFORMED', 'session.html holds other files than the bundle');
  return { ...files, code: read?.code ?? null };
}

interface PageFiles {
  readonly recording: Buffer;
  readonly events: Buffer | null;
  /** Whether the page's code is this Steno's. */
  readonly code: 'own' | 'other' | null;
}

/** The files in a page; null if the input is not a page. Throws PAGE_MALFORMED. */
async function readPage(target: string): Promise<PageFiles | null> {
  const stat = statSync(target, { throwIfNoEntry: false });
  if (stat?.isFile() !== true || stat.size > MAX_VERIFY_BYTES) return null;
  const file = readFileSync(target);
  if (!/^\s*<!doctype html/i.test(file.toString('latin1', 0, 64))) return null;
  const { readOfflinePage } = await import('#recordings/offline/page-file.js');
  const { loadOfflineApp } = await import('#recordings/offline/app.js');
  const { files, app } = readOfflinePage(file);
  const own = await loadOfflineApp(webRoot).catch(() => null);
  const code: PageFiles['code'] = own !== null && own.script === app.script && own.style === app.style ? 'own' : 'other';
  return { recording: files.get('recording')!, events: files.get('events') ?? null, code };
}

/** Verdict on the event log; null if the recording names none. */
type LogVerdict = Verdict | null | 'not given';

async function verifyLog(
  verifier: (file: Uint8Array) => Verdict,
  recording: Extract<Verdict, { readonly ok: true }>,
  target: string,
  file: string | undefined,
): Promise<LogVerdict> {
  const ofSession = statSync(target, { throwIfNoEntry: false })?.isFile() !== true;
  if (file === undefined && !ofSession) return recording.logged ? 'not given' : null;
  const look = async (): Promise<Verdict | null> =>
    verifyEventLog(recording, await readTarget(file ?? target, 'events.zst').catch(noneThere), verifier);
  return untilFinished(look, isUnfinished, file === undefined ? logPatience(recording.checkpoint.time, Date.now()) : 0);
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

interface Reported {
  readonly target: string;
  readonly asJson: boolean;
  /** Verdict on a page. */
  readonly code: PageFiles['code'];
  readonly bundle: CheckedBundle | null;
}

function report(verdict: Verdict, log: LogVerdict, { target, asJson, code, bundle }: Reported): void {
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
      ...(code === null ? {} : { page_code: code }),
      ...(bundle === null ? {} : { bundle: bundleFacts(bundle) }),
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
  if (code === 'own') row('page', 'its code is that of this Steno, byte for byte');
  if (code === 'other') row('page', 'its code is not that of this Steno: believe this command, not what the page says of itself');
  if (bundle !== null) {
    const { made_by: by, files, signed_under: under } = bundleFacts(bundle);
    const whose = under === 'user CA' ? '' : ', under a CA that was not given: --user-ca checks whose certificate it is';
    row('bundle', `${files} files as ${visible(by)} signed them at ${moment(bundle.manifest.made_at)}${whose}`);
    for (const text of bundle.manifest.missing) row('missing', visible(text));
  }
  if (log === 'not given') row('event log', 'the session has one; name its file to check it too');
  else if (log !== null)
    row(
      'event log',
      `${log.blocks} blocks, ${bytes(log.bytes)} of rows, whole and unaltered, ended ${log.checkpoint.end}; head ${log.checkpoint.head}`,
    );
}

function bundleFacts({ manifest, vouched }: CheckedBundle) {
  return {
    made_by: manifest.made_by,
    made_at: manifest.made_at,
    files: manifest.files.length,
    signed_under: vouched === true ? 'user CA' : 'unknown CA',
    missing: manifest.missing,
  } as const;
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
