/** `steno lock`, `steno locks`, `steno unlock`: putting somebody out, at once, and letting them in again. */
import { randomInt } from 'node:crypto';
import { Command } from 'commander';
import type { Lock, LockRecord, SessionList } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import { openClient } from '../client.js';
import type { Client } from '../client.js';
import { openHome } from '../home.js';
import { json, moment, standardOutput, styled, table, visible } from '../output.js';
import { parseSpan } from './sessions.js';

type Kind = Lock['target_kind'];
const kinds: Readonly<Record<Kind, string>> = {
  user: 'every session, certificate and web session of a user',
  role: 'everybody who holds a role, or was granted it',
  login: 'this login on every node',
  node: 'everybody on a node',
  session: 'one recorded session',
  request: 'everything under an access request',
  'mfa-device': 'whoever confirmed their login with this device',
};

/** Says what is locked, and is not given twice: `user-mallory-4k7q2m`. */
export function lockId(kind: Kind, target: string): string {
  const digits = '23456789abcdefghjkmnpqrstvwxyz';
  const tail = Array.from({ length: 6 }, () => digits[randomInt(digits.length)]).join('');
  return `${`${kind}-${target}`
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .slice(0, 40)}-${tail}`;
}

export function lockCommand(): Command {
  const command = new Command('lock').description('put out a user, role, login, node, session, request or device, live sessions included');
  for (const [kind, what] of Object.entries(kinds)) command.option(`--${kind} <name>`, what);
  return command
    .option('--ttl <span>', 'how long, such as 30m or 2h; without it until `steno unlock`', parseSpan)
    .option('--reason <text>', 'why; whoever is put out reads it', '')
    .option('--json', 'print JSON')
    .action(
      async ({ ttl, reason, json: asJson, ...targets }: Record<string, string> & { ttl?: number; reason: string; json?: boolean }) => {
        const wanted = Object.entries(targets).map(([name, value]) => [name === 'mfaDevice' ? 'mfa-device' : name, value] as const);
        const [first, ...more] = wanted;
        if (first === undefined || more.length > 0)
          throw new StenoError(
            'USAGE',
            `give exactly one of ${Object.keys(kinds)
              .map((kind) => `--${kind}`)
              .join(', ')}`,
          );
        const [kind, target] = first as readonly [Kind, string];
        const client = openClient(openHome());
        const live = await liveSessions(client, kind, target);
        const lock: Lock = {
          id: lockId(kind, target),
          target_kind: kind,
          target,
          reason,
          expires_at: ttl === undefined ? null : Date.now() + ttl,
        };
        await client.authority('PUT', `/v1/locks/${lock.id}`, lock);
        if (asJson === true) return json(standardOutput, { ...lock, live_sessions: live });
        const { out, env } = standardOutput;
        const until = lock.expires_at === null ? 'until it is lifted' : `until ${moment(lock.expires_at)}`;
        out.write(`${styled(out, env, 'green', '✓')} ${kind} ${styled(out, env, 'bold', visible(target))} is locked ${until}\n`);
        if (live !== null && live > 0)
          out.write(
            `  ${live} live session${live === 1 ? '' : 's'} end${live === 1 ? 's' : ''} now; \`steno audit --event lock.\` tells how it went\n`,
          );
        out.write(`  to lift it   steno unlock ${lock.id}\n`);
      },
    );
}

/** How many there are before the lock; null where the list cannot be asked by this kind, or not by this user. */
async function liveSessions(client: Client, kind: Kind, target: string): Promise<number | null> {
  if (kind === 'session')
    return client.get<{ state: string }>(`/api/sessions/${encodeURIComponent(target)}`).then(
      ({ state }) => (state === 'live' ? 1 : 0),
      () => null,
    );
  if (kind === 'role' || kind === 'mfa-device') return null;
  const search = new URLSearchParams({ state: 'live', limit: '200', [kind]: target });
  return client.get<SessionList>(`/api/sessions?${search.toString()}`).then(
    ({ sessions }) => sessions.length,
    () => null,
  );
}

export function locksCommand(): Command {
  return new Command('locks')
    .description('list the locks in force')
    .option('--json', 'print JSON')
    .action(async (options: { json?: boolean }) => {
      const locks = await openClient(openHome()).authority<LockRecord[]>('GET', '/v1/locks');
      if (options.json === true) return json(standardOutput, locks);
      if (locks.length === 0) {
        standardOutput.err.write('Nothing is locked.\n');
        return;
      }
      table<LockRecord>(standardOutput, locks, [
        { title: 'ID', value: ({ id }) => id },
        { title: 'KIND', value: ({ target_kind }) => target_kind },
        { title: 'TARGET', value: ({ target }) => target, style: () => 'bold' },
        { title: 'UNTIL', value: ({ expires_at }) => (expires_at === null ? 'lifted' : moment(expires_at)) },
        { title: 'BY', value: ({ created_by }) => created_by },
        { title: 'SINCE', value: ({ created_at }) => moment(created_at), style: () => 'dim' },
        { title: 'REASON', value: ({ reason }) => reason },
      ]);
    });
}

export function unlockCommand(): Command {
  return new Command('unlock')
    .description('lift a lock')
    .argument('<id>', 'as `steno locks` lists it')
    .action(async (id: string) => {
      await openClient(openHome()).authority('DELETE', `/v1/locks/${encodeURIComponent(id)}`);
      standardOutput.out.write(`${styled(standardOutput.out, standardOutput.env, 'green', '✓')} ${visible(id)} is lifted\n`);
    });
}
