/**
 * Bots: users that are machines, such as a CI runner. They have neither password nor browser, but a one-time join token and
 * then a one-hour certificate that they renew.
 *
 *     token ──join, once, within its time──► instance, generation 1 ──renew──► generation 2 ──renew──► …
 *                                                 └──another copy renews──► stopped, and the bot is locked
 *
 * An instance is bound to the key it joined with, and counts its renewals. Two copies of one identity cannot both know the
 * latest count, so the second to renew reveals the theft; since either could be the thief, both are locked out. A renewal
 * whose answer was lost may be repeated: it is recognized by a random attempt id, saved before the first try. Tested in
 * bots.test.ts.
 */
import { randomBytes } from 'node:crypto';
import type { BotInfo, BotLogin, BotToken } from '#schemas/api/people/bots.js';
import { StenoError } from '#schemas/base/errors.js';
import { parseAuthorization } from '#schemas/request.js';
import { decodeBase64 } from '#schemas/ssh/base64.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import type { Row } from '#stores/state/schema.js';
import { auditRow } from '../../records/audit.js';
import type { Caller } from '../../records/audit.js';
import { certifiableKey } from '../../ca/certificates.js';
import { issueUserCertificate } from '../../certificates/users.js';
import type { IssueParts } from '../../certificates/users.js';
import { hashOf, newToken } from '#runtime/tokens.js';
import type { Tx } from '../../records/records.js';
import type { Author, PowerGuard } from '../../power/guard.js';
import { findUser, insertUser, listUsers } from '../../records/users.js';
import type { UserRecord } from '../../records/users.js';
import { liftLock, lockOut } from '../users/users.js';
import type { Grants, Users } from '../users/users.js';

const BOT_TTL_S = 3_600;

type Outcome =
  { readonly kind: 'refused' } | { readonly kind: 'copied' } | { readonly kind: 'renewed'; readonly row: Row<'bot_instances'> };

export interface BotsParts extends IssueParts {
  readonly users: Users;
  readonly guard: PowerGuard;
}

export class Bots {
  readonly #parts: BotsParts;

  constructor(parts: BotsParts) {
    this.#parts = parts;
  }

