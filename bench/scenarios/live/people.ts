/** People for the scenarios of shared sessions: a role that may join in every mode, and participants in a process of their own. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { eventually } from '../../../test/end-to-end/machine.js';
import { openAuthorities, person } from '../../../test/end-to-end/people.js';
import type { Person } from '../../../test/end-to-end/people.js';
import type { Field } from '../../field.js';

const child = fileURLToPath(new URL('./child.js', import.meta.url));

/** Somebody who may join every session in every mode, and view it. */
export async function participant(field: Field, name: string): Promise<Person> {
  const { steno } = field;
  const file = join(steno.folder, 'bench-live.yaml');
  writeFileSync(
    file,
    JSON.stringify({
      ...{ kind: 'role', name: 'bench-live', view: 'all' },
      allow: { sessions: [{ actions: ['list', 'join', 'moderate'], modes: ['observer', 'peer', 'moderator'] }] },
    }),
  );
  for (const command of [
    ['apply', '-f', file],
    ['users', 'add', name, '--roles', 'bench-live'],
  ]) {
    const { status, stderr } = await steno.steno(...command);
    if (status !== 0) throw new Error(stderr);
  }
  return person(steno, await openAuthorities(steno), name, ['bench-live'], ['nobody']);
}

/** The live sessions in a terminal that are not among `known`, once there is one that can be joined. */
export async function newSession(field: Field, known: ReadonlySet<string>): Promise<string> {
  const fresh = ({ id, live }: SessionInfo): boolean => live !== undefined && !known.has(id);
  const rows = await eventually(
    () => field.steno.json<SessionInfo[]>('sessions', '--live'),
    (found) => found.some(fresh),
  );
  return rows.find(fresh)!.id;
}

/** Many who join, in one process of low priority: they must not take the CPU from what is measured. */
export class Crowd {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async start(): Promise<Crowd> {
    const process = fork(child, { serialization: 'json' });
    await once(process, 'message');
    return new Crowd(process);
  }

  /** Joins `count` times by ssh as `who`; resolves when each has its screen. */
  async join(field: Field, who: Person, session: string, count: number): Promise<void> {
    await this.#do({ act: 'join', ssh: field.steno.run.ssh, home: who.home, user: `join.${session}`, count });
  }

  /** Follows `count` times by WebSocket as `who`. */
  async follow(who: Person, session: string, count: number): Promise<void> {
    await this.#do({ act: 'follow', home: who.home, session, count });
  }

  /** The first `count` of them read nothing any more. */
  async stall(count: number): Promise<void> {
    await this.#do({ act: 'stall', count });
  }

  async close(): Promise<void> {
    this.#process.kill();
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, 'exit');
  }

  async #do(message: object): Promise<void> {
    this.#process.send(message);
    const [answer] = (await once(this.#process, 'message')) as [{ readonly error?: string }];
    if (answer.error !== undefined) throw new Error(answer.error);
  }
}
