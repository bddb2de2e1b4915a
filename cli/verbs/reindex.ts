/**
 * `steno reindex`: the rows of all recordings, computed again from the recordings alone.
 *
 * For an event store that was lost or damaged, and after an upgrade that indexes more. Needs the data directory to
 * itself: the embedded event store belongs to one process. Audit rows come from no recording and stay as they are.
 * Tested in test/end-to-end/reindex.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Command } from 'commander';
import { dataDir, lockDataDir } from '../data-dir.js';
import { json, standardOutput } from '../output.js';

export function reindexCommand(): Command {
  return new Command('reindex')
    .description('compute search and event rows again from the recordings; Steno must be stopped')
    .option('--data <dir>', 'data directory of the Steno')
    .option('--objects <url>', 's3://BUCKET/PREFIX where recordings are, if not under --data')
    .option('--json', 'print JSON')
    .action(async (options: { data?: string; objects?: string; json?: boolean }) => {
      // Loaded here: no other verb should wait for engines to be read from disk.
      const [{ openZstd }, { openEventStore }, { recordingPrefixes, reindex }, { openObjects }] = await Promise.all([
        import('#runtime/zstd.js'),
        import('#stores/events/clickhouse.js'),
        import('../../ingest/reindex.js'),
        import('../up/objects.js'),
      ]);
      const dir = dataDir(options.data);
      const unlock = lockDataDir(dir);
      try {
        const totals = { recordings: 0, screen: 0, events: 0 };
        const objects = await openObjects(options.objects ?? null, join(dir.path, 'store', 'objects'));
        const events = await openEventStore({ kind: 'chdb', path: join(dir.path, 'store', 'events') });
        const zstd = await openZstd();
        const run = randomBytes(8).toString('hex');
        const tty = standardOutput.err.isTTY === true;
        for await (const prefix of recordingPrefixes(objects)) {
          const counts = await reindex({ objects, events, zstd }, prefix, run);
          totals.recordings += 1;
          totals.screen += counts.screen;
          totals.events += counts.events;
          if (tty) standardOutput.err.write(`\r${totals.recordings} recordings, ${totals.screen} lines, ${totals.events} events`);
        }
        if (tty) standardOutput.err.write('\n');
        await events.close();
        await objects.close();
        if (options.json === true) json(standardOutput, totals);
        else standardOutput.out.write(`Indexed ${totals.screen} lines and ${totals.events} events of ${totals.recordings} recordings.\n`);
      } finally {
        unlock();
      }
    });
}
