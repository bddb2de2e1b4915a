/**
 * `steno sessions freeze|unfreeze|end|notice ID`: what an incident responder does to a live session. Each needs the right to lock, is
 * audited, and reaches the session through the authority alone: neither viewer nor event store is asked. All but a notice are locks.
 */
import { Command } from 'commander';
import { deleteLock, listLocks, putLock } from '#schemas/api/access/locks.js';
import { postSessionNotice } from '#schemas/api/access/session-notices.js';
import type { Lock } from '#schemas/documents/lock.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { parseSpan } from '../../terminal/arguments.js';
import { json, moment, standardOutput, styled, visible } from '../../terminal/output.js';
import { lockId } from '../access/locks.js';

/** A session that has ended never comes back: the lock that ended it need not stay. */
const END_MS = 3_600_000;

/** The locks that hold a session's input. */
const kinds: ReadonlySet<Lock['target_kind']> = new Set(['session-input', 'session-moderation']);

interface Options {
  readonly ttl?: number;
  readonly reason: string;
  readonly json?: boolean;
}

export function freezeCommand(): Command {
  return new Command('freeze')
    .description('keep what a live session’s user types from the node; the session and its output go on')
    .argument('<id>', 'of the session')
    .option('--until-moderated', 'only while nobody has joined it who may moderate')
    .option('--ttl <span>', 'how long, such as 30m or 2h; without it until `steno sessions unfreeze`', parseSpan)
    .option('--reason <text>', 'why; the user reads it', '')
    .option('--json', 'print JSON')
    .action(async (id: string, { ttl, reason, json: asJson, untilModerated }: Options & { readonly untilModerated?: true }) => {
      const kind = untilModerated === true ? 'session-moderation' : 'session-input';
      const lock = await setLock(kind, id, reason, ttl === undefined ? null : Date.now() + ttl);
      if (asJson === true) return json(standardOutput, lock);
      const what = kind === 'session-input' ? 'is frozen' : 'is frozen while nobody moderates it,';
      done(`the input of session ${id} ${what} ${lock.expires_at === null ? 'until it is lifted' : `until ${moment(lock.expires_at)}`}`);
      standardOutput.out.write(`  to lift it   steno sessions unfreeze ${visible(id)}\n`);
    });
}

export function unfreezeCommand(): Command {
  return new Command('unfreeze')
    .description('let a frozen session’s input reach the node again, moderated or not')
    .argument('<id>', 'of the session')
    .action(async (id: string) => {
      const client = openClient(openHome());
      const locks = await call(client.authority, listLocks, {});
      const frozen = locks.filter(({ target_kind: kind, target }) => kinds.has(kind) && target === id);
      if (frozen.length === 0) throw new StenoError('NOT_FOUND', `session ${id} is not frozen`);
      for (const lock of frozen) await call(client.authority, deleteLock, { params: { name: lock.id } });
      done(`the input of session ${id} is no longer frozen`);
    });
}

export function noticeCommand(): Command {
  return new Command('notice')
    .description('show a line on a live session’s terminal, with your name')
    .argument('<id>', 'of the session')
    .argument('<text...>', 'one line, at most 300 characters')
    .option('--json', 'print JSON')
    .action(async (id: string, words: readonly string[], { json: asJson }: { readonly json?: boolean }) => {
      const body = { session: id, text: words.join(' ') };
      const sent = await call(openClient(openHome()).authority, postSessionNotice, { body });
      if (asJson === true) return json(standardOutput, sent);
      done(`sent to every gateway; it is shown where session ${id} is live and has a terminal`);
    });
}

export function endCommand(): Command {
  return new Command('end')
    .description('end one live session; others of its user go on')
    .argument('<id>', 'of the session')
    .option('--reason <text>', 'why; the user reads it', '')
    .option('--json', 'print JSON')
    .action(async (id: string, { reason, json: asJson }: Options) => {
      const lock = await setLock('session', id, reason, Date.now() + END_MS);
      if (asJson === true) return json(standardOutput, lock);
      done(`session ${id} ends`);
    });
}

async function setLock(kind: Lock['target_kind'], target: string, reason: string, expiresAt: number | null): Promise<Lock> {
  const lock: Lock = { id: lockId(kind, target), target_kind: kind, target, reason, expires_at: expiresAt };
  await call(openClient(openHome()).authority, putLock, { params: { name: lock.id }, body: lock });
  return lock;
}

function done(words: string): void {
  const { out, env } = standardOutput;
  out.write(`${styled(out, env, 'green', '✓')} ${visible(words)}\n`);
}
