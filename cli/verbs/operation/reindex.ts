/**
 * `steno reindex`: the rows of all recordings, computed again from the recordings alone.
 *
 * For an event store that was lost or damaged, and after an upgrade that indexes more. Needs the data directory to
 * itself: the embedded event store belongs to one process. Audit rows, and kernel events of sessions without an event log, come from no
 * recording and stay as they are. Damaged recordings are named as they are met, indexed up to the damage, and counted at the end and in the exit
 * code. A run that was cut off is known by its mark (ingest/rebuild/rebuild-mark.ts): the next one goes on where it was.
 * Tested in test/end-to-end/reindex.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Command } from 'commander';
import { StenoError } from '#schemas/base/errors.js';
import { dataDir, lockDataDir } from '../../machine/data-dir.js';
import { failure, json, standardOutput, visible } from '../../terminal/output.js';

/** Damaged recordings that the JSON names; all are printed, and all are counted. */
const MAX_NAMED = 1000;
const say = (line: string): void => void standardOutput.err.write(`${line}\n`);

export function reindexCommand(): Command {
  return new Command('reindex')
    .description('compute search and event rows again from the recordings; Steno must be stopped')
    .option('--data <dir>', 'data directory of the Steno')
    .option('--objects <url>', 's3://BUCKET/PREFIX where recordings are, if not under --data')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nA damaged recording is named, indexed up to the damage, and the next one follows. Exit codes: 0 all are indexed,\n65 some are damaged.',
    )
    .action(async (options: { data?: string; objects?: string; json?: boolean }) => {
      // Loaded here: no other verb should wait for engines to be read from disk.
      const [{ openZstd }, { openEventStore }, { reindex }, { walkRecordings }, { openObjects }, { RebuildMark, markPath }] =
        await Promise.all([
          import('#runtime/zstd.js'),
          import('#stores/events/clickhouse/store.js'),
          import('../../../ingest/rebuild/reindex.js'),
          import('#recordings/read/walk.js'),
          import('#stores/objects/open.js'),
          import('../../../ingest/rebuild/rebuild-mark.js'),
        ]);
      const dir = dataDir(options.data);
      const unlock = lockDataDir(dir);
      try {
        const totals = { recordings: 0, screen: 0, events: 0, damaged: 0 };
        const damaged: { readonly recording: string; readonly code: string; readonly detail: string }[] = [];
        const { out, err } = standardOutput;
        const tty = err.isTTY === true;
        const objects = await openObjects(options.objects ?? null, join(dir.path, 'store', 'objects'), say);
        const events = await openEventStore({ kind: 'chdb', path: join(dir.path, 'store', 'events') });
        try {
          const zstd = await openZstd();
          const run = randomBytes(8).toString('hex');
          const mark = await RebuildMark.begin(markPath(join(dir.path, 'store')), { objects, events, clock: Date.now });
          const { done: before, lost } = mark.state;
          if (before > 0) err.write(`Going on after ${before} recordings that an earlier run has indexed.\n`);
          for await (const walked of walkRecordings(
            objects,
            (prefix) => reindex({ objects, events, zstd }, prefix, run),
            (prefix) => mark.isDone(prefix),
          )) {
            if (walked.kind === 'damaged') {
              const { code, detail } = walked.fault;
              totals.damaged += 1;
              if (damaged.length < MAX_NAMED) damaged.push({ recording: walked.prefix, code, detail });
              // Behind the line of progress, where there is one.
              err.write(
                `${tty ? '\r\x1b[K' : ''}Damaged: ${visible(walked.prefix)}: ${visible(detail === '' ? code : `${detail} [${code}]`)}\n`,
              );
            } else {
              mark.advance(walked.prefix);
              totals.recordings += 1;
              totals.screen += walked.result.screen;
              totals.events += walked.result.events;
            }
            if (tty) err.write(`\r${totals.recordings} recordings, ${totals.screen} lines, ${totals.events} events`);
          }
          if (tty) err.write('\n');
          mark.finish();
          if (lost)
            err.write(
              'The event store was empty. Audit rows, and kernel events of sessions without an event log, are in no recording: those from before are lost.\n',
            );
        } finally {
          await events.close();
          await objects.close();
        }
        if (options.json === true) json(standardOutput, { ...totals, named: damaged });
        else out.write(`Indexed ${totals.screen} lines and ${totals.events} events of ${totals.recordings} recordings.\n`);
        if (totals.damaged > 0) {
          const error = new StenoError('RECORDINGS_DAMAGED', `${totals.damaged} of ${totals.recordings + totals.damaged}`);
          process.exitCode = options.json === true ? error.entry.exit : failure(standardOutput, error, false);
        }
      } finally {
        unlock();
      }
    });
}