  async list(): Promise<readonly BotInfo[]> {
    return this.#parts.records.read(async (db) => {
      const bots = (await listUsers(db)).filter(({ kind }) => kind === 'bot');
      const instances = await db.selectFrom('bot_instances').selectAll().orderBy('joined_at').execute();
      return bots.map(({ name, roles, traits, created_at, created_by, disabled_at }) => ({
        name,
        roles,
        traits,
        created_at,
        created_by,
        disabled_at,
        instances: instances
          .filter(({ bot }) => bot === name)
          .map(({ id, generation, joined_at, renewed_at, expires_at, source, stopped_at }) => ({
            id,
            generation,
            joined_at,
            renewed_at,
            expires_at,
            source,
            stopped_at,
          })),
      }));
    });
  }

  async add(name: string, grants: Grants, ttlMs: number, author: Author): Promise<BotToken> {
    const { records, directory, clock, users, guard } = this.#parts;
    users.checkNew(name, grants, author);
    const now = clock();
    const token = await records.actOn(async (tx) => {
      const bot = { name, kind: 'bot', connector: null, created_by: author.actor, handlers: guard.handlersOf(author), ...grants } as const;
      if (!(await insertUser(tx, bot, now))) throw new StenoError('USER_EXISTS', name);
      return {
        result: await this.#newToken(tx, name, author, now + ttlMs),
        rows: [auditRow(now, author, { event: 'bot.create', target: name, data: { ...grants, token_ends: now + ttlMs } })],
      };
    });
    await directory.changed();
    return token;
  }

  /** A token for one more instance. Existing grants of the bot end, since they were given to the existing instances. */
  async token(name: string, ttlMs: number, author: Author): Promise<BotToken> {
    const { records, directory, clock, guard } = this.#parts;
    const now = clock();
    const token = await records.actOn(async (tx) => {
      const bot = await this.#handed(tx, name, author);
      const ended = await guard.takeOver(tx, author, bot, 'keep', 'a token was created for one more machine', now);
      const row = auditRow(now, author, { event: 'bot_token.create', target: name, data: { token_ends: now + ttlMs } });
      return { result: await this.#newToken(tx, name, author, now + ttlMs), rows: [...ended, row] };
    });
    await directory.changed();
    return token;
  }

  /** Invalidates all previous instances and tokens, with their grants; the lock is lifted, and one instance may join. */
  async reset(name: string, ttlMs: number, author: Author): Promise<BotToken> {
    const { records, directory, clock, guard } = this.#parts;
    const now = clock();
    const token = await records.actOn(async (tx) => {
      const ended = await guard.takeOver(tx, author, await this.#handed(tx, name, author), 'lose', 'the bot was reset', now);
      await tx.updateTable('bot_instances').set({ stopped_at: now }).where('bot', '=', name).where('stopped_at', 'is', null).execute();
      await tx.deleteFrom('bot_tokens').where('bot', '=', name).execute();
      await liftLock(tx, name);
      return {
        result: await this.#newToken(tx, name, author, now + ttlMs),
        rows: [...ended, auditRow(now, author, { event: 'bot.reset', target: name })],
      };
    });
    await directory.changed();
    return token;
  }

  /** Throws BOT_TOKEN_OVER: of concurrent users of a token, one joins. */
  async join(
    given: { readonly token: string; readonly public_key: string; readonly tls_key: string | undefined },
    caller: Caller,
  ): Promise<BotLogin> {
    const { records, clock } = this.#parts;
    const key = formatPublicLine(certifiableKey(given.public_key));
    const now = clock();
    const instance = await records.actOn(async (tx) => {
      const taken = await tx
        .updateTable('bot_tokens')
        .set({ used_at: now })
        .where('hash', '=', hashOf(given.token))
        .where('used_at', 'is', null)
        .where('expires_at', '>', now)
        .returningAll()
        .executeTakeFirst();
      if (taken === undefined) throw new StenoError('BOT_TOKEN_OVER');
      const row: Row<'bot_instances'> = {
        id: `bot-${randomBytes(8).toString('hex')}`,
        bot: taken.bot,
        public_key: key,
        generation: 1,
        attempt: null,
        joined_at: now,
        renewed_at: now,
        expires_at: now + BOT_TTL_S * 1000,
        source: caller.source,
        stopped_at: null,
      };
      await tx.insertInto('bot_instances').values(row).execute();
      return {
        result: row,
        rows: [
          auditRow(
            now,
            { actor: taken.bot, source: caller.source },
            { event: 'bot.join', target: row.id, data: { token_by: taken.created_by } },
          ),
        ],
      };
    });
    return this.#issue(instance, given.tls_key, caller);
  }

  /** `authorization`: of the signed request, whose certificate names the renewing key. Throws BOT_COPIED. */
  async renew(
    given: { readonly instance: string; readonly generation: number; readonly attempt: string; readonly tls_key: string | undefined },
    bot: string,
    authorization: string,
    caller: Caller,
  ): Promise<BotLogin> {
    const { records, directory, clock } = this.#parts;
    const now = clock();
    const key = keyOf(authorization);
    const attempt = hashOf(given.attempt);
    const outcome = await records.actOn<Outcome>(async (tx) => {
      const row = await tx
        .selectFrom('bot_instances')
        .selectAll()
        .where('id', '=', given.instance)
        .where('bot', '=', bot)
        .executeTakeFirst();
      if (row === undefined || row.stopped_at !== null || row.public_key !== key) return { result: { kind: 'refused' }, rows: [] };
      const changes = { renewed_at: now, expires_at: now + BOT_TTL_S * 1000, source: caller.source };
      if (given.generation === row.generation - 1 && row.attempt === attempt) return { result: { kind: 'renewed', row }, rows: [] };
      if (given.generation === row.generation) {
        const { numUpdatedRows } = await tx
          .updateTable('bot_instances')
          .set({ ...changes, generation: row.generation + 1, attempt })
          .where('id', '=', row.id)
          .where('generation', '=', row.generation)
          .where('stopped_at', 'is', null)
          .executeTakeFirst();
        if (numUpdatedRows === 1n) {
          const next = { ...row, ...changes, generation: row.generation + 1 };
          return {
            result: { kind: 'renewed', row: next },
            rows: [auditRow(now, caller, { event: 'bot.renew', target: row.id, data: { generation: next.generation } })],
          };
        }
      }
      await tx.updateTable('bot_instances').set({ stopped_at: now }).where('id', '=', row.id).execute();
      const reason = `two copies of ${row.id} renew: generation ${given.generation} came from ${caller.source}, ${row.generation} was renewed from ${row.source}`;
      await lockOut(tx, bot, reason, 'authority', now, null);
      return {
        result: { kind: 'copied' },
        rows: [auditRow(now, { actor: 'authority', source: caller.source }, { event: 'bot.lock', target: bot, data: { reason } })],
      };
    });
    switch (outcome.kind) {
      case 'refused':
        throw new StenoError('ACCESS_DENIED', `${given.instance} is not an instance of ${bot} that this key may renew`);
      case 'copied':
        await directory.changed();
        throw new StenoError('BOT_COPIED', given.instance);
      case 'renewed':
        return this.#issue(outcome.row, given.tls_key, caller);
    }
  }

  async #issue(
    { id, bot, generation, public_key: key }: Row<'bot_instances'>,
    tlsKey: string | undefined,
    { source }: Caller,
  ): Promise<BotLogin> {
    const notAfter = Math.floor(this.#parts.clock() / 1000) + BOT_TTL_S;
    return {
      instance: id,
      generation,
      login: await issueUserCertificate(this.#parts, { actor: bot, source }, { user: bot, mfa: null, requests: [], notAfter }, key, tlsKey),
    };
  }

  async #newToken(tx: Tx, bot: string, caller: Caller, expiresAt: number): Promise<BotToken> {
    const token = newToken();
    await tx
      .insertInto('bot_tokens')
      .values({ hash: hashOf(token), bot, created_by: caller.actor, expires_at: expiresAt, used_at: null })
      .execute();
    return { bot, token, expires_at: expiresAt };
  }

  /** A bot that the author may hand out. Throws USER_UNKNOWN, POWER_LACKING. */
  async #handed(tx: Tx, name: string, author: Author): Promise<UserRecord> {
    const user = await findUser(tx, name);
    if (user?.kind !== 'bot') throw new StenoError('USER_UNKNOWN', `${name} is not a bot`);
    this.#parts.guard.mayHand(author, user);
    return user;
  }
}

/** Key in a header that the verifier accepted. */
function keyOf(authorization: string): string {
  const blob = decodeBase64(parseAuthorization(authorization)?.certificate ?? '');
  if (blob === undefined) throw new StenoError('CERT_GARBLED');
  return formatPublicLine(parseCertificate(blob).publicKey);
}
