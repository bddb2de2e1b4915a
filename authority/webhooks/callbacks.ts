/**
 * Callbacks of webhooks: answers of reviewers, verified over the signed bytes.
 *
 * | format | signed by                                                               | says                        | is old after |
 * | slack  | `X-Slack-Signature: v0=…`, HMAC over `v0:TIMESTAMP:BODY`                | a button that was pressed   | 5 min        |
 * | jira   | `X-Hub-Signature: sha256=…`, HMAC over the body                         | an issue changed its status | 15 min       |
 * | json   | `Steno-Signature: t=…,v1=…`, HMAC over `t.BODY`                         | request, decision, user     | 5 min        |
 *
 * Order: signature over the received bytes, in constant time; age; form; the user for the external identity, according to
 * the webhook's document alone; single use, by the hash of the signed bytes; then the same review as from the command. A
 * callback is consumed even if the review is then refused. Tested in callbacks.test.ts.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { RequestView } from '#schemas/documents/access-request.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Webhook } from '#schemas/documents/webhook.js';
import type { Caller } from '../records/audit.js';
import type { Records } from '../records/records.js';
import type { Requests } from '../access/requests.js';
import { signature } from './formats.js';
import { requestOfReference, takeCallback, webhookNamed } from '../records/webhooks.js';
import type { ReadSecret } from './secrets.js';

export interface CallbackParts {
  readonly records: Records;
  readonly requests: Requests;
  readonly secrets: ReadSecret;
  readonly clock: () => number;
}

/** As received by the viewer. */
export interface Callback {
  readonly body: Uint8Array;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Null: correctly signed, but it decides no request. */
interface Answer {
  readonly request: string;
  readonly decision: 'approve' | 'deny';
  readonly identity: string;
  readonly reason: string;
}

const WINDOW_MS = 300_000;
/** Jira retries for some minutes if it gets no answer, with the time of the first attempt. */
const JIRA_WINDOW_MS = 900_000;

/**
 * `behalf`: told the caller once known. Throws CALLBACK_REFUSED for callbacks that are unsigned, old or repeated;
 * ACCESS_DENIED if the identity maps to no user.
 */
export async function takeAnswer(
  parts: CallbackParts,
  name: string,
  callback: Callback,
  caller: Caller,
  behalf: (who: Caller) => Caller,
): Promise<{ readonly request: RequestView | null }> {
  const { records, requests, clock } = parts;
  const webhook = await records.read((db) => webhookNamed(db, name));
  // Do not reveal which names exist.
  if (webhook === undefined || webhook.format === 'ocsf') throw new StenoError('CALLBACK_REFUSED', 'the signature');
  const { signed, until } = verified(webhook, callback, parts);
  const answer = await read(webhook, callback.body, parts);
  if (answer === null) return { request: null };
  const from = behalf({ actor: `${name}/${printable(answer.identity)}`, source: caller.source });
  const user = Object.hasOwn(webhook.users, answer.identity) ? webhook.users[answer.identity] : undefined;
  if (user === undefined) throw new StenoError('ACCESS_DENIED', `the webhook ${name} names no user for ${printable(answer.identity)}`);
  const now = clock();
  const first = await records.act([], (tx) =>
    takeCallback(tx, createHash('sha256').update(`${name}\n`).update(signed).digest('hex'), until, now),
  );
  if (!first) throw new StenoError('CALLBACK_REFUSED', 'it was seen before');
  const reviewer = behalf({ actor: user, source: from.source });
  return {
    request: await requests.review(user, answer.request, { decision: answer.decision, reason: answer.reason, via: name }, reviewer),
  };
}

/** A receiver of findings sends no answers. */
type Answering = Exclude<Webhook, { readonly format: 'ocsf' }>;

/** The signed bytes, and until when an identical callback could arrive. */
function verified(
  webhook: Answering,
  { body, headers }: Callback,
  { secrets, clock }: CallbackParts,
): { readonly signed: Buffer; readonly until: number } {
  const now = clock();
  const reference =
    webhook.format === 'slack' ? webhook.signing_secret : webhook.format === 'jira' ? webhook.webhook_secret : webhook.secret;
  if (reference === undefined) throw new StenoError('CALLBACK_REFUSED', `the webhook ${webhook.name} takes nothing back`);
  const secret = secrets(reference);
  switch (webhook.format) {
    case 'slack': {
      const seconds = secondsOf(headers['x-slack-request-timestamp'], now);
      const signed = Buffer.concat([Buffer.from(`v0:${seconds}:`), body]);
      return same(headers['x-slack-signature'], `v0=${createHmac('sha256', secret).update(signed).digest('hex')}`, {
        signed,
        until: seconds * 1000 + WINDOW_MS,
      });
    }
    case 'jira': {
      const signed = Buffer.from(body);
      const held = same(headers['x-hub-signature'], `sha256=${createHmac('sha256', secret).update(signed).digest('hex')}`, {
        signed,
        until: 0,
      });
      const { timestamp } = parse(jiraTime, body);
      if (Math.abs(now - timestamp) > JIRA_WINDOW_MS) throw new StenoError('CALLBACK_REFUSED', 'its time');
      return { ...held, until: timestamp + JIRA_WINDOW_MS };
    }
    case 'json': {
      const header = headers['steno-signature'] ?? '';
      const seconds = secondsOf(/^t=(\d{1,12}),v1=[0-9a-f]{64}$/.exec(header)?.[1], now);
      return same(header, signature(secret, seconds, body), {
        signed: Buffer.concat([Buffer.from(`${seconds}.`), body]),
        until: seconds * 1000 + WINDOW_MS,
      });
    }
  }
}

function secondsOf(text: string | undefined, now: number): number {
  const seconds = text !== undefined && /^\d{1,12}$/.test(text) ? Number(text) : NaN;
  if (!(Math.abs(now - seconds * 1000) <= WINDOW_MS)) throw new StenoError('CALLBACK_REFUSED', 'its time');
  return seconds;
}

function same<T>(given: string | undefined, expected: string, result: T): T {
  const [a, b] = [Buffer.from(given ?? ''), Buffer.from(expected)];
  if (a.length !== b.length || !timingSafeEqual(a, b)) throw new StenoError('CALLBACK_REFUSED', 'the signature');
  return result;
}

const id = z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/);
const slackPayload = z.object({
  type: z.string().max(64),
  user: z.object({ id: z.string().min(1).max(128) }),
  actions: z
    .array(z.object({ action_id: z.string().max(255), block_id: z.string().max(255), value: z.string().max(2000).optional() }))
    .max(25)
    .default([]),
});
const jiraTime = z.object({ timestamp: z.int().min(0) });
const jiraPayload = z.object({
  webhookEvent: z.string().max(128),
  user: z.object({ accountId: z.string().min(1).max(128) }).optional(),
  issue: z.object({ key: z.string().max(64) }).optional(),
  changelog: z
    .object({ items: z.array(z.object({ field: z.string().max(255), toString: z.string().max(255).nullable() })).max(200) })
    .optional(),
});
const jsonPayload = z.strictObject({
  request: id,
  decision: z.enum(['approve', 'deny']),
  user: z.string().min(1).max(128),
  reason: z.string().max(1024).default(''),
});

