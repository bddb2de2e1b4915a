/**
 * `steno export`. What is written to a file is then read as a whole: evidence that has no end yet is waited for, and named where it
 * does not come. Whether a trusted key signed it is the question of `steno verify`, on any machine. Tested in
 * test/kernel/event-log.test.ts and test/end-to-end/evidence.test.ts.
 */
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Command, Option } from 'commander';
import { exportFormats, showSession } from '#schemas/api/recordings/sessions.js';
import type { ExportFormat } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { openCompletenessCheck } from '#runtime/ssh/verifier.js';
import { openClient } from '../../client/client.js';
import type { Client } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { standardOutput, styled, visible } from '../../terminal/output.js';
import { progress } from '../../terminal/progress.js';
import { writeBundle } from './bundle.js';
import { exportOf, requireSession } from './fetch.js';
import { completenessOf, fetchFiles, writeWhole } from './session-files.js';
import { writePage } from './page.js';

/** Formats without an option or a verb of their own. */
const recordingFormats = exportFormats.filter((format) => !/^(?:html|svg|png|gif|events\.(?:csv|ocsf))$/.test(format));

interface Options {
  readonly format: ExportFormat;
  readonly output?: string;
  readonly html?: string;
  readonly bundle?: string;
}

export function exportCommand(): Command {
  return new Command('export')
    .description('write a recording to a file or to standard output')
    .argument('<id>', 'the session')
    .addOption(
      new Option(
        '--format <format>',
        'cast.zst carries its proof; events.zst is the signed log of kernel events; cast is asciicast v3; txt is what was on screen; json adds files, forwards and gaps',
      )
        .choices(recordingFormats)
        .default('cast.zst'),
    )
    .option('-o, --output <file>', 'where to; default is standard output')
    .addOption(
      new Option('--html <file>', 'one file that replays in any browser without a network and verifies itself').conflicts(['output']),
    )
    .addOption(
      new Option(
        '--bundle <folder>',
        'recording, event log, page, who it was and what allowed it, and a verifier, under one signature',
      ).conflicts(['output', 'html', 'format']),
    )
    .addHelpText(
      'after',
      '\nWith -o a.cast.zst the event log of the session, where it has one, is written to a.events.zst; the log of a\nsession that has just ended is waited for. A file that is not finished is written all the same, and named on\nstandard error; the exit code is then 11, or 13 where a part or the log is missing. What goes to standard output\nis not looked at.\n\nA page of --html says "verified" only for a CA key that its reader brings (docs/evidence.md).',
    )
    .action(async (id: string, { format, output, html, bundle }: Options) => {
      requireSession(id);
      if (output === undefined && html === undefined && bundle === undefined && format.endsWith('.zst') && process.stdout.isTTY) {
        throw new StenoError('USAGE', 'a compressed recording does not belong on a terminal: name a file with -o');
      }
      const home = openHome();
      const client = openClient(home);
      if (bundle !== undefined) {
        const { manifest, fetched } = await writeBundle(client, home, id, bundle);
        tell(join(bundle, 'recording.cast.zst'), fetched.recording);
        tell(join(bundle, 'events.zst'), fetched.log);
        const { err } = standardOutput;
        for (const text of manifest.missing) err.write(`${visible(text)}\n`);
        err.write(
          `${visible(bundle)}: ${manifest.files.length} files and their manifest. Check it with: steno verify ${visible(bundle)}\n`,
        );
        return;
      }
      if (html !== undefined) {
        const { recording, log } = await writePage(client, id, html);
        tell(html, recording);
        return tell(`the event log in ${html}`, log);
      }
      if (output === undefined) return pipeline(await client.stream(exportOf(id, format)), process.stdout, { end: false });
      if (format === 'cast.zst') return exportBoth(client, id, output);
      await writeWhole(await client.stream(exportOf(id, format)), output, await meter(client, id));
      if (format === 'events.zst') tell(output, completenessOf(output, await openCompletenessCheck()));
    });
}

/** Writes the recording and the log beside it, and reports whether each is complete. */
async function exportBoth(client: Client, id: string, recordingFile: string): Promise<void> {
  const logFile = `${recordingFile.replace(/\.cast\.zst$/, '')}.events.zst`;
  const { recording, log } = await fetchFiles(client, id, { recording: recordingFile, log: logFile }, await meter(client, id));
  tell(recordingFile, recording);
  tell(logFile, log);
}

async function meter(client: Client, id: string) {
  const { stored_bytes: expected } = await call(client.viewer, showSession, { params: { id } });
  return () => progress(standardOutput, 'Exporting', expected);
}

function tell(file: string, verdict: Verdict | null): void {
  if (verdict === null || verdict.ok) return;
  const { code, detail, block } = verdict;
  const { err, env } = standardOutput;
  const { entry } = new StenoError(code);
  process.exitCode = entry.exit;
  const what =
    code === 'VERIFY_TRUNCATED'
      ? `${visible(file)} is not finished: ${visible(detail)}. The session, or a process of it, may still be going on: export it again later.`
      : code === 'VERIFY_MISSING_PART' && block === null
        ? `${visible(file)} was not written: the recording names an event log, and nothing of it is stored. Export it again later.`
        : `${visible(file)} is not whole: ${entry.message}: ${visible(detail)}. ${entry.fix}`;
  err.write(`${styled(err, env, 'yellow', 'warning:')} ${what} [${code}]\n`);
}
