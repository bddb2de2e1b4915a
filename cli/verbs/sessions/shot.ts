/** `steno shot`: the screen of a session at one moment, or a span of it animated, as a file. Tested in test/end-to-end/pictures.test.ts. */
import { pipeline } from 'node:stream/promises';
import { Command, Option } from 'commander';
import { MAX_ANIMATION_MS, isAnimationSpan } from '#schemas/api/recordings/sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { exportOf, requireSession } from '../evidence/fetch.js';
import { writeWhole } from '../evidence/session-files.js';
import { parseOffset } from './play.js';

const formats = ['svg', 'png', 'gif'] as const;
type Format = (typeof formats)[number];

interface Options {
  readonly at?: number;
  readonly from?: number;
  readonly to?: number;
  readonly output?: string;
  readonly format?: Format;
}

export function shotCommand(): Command {
  return new Command('shot')
    .description('write a picture of the screen at one moment, as SVG or PNG, or of a span, as GIF')
    .argument('<id>', 'the session')
    .option('--at <moment>', 'session time, 1:02 or 62 seconds', parseOffset)
    .option('--from <moment>', 'where an animation begins', parseOffset)
    .option('--to <moment>', `where it ends, at most ${MAX_ANIMATION_MS / 1000} seconds later`, parseOffset)
    .option('-o, --output <file>', 'where to; default is standard output')
    .addOption(
      new Option('--format <format>', 'default is what the name of the file says, else svg, or gif for a span').choices([...formats]),
    )
    .addHelpText('after', '\nIt takes the right to export the session. A picture is no proof: recordings are (`steno verify`).')
    .action(async (id: string, { output, format: wanted, ...moments }: Options) => {
      requireSession(id);
      const format = wanted ?? formatOf(output) ?? (moments.from === undefined ? 'svg' : 'gif');
      const span = spanOf(format, moments);
      if (format !== 'svg' && output === undefined && process.stdout.isTTY)
        throw new StenoError('USAGE', `a picture in ${format.toUpperCase()} does not belong on a terminal: name a file with -o`);
      const body = await openClient(openHome()).stream(exportOf(id, format, span));
      if (output === undefined) return pipeline(body, process.stdout, { end: false });
      await writeWhole(body, output);
    });
}

function formatOf(file = ''): Format | undefined {
  return formats.find((format) => file.toLowerCase().endsWith(`.${format}`));
}

function spanOf(format: Format, { at, from, to }: Pick<Options, 'at' | 'from' | 'to'>): { readonly at: number; readonly until?: number } {
  if (format !== 'gif') {
    if (at === undefined || from !== undefined || to !== undefined)
      throw new StenoError('USAGE', 'a picture takes --at, an animation (-o x.gif) takes --from and --to');
    return { at };
  }
  if (from === undefined || to === undefined || at !== undefined) throw new StenoError('USAGE', 'an animation takes --from and --to');
  if (!isAnimationSpan(from, to))
    throw new StenoError('USAGE', `--to is later than --from, and at most ${MAX_ANIMATION_MS / 1000} seconds`);
  return { at: from, until: to };
}