async function read(webhook: Answering, body: Uint8Array, { records }: CallbackParts): Promise<Answer | null> {
  switch (webhook.format) {
    case 'slack': {
      const payload = new URLSearchParams(Buffer.from(body).toString('utf8')).get('payload');
      const { type, user, actions } = parse(slackPayload, Buffer.from(payload ?? ''));
      const action = actions.find(({ block_id }) => block_id === 'steno-request');
      if (type !== 'block_actions' || action === undefined) return null;
      const { action_id: decision, value } = action;
      if ((decision !== 'approve' && decision !== 'deny') || !id.safeParse(value).success)
        throw new StenoError('BAD_REQUEST', 'the button');
      return { request: value!, decision, identity: user.id, reason: '' };
    }
    case 'jira': {
      const { webhookEvent, user, issue, changelog } = parse(jiraPayload, body);
      const status = changelog?.items.findLast(({ field }) => field === 'status')?.toString;
      if (webhookEvent !== 'jira:issue_updated' || user === undefined || issue === undefined || typeof status !== 'string') return null;
      const decision = status === webhook.approve_status ? 'approve' : status === webhook.deny_status ? 'deny' : null;
      const request = decision === null ? undefined : await records.read((db) => requestOfReference(db, webhook.name, issue.key));
      return decision === null || request === undefined ? null : { request, decision, identity: user.accountId, reason: '' };
    }
    case 'json': {
      const { request, decision, user, reason } = parse(jsonPayload, body);
      return { request, decision, identity: user, reason };
    }
  }
}

function parse<T extends z.ZodType>(schema: T, bytes: Uint8Array): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new StenoError('BAD_REQUEST', 'it is not JSON');
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new StenoError('BAD_REQUEST', parsed.error.issues[0]?.path.join('.') ?? 'its form');
  return parsed.data;
}

function printable(text: string): string {
  return text.replace(/[^ -~]/g, '?').slice(0, 64);
}
