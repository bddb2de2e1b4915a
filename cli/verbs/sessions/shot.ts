/** `steno shot`: the screen of a session at one moment, as a file. Tested in test/end-to-end/evidence.test.ts. */
import { pipeline } from 'node:stream/promises';
import { Command, Option } from 'commander';
import { StenoError } from '#schemas/base/errors.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { exportOf, requireSession } from '../evidence/fetch.js';
import { writeWhole } from '../evidence/session-files.js';
import { parseOffset } from './play.js';

interface Options {
  readonly at: number;
  readonly output?: string;
  readonly format?: 'svg' | 'png';
}

export function shotCommand(): Command {
  return new Command('shot')
    .description('write a picture of the screen at one moment, as SVG or PNG')
    .argument('<id>', 'the session')
    .requiredOption('--at <moment>', 'session time, 1:02 or 62 seconds', parseOffset)
    .option('-o, --output <file>', 'where to; default is standard output')
    .addOption(new Option('--format <format>', 'default is what the name of the file says, else svg').choices(['svg', 'png']))
    .addHelpText('after', '\nIt takes the right to export the session. A picture is no proof: recordings are (`steno verify`).')
    .action(async (id: string, { at, output, format: wanted }: Options) => {
      requireSession(id);
      const format = wanted ?? (output?.toLowerCase().endsWith('.png') === true ? 'png' : 'svg');
      if (format === 'png' && output === undefined && process.stdout.isTTY)
        throw new StenoError('USAGE', 'a picture in PNG does not belong on a terminal: name a file with -o');
      const body = await openClient(openHome()).stream(exportOf(id, format, at));
      if (output === undefined) return pipeline(body, process.stdout, { end: false });
      await writeWhole(body, output);
    });
}
