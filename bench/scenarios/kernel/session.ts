/** A session on the node of the field's Steno, and its stored events. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { bin } from '../../../test/end-to-end/machine.js';
import type { Steno } from '../../../test/end-to-end/machine.js';

export interface Ran {
  readonly session: string;
  readonly stdout: string;
  readonly seconds: number;
}

/** Runs one command in a session of its own on the node of this Steno. */
export async function run(steno: Steno, command: string): Promise<Ran> {
  const began = performance.now();
  const known = new Set((await steno.json<SessionInfo[]>('sessions', '--node', 'local')).map(({ id }) => id));
  const running = steno.ssh(`${steno.login}@local.steno`, command);
  let session: SessionInfo | undefined;
  while (session === undefined) session = (await steno.json<SessionInfo[]>('sessions', '--node', 'local')).find(({ id }) => !known.has(id));
  const { stdout, status, stderr } = await running;
  if (status !== 0) throw new Error(`the session ended with ${status}: ${stderr}`);
  return { session: session.id, stdout, seconds: (performance.now() - began) / 1000 };
}

/** Every event of these kinds, once the end of the session's first process is among them. */
export async function eventsOf(steno: Steno, session: string, take: (event: KernelEventInfo) => void): Promise<number> {
  const began = performance.now();
  for (let over = false; !over;) {
    let first: unknown;
    await each(steno, session, ['--kind', 'exec,exit', '--limit', '1000000'], ({ kind, data }) => {
      if (kind === 'exec') first ??= data['pid'];
      if (kind === 'exit' && data['pid'] === first) over = true;
    });
  }
  const waited = (performance.now() - began) / 1000;
  await each(steno, session, ['--all', '--kind', 'exec,file,gap', '--follow'], take);
  return waited;
}

/** One JSON object per line, because a process should not hold an array of a million. */
async function each(steno: Steno, session: string, options: readonly string[], take: (event: KernelEventInfo) => void): Promise<void> {
  const child = spawn(
    process.execPath,
    [bin, 'events', session, '--follow', '--json', ...options.filter((option) => option !== '--follow')],
    { env: steno.env, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'close') as Promise<[number]>;
  for await (const line of createInterface({ input: child.stdout })) take(JSON.parse(line) as KernelEventInfo);
  const [code] = await ended;
  if (code !== 0) throw new Error(`steno events ended with ${code}`);
}

export const argvOf = ({ data }: KernelEventInfo): readonly string[] => (data['argv'] as readonly string[] | undefined) ?? [];

/** The node's gaps, from the signed recording. */
export async function gapsOf(steno: Steno, session: string): Promise<number> {
  const { stdout } = await steno.steno('export', session, '--format', 'cast');
  return stdout
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as [number, string, { readonly reason?: string; readonly count?: number }])
    .reduce((sum, [, code, data]) => sum + (code === 'g' && data.reason === 'kernel_events' ? (data.count ?? 0) : 0), 0);
}
