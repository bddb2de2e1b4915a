/** `steno agent`: this machine as a node of a Steno elsewhere, in the foreground, and the OpenSSH of this machine. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { StenoError } from '#schemas/base/errors.js';
import { requireHostPort } from '#schemas/base/host-port.js';
import { isName } from '#schemas/base/identity.js';
import { caPin, parseJoinToken, sshModes } from '#schemas/join.js';
import type { SshMode } from '#schemas/join.js';
import { openLog } from '#runtime/log.js';
import { SERVICE_ACCOUNT, clusterAccess } from '../../../agent/kube/api-way.js';
import { containUncaught } from '../../../agent/ssh/boundary.js';
import { clouds } from '../../../agent/node/cloud.js';
import type { Cloud } from '../../../agent/node/cloud.js';
import { parseLabelCommand } from '../../../agent/node/labels.js';
import type { LabelCommand } from '../../../agent/node/labels.js';
import { readSettings, startNode } from '../../../agent/node/node.js';
import type { NodeSettings } from '../../../agent/node/node.js';
import { configureSshd, sshdHostKey, undoSshd } from '../../../agent/node/sshd.js';
import { json, standardOutput, styled } from '../../terminal/output.js';
import { credential, tellReady } from '../../machine/service-manager.js';
import { parseLabels } from './nodes.js';
import { requireNodeVersion } from '../../machine/node-version.js';

interface AgentOptions {
  readonly gateway?: readonly string[];
  readonly caPin?: readonly string[];
  readonly token?: string;
  readonly tokenFile?: string;
  readonly name?: string;
  readonly labels: Record<string, string>;
  readonly labelCommand: readonly LabelCommand[];
  readonly cloudTags?: Cloud;
  readonly cloudEndpoint?: string;
  readonly ssh?: SshMode;
  readonly sshd: string;
  readonly sshdConfig: string;
  readonly serviceAccount: string;
  readonly watchLogins: boolean;
  readonly data?: string;
}

const collect =
  <T>(parse: (text: string) => T) =>
  (text: string, previous: readonly T[] = []): readonly T[] => {
    try {
      return [...previous, parse(text)];
    } catch (error) {
      throw new InvalidArgumentError(error instanceof StenoError ? (error.detail ?? '') : String(error));
    }
  };

export function agentCommand(): Command {
  const command = new Command('agent')
    .description('make this machine a node: join through a gateway, and hold a tunnel to it')
    .enablePositionalOptions()
    .option('--gateway <host:port,...>', 'tunnel ports of gateways; each gets a tunnel', (text) => {
      for (const address of text.split(',')) requireHostPort(address);
      return text.split(',');
    })
    .option('--ca-pin <sha256:hex,...>', 'what the service CA must be', (text) => {
      for (const pin of text.split(',')) if (!caPin.safeParse(pin).success) throw new InvalidArgumentError(`"${pin}" is not sha256:HEX.`);
      return text.split(',');
    })
    .option('--token-file <file>', 'holds the token of `steno tokens add`; - for standard input')
    .addOption(
      new Option('--token <token>', 'the token itself, which everybody on this machine can read in the list of processes').conflicts(
        'tokenFile',
      ),
    )
    .option('--name <name>', 'how users will call this node; default is the host name')
    .option('--labels <key=value,...>', 'labels of its own: under node/, or as the token allows', parseLabels, {})
    .option(
      '--label-command <key=[period:]command>',
      'a label from the output of a command, such as node/kernel=1h:uname -r; may be repeated',
      collect(parseLabelCommand),
      [],
    )
    .addOption(new Option('--cloud-tags <cloud>', 'labels node/tag/… from the tags of this instance').choices(clouds))
    .option('--cloud-endpoint <url>', 'where the metadata service of the cloud answers, if not at 169.254.169.254', (text) => {
      if (!/^http:\/\/[^/@?#\s]+$/.test(text)) throw new InvalidArgumentError('Give http://HOST:PORT.');
      return text;
    })
    .addOption(
      new Option(
        '--ssh <mode>',
        "who takes sessions: Steno's own SSH service, or the OpenSSH of this machine; kubernetes: nobody, it leads to the API server of its cluster",
      ).choices(sshModes),
    )
    .option('--sshd <host:port>', 'with --ssh openssh: where it listens', '127.0.0.1:22')
    .option('--sshd-config <file>', 'with --ssh openssh: its configuration', '/etc/ssh/sshd_config')
    .option('--service-account <dir>', 'with --ssh kubernetes: token and CA of the pod', SERVICE_ACCOUNT)
    .option('--no-watch-logins', 'do not tell of logins on this machine that go through no session of Steno')
    .option('--data <dir>', 'where keys and certificates are kept', process.env['STENO_AGENT_DATA'])
    .addHelpText(
      'after',
      `
Once it has joined, \`steno agent\` alone goes on; name, gateways and mode are kept. The token may also be given in
$STENO_TOKEN, or as credential "steno.token" of a systemd unit. Certificates renew by themselves. Nothing listens on this machine: sessions come through the tunnels.
Default data directory: $STENO_AGENT_DATA, or /var/lib/steno-agent for root, or ~/.local/share/steno-agent.
With --ssh openssh, run \`steno agent configure-sshd\` once the agent is up.`,
    )
    .action((options: AgentOptions) => run(options));
  command
    .command('configure-sshd')
    .description('have the sshd of this machine trust Steno, by a drop-in that the agent keeps fresh')
    .option('--undo', 'take it back, leaving what was there before')
    .option('--sshd-config <file>', 'its configuration; the drop-in goes into FILE.d', '/etc/ssh/sshd_config')
    .option('--data <dir>', 'data directory of the agent', process.env['STENO_AGENT_DATA'])
    .option('--json', 'print JSON')
    .action((options: { undo?: boolean; sshdConfig: string; data?: string; json?: boolean }) => {
      const data = agentData(options.data);
      const result = options.undo === true ? undoSshd(data) : configureSshd(data, resolve(options.sshdConfig));
      if (options.json === true) return json(standardOutput, result);
      const { out, env } = standardOutput;
      out.write(`${styled(out, env, 'green', '✓')} ${options.undo === true ? 'Taken back' : 'Written and in force'}: ${result.drop_in}\n`);
      out.write(result.reloaded ? '  sshd was told to load it\n' : '  no running sshd was found; it will load it when it starts\n');
    });
  return command;
}

async function run(options: AgentOptions): Promise<void> {
  requireNodeVersion();
  const { out, err, env } = standardOutput;
  const dataDir = agentData(options.data);
  const kept = readSettings(dataDir);
  const token = readToken(options);
  const settings = settingsOf(options, kept);
  if (kept === null && token === undefined) throw new StenoError('AGENT_NOT_JOINED', dataDir);
  const log = openLog('agent', process.env['STENO_LOG'] ?? (out.isTTY === true ? 'warn' : 'info'));
  if (process.getuid!() !== 0 && settings.ssh !== 'kubernetes') err.write('Not root: only sessions as this user are possible.\n');
  process.on('SIGUSR1', () => undefined);
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      if (containUncaught(error)) return;
      log.fatal({ err: error }, 'the agent ends by a fault');
      process.exit(70);
    });
  }
  const stopped = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.abort());
  const node = await startNode(
    {
      dataDir,
      settings,
      token,
      labels: options.labels,
      labelCommands: options.labelCommand,
      ...(settings.ssh === 'kubernetes' ? { cluster: clusterAccess(process.env, options.serviceAccount) } : {}),
      watchLogins: options.watchLogins,
      cloud: options.cloudTags === undefined ? null : { kind: options.cloudTags, endpoint: options.cloudEndpoint },
    },
    { log },
  );
  // With an identity, whether or not a gateway answers now: it is dialled until one does.
  await tellReady(`node ${settings.name}`);
  void node.up.then((gateway) => {
    void tellReady(`node ${settings.name}, through ${gateway}`);
    out.write(`${styled(out, env, 'green', '●')} ${styled(out, env, 'bold', settings.name)} is a node, through ${gateway}\n`);
  });
  if (!stopped.signal.aborted) await once(stopped.signal, 'abort');
  await node.close();
}

function settingsOf(options: AgentOptions, kept: NodeSettings | null): NodeSettings {
  const name = kept?.name ?? options.name ?? hostname().toLowerCase();
  if (!isName(name)) throw new StenoError('USAGE', `"${name}" is no node name; give one with --name`);
  if (options.name !== undefined && options.name !== name)
    throw new StenoError('USAGE', `this machine has joined as ${name}; another name needs another --data`);
  const gateways = options.gateway ?? kept?.gateways;
  if (gateways === undefined) throw new StenoError('AGENT_NOT_JOINED', 'no --gateway');
  const ssh = options.ssh ?? kept?.ssh ?? 'service';
  return {
    version: 1,
    name,
    gateways: [...gateways],
    ca_pins: [...(options.caPin ?? kept?.ca_pins ?? [])],
    ssh,
    sshd: ssh === 'openssh' ? options.sshd : '',
    sshd_host_key: ssh === 'openssh' ? sshdHostKey(resolve(options.sshdConfig)) : '',
  };
}

function readToken({ token: given, tokenFile }: AgentOptions): string | undefined {
  if (given !== undefined) standardOutput.err.write('The token stands in the list of processes; --token-file keeps it out.\n');
  const text =
    given ??
    (tokenFile === undefined
      ? (process.env['STENO_TOKEN'] ?? credential('steno.token'))
      : readFileSync(tokenFile === '-' ? 0 : tokenFile, 'utf8'));
  // Programs of sessions must not inherit it.
  delete process.env['STENO_TOKEN'];
  if (text === undefined || text.trim() === '') return undefined;
  if (parseJoinToken(text.trim()) === null) throw new StenoError('USAGE', 'the token was not issued by `steno tokens add`');
  return text.trim();
}

function agentData(option: string | undefined): string {
  if (option !== undefined) return resolve(option);
  if (process.getuid!() === 0) return '/var/lib/steno-agent';
  return join(process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share'), 'steno-agent');
}
