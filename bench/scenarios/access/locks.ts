/** From setting a lock to the end of a live session, as its user sees it. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lock } from '#schemas/documents/lock.js';
import type { SessionList } from '#schemas/api/recordings/sessions.js';
import { openClient } from '../../../cli/client/client.js';
import { openHome } from '../../../cli/client/home.js';
import { eventually } from '../../../test/end-to-end/machine.js';
import { TestAccount } from '../../../test/end-to-end/test-account.js';
import { openAuthorities, person } from '../../../test/end-to-end/people.js';
import type { Person } from '../../../test/end-to-end/people.js';
import type { Field } from '../../field.js';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const AT_A_TIME = 8;

interface Live {
  readonly marker: string;
  readonly child: ChildProcess;
  /** Arrival of the reason, by `performance.now()`. */
  readonly told: Promise<number>;
}

export async function locks(field: Field, count: number): Promise<Section> {
  const account = new TestAccount();
  try {
    // sshd without PAM refuses an account whose password is locked.
    execFileSync('usermod', ['-p', '*', account.name]);
    return await lockSessions(field, count, account.name);
  } finally {
    account.remove();
  }
}

/** `login`: not the owner's account, which this role may not use. */
async function lockSessions(field: Field, count: number, login: string): Promise<Section> {
  const { steno } = field;
  process.stderr.write(`locks, ${count} sessions\n`);
  const file = join(steno.folder, 'bench-role.yaml');
  writeFileSync(file, `kind: role\nname: bench\nallow: { nodes: { "*": "*" }, logins: ["${login}"] }\n`);
  await steno.steno('apply', '-f', file);
  await steno.steno('users', 'add', 'bench', '--roles', 'bench');
  const who = await person(steno, await openAuthorities(steno), 'bench', ['bench'], [login]);
  const administrator = openClient(openHome(steno.env));
  const set = async (lock: Pick<Lock, 'id' | 'target_kind' | 'target'>): Promise<number> => {
    const start = performance.now();
    await administrator.authority('PUT', `/v1/locks/${lock.id}`, { ...lock, reason: 'bench', expires_at: null });
    return start;
  };
  const lift = (id: string): Promise<unknown> => administrator.authority('DELETE', `/v1/locks/${id}`);

  const together = await open(who, login, count, 'together');
  const start = await set({ id: 'bench-user', target_kind: 'user', target: 'bench' });
  const all = (await Promise.all(together.map(({ told }) => told))).map((at) => at - start);
  await Promise.all(together.map(({ child }) => gone(child)));
  await lift('bench-user');

  const separate = await open(who, login, count, 'separate');
  const ids = await eventually(
    async () => {
      const { sessions } = (await administrator.viewer('GET', '/api/sessions?user=bench&state=live&limit=200')) as SessionList;
      return new Map(sessions.map(({ command, id }) => [command, id]));
    },
    (found) => separate.every(({ marker }) => found.has(marker)),
  );
  const single: number[] = [];
  for (const { marker, told } of separate) {
    const id = `bench-${single.length}`;
    const begun = await set({ id, target_kind: 'session', target: ids.get(marker)! });
    single.push((await told) - begun);
    await lift(id);
  }
  await Promise.all(separate.map(({ child }) => gone(child)));

  const row = (name: string, values: readonly number[]): string[] => [
    name,
    ...[0.5, 0.99].map((q) => round3(quantile(values, q))),
    round3(Math.max(...values)),
  ];
  return {
    title: 'Lock to live session ended',
    how: `From sending the lock to the authority until the stock \`ssh\` of the person has printed why; ms. ${count} sessions, each its own connection and its own \`ssh\`, on the same machine.`,
    header: ['', 'p50', 'p99', 'most'],
    rows: [row(`one lock on the user of all ${count}`, all), row(`${count} locks, one session each`, single)],
  };
}

async function open(who: Person, login: string, count: number, name: string): Promise<readonly Live[]> {
  const live: Live[] = [];
  while (live.length < count) {
    const batch = Array.from({ length: Math.min(AT_A_TIME, count - live.length) }, (_, i) =>
      begin(who, login, `: ${name} ${live.length + i}; echo ready; exec cat`),
    );
    live.push(...(await Promise.all(batch)));
  }
  return live;
}

async function begin(who: Person, login: string, marker: string): Promise<Live> {
  const child = spawn('ssh', ['-F', who.config, '-T', `${login}@bench.steno`, marker], { env: who.env, stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  const told = new Promise<number>((resolve) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('[LOCKED]')) resolve(performance.now());
    });
  });
  const [first] = (await Promise.race([once(child.stdout, 'data'), once(child, 'close').then(() => [said])])) as [Buffer | string];
  if (!first.toString().includes('ready')) throw new Error(`a session did not begin: ${said}`);
  return { marker, child, told };
}

async function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
}
