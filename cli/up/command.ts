/**
 * `steno up`: every stage on this machine, in the foreground.
 *
 * Everything waits for the authority, so its program is forked before this process loads the rest of its own.
 */
import { Command, InvalidArgumentError } from 'commander';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';
import { parseDialAddress } from '#schemas/base/host-port.js';
import { dataDir } from '../machine/data-paths.js';
import type { DataDir } from '../machine/data-paths.js';
import { standardOutput, styled } from '../terminal/output.js';
import { version } from '../machine/version.js';
import { readSecretFile } from '#runtime/service/secret-file.js';
import { askSecret, newPassphrase } from '../terminal/secret-prompt.js';
import type { Machine } from './machine.js';
import { programs } from './programs.js';
import { forkStage } from './supervisor.js';

interface UpOptions {
  readonly data?: string;
  readonly sshListen: string;
  readonly sshAddress?: string;
  readonly webListen: string;
  readonly webAddress?: string;
  readonly webProxy: readonly string[];
  readonly workers: number | 'auto';
  readonly kubeListen?: string;
  readonly kubeAddress?: string;
  readonly tunnelListen?: string;
  readonly tunnelAddress?: string;
  readonly objects?: string;
  readonly events?: string;
  readonly analyzer: boolean;
  readonly rules?: string;
  readonly responses?: string;
  readonly siem?: string;
  readonly state?: string;
  readonly clusterName?: string;
  readonly sealKey?: string;
  readonly askPassphrase?: boolean;
  readonly caSigner?: string;
  readonly fips?: boolean;
  readonly node: boolean;
  readonly watchLogins: boolean;
  readonly nodeName?: string;
}

export function upCommand(): Command {
  return new Command('up')
    .description('start Steno on this machine: gateway, authority, ingest, viewer, analyzer and a node')
    .option('--data <dir>', 'where everything is kept', process.env['STENO_DATA'])
    .option('--ssh-listen <host:port>', 'SSH gateway; port 0 picks a free one', '127.0.0.1:8022')
    .option(
      '--ssh-address <host:port>',
      'how users reach the SSH gateway, such as ssh.example.com:22 where something stands in between; default is where it listens',
      hostPort,
    )
    .option('--web-listen <host:port>', 'viewer; port 0 picks a free one', '127.0.0.1:8090')
    .option(
      '--web-address <url>',
      'how people reach the viewer, such as https://steno.example.com behind a proxy; default is http://localhost:PORT',
      webAddress,
    )
    .option('--web-proxy <address...>', 'addresses of proxies in front of the viewer, whose X-Forwarded-For counts', [])
    .option('--workers <n|auto>', 'processes of the gateway behind its ports; auto is one for each core', workers, 1)
    .option('--kube-listen <host:port>', 'Kubernetes gateway; port 0 picks a free one; default is none')
    .option('--kube-address <host:port>', 'how users reach the Kubernetes gateway; default is where it listens', hostPort)
    .option('--tunnel-listen <host:port>', 'where agents bring their tunnels; default is port 8024 beside the SSH gateway')
    .option('--tunnel-address <host:port>', 'what agents are told instead, where something stands in between')
    .option('--objects <url>', 's3://BUCKET/PREFIX, with AWS_* in the environment; default is a directory under --data')
    .option(
      '--events <url>',
      'https://HOST:8443 of a ClickHouse server, its password in $STENO_EVENTS_PASSWORD; default is the embedded one under --data',
      eventsServer,
    )
    .option('--rules <dir>', 'Sigma rules for the analyzer, beside the ones that come with Steno')
    .option('--no-analyzer', 'do not analyze sessions here; `steno analyzer` does it elsewhere, over a ClickHouse server')
    .option(
      '--responses <file>',
      'YAML that says what is done by itself about findings: freeze a session, demand a moderator, end it, lock a user',
    )
    .option('--siem <file>', 'YAML that says where events, audit rows and findings are sent on to, as they are stored')
    .option('--state <url>', 'postgres://USER@HOST/DATABASE for users, roles and CAs; default is SQLite under --data')
    .option('--seal-key <file>', 'key of the CA keys at rest; authorities that share a database share it; default is made under --data')
    .option('--cluster-name <name>', 'what this Steno is called by clusters that trust it; default is main')
    .option(
      '--ask-passphrase',
      'seal the CA keys with a passphrase at the first start, asked for here; or in the file $STENO_SEAL_PASSPHRASE_FILE',
    )
    .option('--ca-signer <file>', 'YAML that says which PKCS#11 token new CA keys are made in')
    .option('--fips', "only algorithms that FIPS 140 approves; needs OpenSSL's FIPS provider")
    .option('--node-name <name>', 'what this machine is called as a node; default is its host name')
    .option('--no-node', 'do not offer this machine as a node')
    .option('--no-watch-logins', 'do not tell of logins on this machine that go through no session of Steno')
    .addHelpText(
      'after',
      `
When all of it is ready, DIR/run.json says what is where. Ctrl-C ends live sessions cleanly and drains.
A password for --state goes into $STENO_STATE (the whole URL), $PGPASSWORD or a pgpass file, never into the command line.
Default data directory: $STENO_DATA, or $XDG_DATA_HOME/steno, or ~/.local/share/steno.`,
    )
    .action(async (options: UpOptions) => {
      const { out, env } = standardOutput;
      const stopped = new AbortController();
      const onSignal = (): void => {
        if (stopped.signal.aborted) return;
        stopped.abort();
        out.write('\nDraining: live sessions end, recordings are closed.\n');
      };
      process.on('SIGINT', onSignal);
      process.on('SIGTERM', onSignal);
      const dir = dataDir(options.data);
      const progress = (line: string): void => {
        if (out.isTTY === true) out.write(`${styled(out, env, 'dim', line)}\n`);
      };
      const authority = forkAuthority(dir);
      const machine = await startWith(authority, options, dir, progress).catch((error: unknown) => {
        // The failure may have come before the machine owned this process.
        authority.kill('SIGKILL');
        throw error;
      });
      try {
        if (!stopped.signal.aborted) await announce(machine);
        if (!stopped.signal.aborted) await once(stopped.signal, 'abort');
      } finally {
        await machine.close();
      }
      out.write('Stopped.\n');
    });
}

