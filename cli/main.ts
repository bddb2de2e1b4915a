/** The `steno` command: verbs and their options, nothing else. What a verb does is in `verbs/`. */
import { Command, CommanderError, Option } from 'commander';
import { StenoError } from '#schemas/errors.js';
import { failure, standardOutput } from './output.js';
import { version } from './version.js';
import { upCommand } from './up/command.js';
import { accessCommand } from './verbs/access.js';
import { agentCommand } from './verbs/agent.js';
import { auditCommand } from './verbs/audit.js';
import { botCommand, botsCommand } from './verbs/bots.js';
import { caCommand } from './verbs/ca.js';
import { clustersCommand } from './verbs/clusters.js';
import { eventsCommand } from './verbs/events.js';
import { lockCommand, locksCommand, unlockCommand } from './verbs/locks.js';
import { loginCommand } from './verbs/login.js';
import { nodesCommand, tokensCommand } from './verbs/nodes.js';
import { playCommand } from './verbs/play.js';
import { exportCommand, verifyCommand } from './verbs/recording.js';
import { reindexCommand } from './verbs/reindex.js';
import { requestCommand, requestsCommand } from './verbs/requests.js';
import { applyCommand, editCommand, getCommand, rmCommand, rolesCommand } from './verbs/resources.js';
import { reviewCommand } from './verbs/review.js';
import { searchCommand, sessionsCommand } from './verbs/sessions.js';
import { configCommand, sshCommand } from './verbs/ssh.js';
import { doctorCommand, statusCommand } from './verbs/status.js';
import { usersCommand } from './verbs/users.js';

export async function run(argv: readonly string[]): Promise<void> {
  // Whoever reads us, such as `head`, has read enough.
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
  for (const command of [
    upCommand(),
    loginCommand(),
    statusCommand(),
    nodesCommand(),
    tokensCommand(),
    agentCommand(),
    sshCommand(),
    configCommand(),
    sessionsCommand(),
    playCommand(),
    searchCommand(),
    exportCommand(),
    verifyCommand(),
    auditCommand(),
    rolesCommand(),
    getCommand(),
    applyCommand(),
    editCommand(),
    rmCommand(),
    accessCommand(),
    caCommand(),
    doctorCommand(),
    reindexCommand(),
    lockCommand(),
    locksCommand(),
    unlockCommand(),
    clustersCommand(),
    eventsCommand(),
    usersCommand(),
    botsCommand(),
    botCommand(),
    requestCommand(),
    requestsCommand(),
    reviewCommand(),
  ]) {
    program.addCommand(inheriting(command));
  }
  const asJson = argv.includes('--json');
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

/** `--json`, where a person might pipe the result. */
export function jsonOption(): Option {
  return new Option('--json', 'print JSON');
}
