/** A node of a whole Steno behind a tunnel: `steno agent` as a process of its own, on this machine or in a network namespace. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { JoinTokenCreated } from '#schemas/api/inventory/join-tokens.js';
import { bin } from './machine.js';
import type { Steno } from './machine.js';

export interface TunnelNode {
  readonly name: string;
  readonly data: string;
  /** All its output. */
  readonly text: () => string;
  readonly pid: () => number;
  /** Resolves once the output matches. */
  until(pattern: RegExp): Promise<void>;
  /** Ends the agent by its pid. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again, without a token. */
  start(more?: readonly string[]): Promise<void>;
}

export interface TunnelNodeOptions {
  readonly token?: readonly string[];
  readonly agent?: readonly string[];
  /** Command prefix, for example to enter a network namespace. */
  readonly prefix?: readonly string[];
}

export async function startTunnelNode(
  steno: Steno,
  name: string,
  { token: wish = [], agent = [], prefix = [] }: TunnelNodeOptions = {},
): Promise<TunnelNode> {
  const { token, gateways, ca_pins } = await steno.json<JoinTokenCreated>('tokens', 'add', '--type', 'node', ...wish);
  const data = join(steno.folder, `node-${name}`);
  let child: ChildProcess;
  let text = '';
  const watchers = new Set<() => void>();
  const until = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const over = child.exitCode !== null || child.signalCode !== null;
        if (!pattern.test(text) && !over) return;
        watchers.delete(look);
        if (pattern.test(text)) resolve();
        else reject(new Error(`the agent ended before ${pattern}:\n${text}\n${steno.logs()}`));
      };
      watchers.add(look);
      look();
    });
  const run = async (args: readonly string[], input: string): Promise<void> => {
    const words = [
      ...prefix,
      process.execPath,
      bin,
      'agent',
      '--data',
      data,
      ...(steno.watchLogins ? [] : ['--no-watch-logins']),
      ...args,
      ...agent,
    ];
    text = '';
    child = spawn(words[0]!, words.slice(1), { env: { ...steno.env, STENO_LOG: 'info' }, stdio: ['pipe', 'pipe', 'pipe'] });
    const wake = (): void => watchers.forEach((watcher) => watcher());
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8');
        wake();
      });
    }
    child.once('exit', wake);
    child.stdin!.end(input);
    await until(/is a node, through/);
  };
  await run(['--token-file', '-', '--gateway', gateways.join(','), '--ca-pin', ca_pins.join(','), '--name', name], token);
  return {
    name,
    data,
    until,
    text: () => text,
    pid: () => child.pid!,
    start: (more = []) => run(more, ''),
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      await once(child, 'exit');
    },
  };
}
