/** The `steno` command: verbs and their options only. `verbs/` has their implementations. */
import { Command, CommanderError } from 'commander';
import { StenoError } from '#schemas/base/errors.js';
import { failure, standardOutput } from './terminal/output.js';
import { isClient, version } from './machine/version.js';
import { serviceVerbs } from './services/table.js';
import { accessVerbs } from './verbs/access/table.js';
import { casesVerbs } from './verbs/cases/table.js';
import { detectionVerbs } from './verbs/detection/table.js';
import { evidenceVerbs } from './verbs/evidence/table.js';
import { inventoryVerbs } from './verbs/inventory/table.js';
import { operationVerbs } from './verbs/operation/table.js';
import { sessionsVerbs } from './verbs/sessions/table.js';
import type { Verbs } from './verbs/table.js';

/** In the order of the help. */
const groups: Readonly<Record<string, Verbs>> = {
  'Services:': { up: async () => (await import('./up/command.js')).upCommand(), ...serviceVerbs },
  'Access:': accessVerbs,
  'Sessions:': sessionsVerbs,
  'Evidence:': evidenceVerbs,
  'Detection:': detectionVerbs,
  'Cases:': casesVerbs,
  'Inventory:': inventoryVerbs,
  'Operation:': operationVerbs,
};

/** Verbs that run on a server or a node; the client's package does not contain them. */
const serverVerbs: ReadonlySet<string> = new Set(['up', ...Object.keys(serviceVerbs), 'agent', 'doctor', 'reindex']);

export async function run(argv: readonly string[]): Promise<void> {
  // The reader of our output, such as `head`, has closed it.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(process.exitCode ?? 0);
    });
  }
  const program = new Command('steno')
    .description('Session recording and forensics for infrastructure')
    .version(version, '-V, --version')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .showHelpAfterError(false)
    .addHelpText(
      'after',
      `
Exit codes:
  0 done                    69 not reachable or not running
  1 nothing found           73 taken by another Steno or program
  2 a check of doctor fails 74 disk or spool full
 10 recording altered       75 try again later
 11 recording truncated     77 not allowed, or no valid certificate
 12 recording reordered     78 wrong installation
 13 recording lacks a part  64 wrong call     65 wrong data
 14 recording unsigned      66 no such thing  70 a bug in Steno
`,
    );
  const asked = argv[2] ?? '';
  const asJson = argv.includes('--json');
  if (isClient && serverVerbs.has(asked)) {
    process.exitCode = failure(standardOutput, new StenoError('CLIENT_ONLY', `steno ${asked}`), asJson);
    return;
  }
  // Loading every verb takes most of a second.
  const known = ['-V', '--version'].includes(asked) || Object.values(groups).some((verbs) => Object.hasOwn(verbs, asked));
  for (const [group, verbs] of Object.entries(groups))
    for (const [verb, load] of Object.entries(verbs))
      if ((!known && !(isClient && serverVerbs.has(verb))) || verb === asked) program.addCommand(inheriting(await load()).helpGroup(group));
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return;
      if (error.code === 'commander.help') process.exitCode = 64;
      else process.exitCode = failure(standardOutput, new StenoError('USAGE', error.message.replace(/^error: /, '')), asJson);
      return;
    }
    process.exitCode = failure(standardOutput, error, asJson);
  }
}

function inheriting(command: Command): Command {
  for (const inner of [command, ...command.commands])
    inner
      .exitOverride()
      .enablePositionalOptions()
      .configureOutput({ outputError: () => undefined });
  return command;
}
