/** `steno export` and `steno verify`. */
import { createWriteStream, readFileSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { Command, Option } from 'commander';
import { exportSession } from '#schemas/api/recordings/sessions.js';
import { targetOf } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import { isSessionId } from '#schemas/recording/line.js';
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
        'cast.zst carries its proof; cast is asciicast v3; txt is what was on screen; json adds files, forwards and gaps',
      )
        .choices(['cast.zst', 'cast', 'txt', 'json'])
        .default('cast.zst'),
    )
    .option('-o, --output <file>', 'where to; default is standard output')
    .action(async (id: string, options: { format: string; output?: string }) => {
      requireSession(id);
      if (options.output === undefined && options.format === 'cast.zst' && process.stdout.isTTY) {
        throw new StenoError('USAGE', 'a compressed recording does not belong on a terminal: name a file with -o');
      }
      const body = await openClient(openHome()).stream(targetOf(exportSession.path, { id }, { format: options.format }));
      if (options.output === undefined) return pipeline(body, process.stdout, { end: false });
      // A transfer that breaks leaves no half file under the name that was asked for.
      const temporary = `${options.output}.part`;
      try {
        await pipeline(body, createWriteStream(temporary, { mode: 0o600 }));
        await rename(temporary, options.output);
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
    });
}

export function verifyCommand(): Command {
  return new Command('verify')
    .description('check that a recording is whole and unaltered, with the recording CA alone')
    .argument('<file|id>', 'an exported .cast.zst, or a session')
    .option('--ca <file>', 'public key of the recording CA; default is the one of the login')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nNeeds no network and no login when a file and --ca are given. Exit codes: 0 whole and unaltered, 10 altered,\n11 truncated, 12 reordered, 13 a part is missing, 14 unsigned, 65 no recording.',
    )
    .action(async (target: string, options: { ca?: string; json?: boolean }) => {
      const lines = options.ca === undefined ? readProfile(openHome()).recording_ca : readHostKeys(readFileSync(options.ca, 'utf8'));
      if (lines.length === 0) throw new StenoError('USAGE', `no public key in ${options.ca}`);
      // Loaded here: it brings the terminal.
      const { KeyframeCheck } = await import('#recordings/render/keyframe-check.js');
      const verifier = await openVerifier(lines, (header) => new KeyframeCheck(header));
      const verdict = verifier(await readTarget(target));
      report(verdict, target, options.json === true);
    });
}

async function readTarget(target: string): Promise<Uint8Array> {
  const stat = statSync(target, { throwIfNoEntry: false });
  if (stat?.isFile() === true) {
    if (stat.size > MAX_VERIFY_BYTES) throw new StenoError('TOO_LARGE', target);
    return readFileSync(target);
  }
  if (!isSessionId(target)) throw new StenoError('NOT_FOUND', `no file "${target}", and it is no session id`);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of (await openClient(openHome()).stream(
    targetOf(exportSession.path, { id: target }, { format: 'cast.zst' }),
  )) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_VERIFY_BYTES) throw new StenoError('TOO_LARGE', target);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function report(verdict: Verdict, target: string, asJson: boolean): void {
  if (!verdict.ok) {
    const error = new StenoError(verdict.code, verdict.detail);
    process.exitCode = error.entry.exit;
    if (asJson) {
      json(standardOutput, {
        ok: false,
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
    return;
  }
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
}

export function requireSession(id: string): void {
  if (!isSessionId(id)) throw new StenoError('SESSION_UNKNOWN', `"${id}" is no session id`);
}
