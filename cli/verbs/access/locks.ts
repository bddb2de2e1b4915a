/**
 * `steno lock`, `steno locks`, `steno unlock`: block access at once, list locks, and lift them.
 *
 * All three speak to the authority alone: a lock needs neither viewer nor event store, and nothing is asked before it is set.
 * Tested in test/end-to-end/locks.test.ts and test/end-to-end/containment.test.ts.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { deleteLock, listLocks, putLock, showLockEffects } from '#schemas/api/access/locks.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { LockRecord } from '#schemas/api/access/locks.js';
import type { Lock } from '#schemas/documents/lock.js';
import { StenoError } from '#schemas/base/errors.js';
import type { LockEffects } from '#schemas/api/access/locks.js';
import { openClient } from '../../client/client.js';
import type { Client } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { parseSpan } from '../../terminal/arguments.js';

/** Gateways answer within milliseconds; one that has not by then is named. */
const ASKED_MS = 3_000;
const ASK_AGAIN_MS = 50;

type Kind = Lock['target_kind'];
const kinds: Readonly<Record<Kind, string>> = {
  user: 'every session, certificate and web session of a user',
  role: 'everybody who holds a role, or was granted it',
  login: 'this login on every node',
  node: 'everybody on a node',
  'kube-cluster': 'everybody on a Kubernetes cluster',
  session: 'one recorded session',
  'session-input': 'the input of one live session, which goes on: `steno sessions freeze`',
  'session-moderation': 'the input of one live session while nobody moderates it: `steno sessions freeze --until-moderated`',
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
  const command = new Command('lock').description(
    'block a user, role, login, node, Kubernetes cluster, session, request or device, and end its live sessions',
  );
  for (const [kind, what] of Object.entries(kinds)) command.option(`--${kind} <name>`, what);
  return command
    .option('--ttl <span>', 'how long, such as 30m or 2h; without it until `steno unlock`', parseSpan)
    .option('--reason <text>', 'why; whoever is put out reads it', '')
    .option('--json', 'print JSON')
    .action(
      async ({ ttl, reason, json: asJson, ...targets }: Record<string, string> & { ttl?: number; reason: string; json?: boolean }) => {
        const wanted = Object.entries(targets).map(
          ([name, value]) => [name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`), value] as const,
        );
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
        const lock: Lock = {
          id: lockId(kind, target),
          target_kind: kind,
          target,
          reason,
          expires_at: ttl === undefined ? null : Date.now() + ttl,
        };
        await call(client.authority, putLock, { params: { name: lock.id }, body: lock });
        // The lock is in force from here on; everything below only reports its effects.
        const effects = await effectsOf(client, lock.id);
        if (asJson === true) return json(standardOutput, { ...lock, effects });
        const { out, env } = standardOutput;
        const until = lock.expires_at === null ? 'until it is lifted' : `until ${moment(lock.expires_at)}`;
        out.write(`${styled(out, env, 'green', '✓')} ${kind} ${styled(out, env, 'bold', visible(target))} is locked ${until}\n`);
        out.write(`  ${describe(effects)}\n`);
        out.write(`  to lift it   steno unlock ${lock.id}\n`);
      },
    );
}

/**
 * Asks the authority until every gateway that is there has applied the lock, or ASKED_MS have passed. Null: it could not be
 * asked, by this user or at all; the lock holds all the same.
 */
async function effectsOf(client: Client, lock: string): Promise<LockEffects | null> {
  const until = performance.now() + ASKED_MS;
  for (;;) {
    const effects = await call(client.authority, showLockEffects, { params: { name: lock } }).catch(() => null);
    if (effects === null || missing(effects).length === 0 || performance.now() >= until) return effects;
    await sleep(ASK_AGAIN_MS);
  }
}

function missing({ gateways, applied }: LockEffects): readonly string[] {
  return gateways.filter((name) => !applied.some(({ gateway }) => gateway === name));
}

export function describe(effects: LockEffects | null): string {
  if (effects === null) return 'which gateways have applied it could not be asked; `steno audit --event lock.` tells';
  const [connections, sessions] = (['connections', 'sessions'] as const).map((what) =>
    effects.applied.reduce((sum, { [what]: count }) => sum + count, 0),
  );
  const waiting = missing(effects);
  const said = `ended ${counted(connections!, 'connection')} with ${counted(sessions!, 'session')}; `;
  if (waiting.length === 0) return `${said}applied by ${counted(effects.applied.length, 'gateway')}`;
  return `${said}NOT YET applied by ${waiting.map(visible).join(', ')}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

export function locksCommand(): Command {
  return new Command('locks')
    .description('list the locks in force')
    .option('--json', 'print JSON')
    .action(async (options: { json?: boolean }) => {
      const locks = await call(openClient(openHome()).authority, listLocks, {});
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
      await call(openClient(openHome()).authority, deleteLock, { params: { name: id } });
      standardOutput.out.write(`${styled(standardOutput.out, standardOutput.env, 'green', '✓')} ${visible(id)} is lifted\n`);
    });
}