/** The program starts nothing before it receives its configuration. */
function forkAuthority(dir: DataDir): ChildProcess {
  for (const folder of [dir.path, dir.logs]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  return forkStage({ module: programs.authority, logFile: join(dir.logs, 'authority.log') });
}

async function startWith(program: ChildProcess, options: UpOptions, dir: DataDir, progress: (line: string) => void): Promise<Machine> {
  const [{ startMachine }, { openLog }] = await Promise.all([import('./machine.js'), import('#runtime/log.js')]);
  // Read here too, so that errors in it are found before anything starts.
  if (options.caSigner !== undefined) (await import('../../authority/ca/signer-config.js')).readSignerConfig(options.caSigner);
  let early: ChildProcess | undefined = program;
  return withPassphrase(options.askPassphrase === true, (sealPassphrase) => {
    // A second start, with a passphrase, forks its own.
    const authority = early;
    early = undefined;
    return startMachine(
      {
        dir,
        version,
        sealPassphrase,
        caSigner: options.caSigner,
        events: options.events,
        analyzer: options.analyzer,
        rules: options.rules,
        responses: options.responses,
        siem: options.siem,
        authority,
        fips: options.fips === true,
        sshListen: options.sshListen,
        sshAddress: options.sshAddress,
        webListen: options.webListen,
        webAddress: options.webAddress ?? null,
        webProxies: options.webProxy,
        objects: options.objects,
        workers: options.workers,
        kubeListen: options.kubeListen,
        kubeAddress: options.kubeAddress,
        tunnelListen: options.tunnelListen,
        tunnelAddress: options.tunnelAddress,
        state: stateUrl(options.state, process.env['STENO_STATE']),
        sealKey: options.sealKey,
        cluster: options.clusterName,
        node: options.node ? (options.nodeName ?? null) : false,
        watchLogins: options.watchLogins,
      },
      { log: openLog('up'), progress },
    );
  });
}

/** Asks only when it must: what seals the CA keys is known once the authority has looked. */
async function withPassphrase<T>(ask: boolean, start: (passphrase: string | undefined) => Promise<T>): Promise<T> {
  const file = process.env['STENO_SEAL_PASSPHRASE_FILE'];
  if (file !== undefined && file !== '') return start(readSecretFile(file, 'SEAL_PASSPHRASE_WEAK'));
  if (ask) return start(await newPassphrase());
  try {
    return await start(undefined);
  } catch (error) {
    const passphrase =
      error instanceof StenoError && error.code === 'SEAL_PASSPHRASE_NEEDED' ? await askSecret('Passphrase of the CA keys: ') : undefined;
    if (passphrase === undefined) throw error;
    return start(passphrase);
  }
}

function workers(text: string): number | 'auto' {
  const count = Number(text);
  if (text === 'auto') return text;
  if (!/^\d+$/.test(text) || count < 1 || count > 64) throw new InvalidArgumentError('Give a number from 1 to 64, or auto.');
  return count;
}

/** The origin of the address, which is all of it. */
function hostPort(text: string): string {
  if (parseDialAddress(text) === undefined) throw new InvalidArgumentError('Give it as HOST:PORT.');
  return text;
}

function webAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain =
    url !== undefined &&
    (url.protocol === 'https:' || url.protocol === 'http:') &&
    url.pathname === '/' &&
    url.search === '' &&
    url.hash === '' &&
    url.username === '';
  if (!plain) throw new InvalidArgumentError('Give it as https://HOST or https://HOST:PORT.');
  return url.origin;
}

