/** People at stock clients, for tests of shared sessions: their output and their input. */
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { EXTENSION_ROLES, EXTENSION_USER, OPENSSH_EXTENSIONS, PRINCIPAL_NONE } from '#schemas/base/identity.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { World } from './harness.js';

export interface Person {
  readonly child: ChildProcess;
  text(): string;
  /** Rejects if the client exits first. */
  until(words: string | RegExp): Promise<void>;
  type(keys: string): void;
  /** The exit status. */
  readonly closed: Promise<number | null>;
}

export function person(child: ChildProcess): Person {
  let all = '';
  let over = false;
  let wake: () => void = () => undefined;
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk: Buffer) => {
      all += chunk.toString();
      wake();
    });
  const closed = once(child, 'close').then(([status]) => {
    over = true;
    wake();
    return status as number | null;
  });
  return {
    child,
    text: () => all,
    until: async (words) => {
      while (typeof words === 'string' ? !all.includes(words) : !words.test(all)) {
        if (over) throw new Error(`gone without ${String(words)}: ${JSON.stringify(all)}`);
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    type: (keys) => void child.stdin!.write(keys),
    closed,
  };
}

/** Roles that permit joining every session in all modes, only watching, and nothing. */
export const openRoles = [
  roleSchema.parse({
    kind: 'role',
    name: 'helper',
    view: 'none',
    allow: { sessions: [{ actions: ['list', 'join', 'moderate'], modes: ['observer', 'peer', 'moderator'] }] },
  }),
  roleSchema.parse({
    kind: 'role',
    name: 'watcher',
    view: 'none',
    allow: { sessions: [{ actions: ['list', 'join'], modes: ['observer'] }] },
  }),
  roleSchema.parse({ kind: 'role', name: 'stranger', view: 'none' }),
];

/** A stock `ssh` that joins a session; by default the only live one. */
export function joinAs(world: World, user: string, role: string, mode = 'observer', session = [...world.recorder.live][0]!): Person {
  const key = world.userKey(user, {
    keyId: user,
    principals: [PRINCIPAL_NONE],
    extensions: new Map([...OPENSSH_EXTENSIONS.map((name) => [name, ''] as const), [EXTENSION_USER, user], [EXTENSION_ROLES, role]]),
  });
  const address = mode === 'observer' ? `join.${session}` : `join.${session}.${mode}`;
  const identity = ['-o', `IdentityFile=${key}`, '-o', `CertificateFile=${key}-cert.pub`];
  return person(world.start('ssh', ['-F', world.sshConfig, ...identity, '-tt', '-l', address, 'gw']));
}