function eventsServer(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url !== undefined && /^https?:$/.test(url.protocol) && url.pathname === '/' && url.search === '' && url.username === '';
  if (!plain) throw new InvalidArgumentError('Give it as https://HOST:PORT.');
  return url.origin;
}

/** The option, which everybody on the machine can read, may hold no password; the environment may. */
function stateUrl(option: string | undefined, environment: string | undefined): string | undefined {
  const url = option ?? (environment === '' ? undefined : environment);
  if (url === undefined) return undefined;
  if (!/^postgres(ql)?:\/\//.test(url)) throw new StenoError('USAGE', 'the state is postgres://USER@HOST/DATABASE');
  if (option !== undefined && /^[^/]*\/\/[^/@]*:[^/@]*@|[?&]password=/.test(option)) {
    throw new StenoError('USAGE', 'a password in the command line is seen by every user of this machine; put the URL into STENO_STATE');
  }
  return url;
}

async function announce({ run, data }: Machine): Promise<void> {
  // Loaded here: it brings the whole index.
  const { markPath, readMark } = await import('../../ingest/rebuild/rebuild-mark.js');
  const unfinished = readMark(markPath(join(data, 'store')));
  const { out, env } = standardOutput;
  const bold = (text: string): string => styled(out, env, 'bold', text);
  const dim = (text: string): string => styled(out, env, 'dim', text);
  const { signInLink } = await import('../client/sign-in.js');
  const link = await signInLink(run.socket, run.web).catch((error: unknown) => {
    throw error instanceof StenoError ? error : new StenoError('INTERNAL', 'no sign-in link');
  });
  const custom = env['STENO_DATA'] === data ? '' : ` --data ${data}`;
  const login = `npx steno login${custom}`;
  const node = run.node ?? 'NODE';
  out.write(`
${styled(out, env, 'green', '●')} ${bold(`Steno ${run.version} is running`)}   ${dim('Ctrl-C stops it')}

  SSH gateway  ${run.ssh}
  Viewer       ${run.web}
  Agents       ${run.tunnel}
  Node         ${run.node ?? dim('none; register one with `steno nodes add`')}
  Data         ${data}
  Logs         ${data}/logs
${run.node === null ? '' : `  Owner        ${run.node_login}: only administrators of Steno log in as ${run.node_login === 'root' ? 'root' : `${run.node_login} or root`} on ${run.node}\n`}
${bold('Sign a browser in')} ${dim('(once, within ten minutes)')}
  ${styled(out, env, 'cyan', link)}

${bold('Connect from another terminal')}
  ${login}
  ssh -F ~/.steno/ssh_config ${run.node_login}@${node}.steno
  npx steno sessions
${
  unfinished === null
    ? ''
    : `
${styled(out, env, 'yellow', '!')} The search index is incomplete and is being rebuilt from the recordings${unfinished.done === 0 ? '' : `, ${unfinished.done} done so far`}. Sessions that it lacks
  are recorded and safe, but not listed. Follow it with \`npx steno status\`.${unfinished.lost ? ' The event store was empty: earlier audit rows, and\n  kernel events of sessions without an event log, are lost.' : ''}
`
}`);
}
