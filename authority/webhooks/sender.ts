/**
 * Sends queued webhook messages. Nothing waits for it: changes queue their messages in their own transaction and continue.
 *
 *     waiting ──due──► claimed for a minute ──accepted by the receiver──► gone
 *        ▲                 ├──busy or away: again in 1 s, 2 s, … 10 min──┐
 *        └─────────────────┴─────────────────────────────────────────────┘
 *                          └──refused for good, or 24 h old──► given up, with a row in the audit
 *
 * Order: 1. claim, so that of several authorities one sends; 2. POST; 3. remove the message, note the other side's name for
 * the request, audit, in one transaction. A crash between 2 and 3 sends again when the claim expires: receivers get each
 * message at least once, with the same `delivery` each time. A missing secret or target is retried too, since it may be
 * provided later.
 *
 * Targets are called without proxies, without following redirects, for ten seconds at most, and 64 KiB of their answer
 * are read. Tested in webhooks.test.ts against receivers on loopback.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import { StenoError } from '#schemas/base/errors.js';
import { isWebhookTarget } from '#schemas/documents/webhook.js';
import type { RequestEvent, Webhook } from '#schemas/documents/webhook.js';
import type { Log } from '#runtime/log.js';
import { auditRow } from '../records/audit.js';
import type { Records } from '../records/records.js';
import { storedRoles } from '../records/roles.js';
import { requestById } from '../records/requests.js';
import { jiraComment, jiraIssue, jsonMessage, slackMessage } from './messages.js';
import type { Outgoing } from './formats.js';
import { isNotice, notices } from './notices.js';
import type { NoticeEvent } from './notices.js';
import { claim, due, finish, nextDue, postpone, putReference, referenceOf, webhookNamed } from '../records/webhooks.js';
import type { Waiting } from '../records/webhooks.js';
import type { ReadSecret } from './secrets.js';

export interface SenderParts {
  readonly records: Records;
  readonly secrets: ReadSecret;
  /** Base URL of the page, without a slash at its end. */
  readonly web: string;
  readonly log: Log;
  readonly clock: () => number;
  /** Milliseconds after the first failure, doubled with each. */
  readonly firstRetryMs?: number;
}

const CLAIM_MS = 60_000;
const TIMEOUT_MS = 10_000;
const MAX_ANSWER = 64 * 1024;
const LONGEST_RETRY_MS = 600_000;
const GIVE_UP_MS = 24 * 3_600_000;
const AT_A_TIME = 20;
const LONGEST_WAIT_MS = 60_000;

/** `retry`: whether another attempt may succeed. */
type Outcome =
  | { readonly kind: 'taken'; readonly reference: string | null }
  | { readonly kind: 'failed'; readonly retry: boolean; readonly reason: string };

export class WebhookSender {
  readonly #parts: SenderParts;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  /** Checks for due messages now; returns immediately. */
  wake(): void {
    this.#again = true;
    if (this.#closed) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { records, clock, log } = this.#parts;
    clearTimeout(this.#timer);
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        const waiting = await records.read((db) => due(db, clock(), AT_A_TIME));
        await Promise.all([...groupByWebhook(waiting)].map((queue) => this.#drain(queue)));
        if (waiting.length > 0) this.#again = true;
        const next = this.#again ? null : await records.read(nextDue);
        if (next !== null) this.#later(next - clock());
      } catch (error) {
        log.warn({ err: error }, 'failed to read webhook messages');
        this.#later(LONGEST_WAIT_MS);
      }
    }
  }

  #later(ms: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.wake(), Math.min(Math.max(ms, 10), LONGEST_WAIT_MS));
    this.#timer.unref();
  }

  /** Sends one after the other for each webhook: decisions are reported after requests. */
  async #drain(queue: readonly Waiting[]): Promise<void> {
    for (const waiting of queue) await this.#attempt(waiting);
  }

  async #attempt(waiting: Waiting): Promise<void> {
    const { records, clock, firstRetryMs = 1_000 } = this.#parts;
    const now = clock();
    if (!(await records.act([], (tx) => claim(tx, waiting, now + CLAIM_MS)))) return;
    const outcome = await this.#send(waiting).catch((error: unknown): Outcome => ({
      kind: 'failed',
      retry: true,
      reason: error instanceof StenoError ? error.message : 'something went wrong',
    }));
    const act = {
      event: 'webhook.send',
      target: waiting.webhook,
      data: { event: waiting.event, ...aboutOf(waiting), delivery: String(waiting.id), attempts: waiting.attempts + 1 },
    };
    const caller = { actor: 'authority', source: '' };
    if (outcome.kind === 'taken') {
      await records.act([auditRow(clock(), caller, act)], async (tx) => {
        if (outcome.reference !== null) await putReference(tx, waiting.webhook, outcome.reference, waiting.request);
        await finish(tx, waiting.id);
      });
      return;
    }
    const giveUp = !outcome.retry || clock() - waiting.created_at >= GIVE_UP_MS;
    const refused = new StenoError('WEBHOOK_FAILED', outcome.reason);
    await records.act(
      giveUp || waiting.attempts === 0 ? [auditRow(clock(), caller, { ...act, data: { ...act.data, given_up: giveUp } }, refused)] : [],
      (tx) =>
        giveUp
          ? finish(tx, waiting.id)
          : postpone(tx, waiting.id, clock() + Math.min(LONGEST_RETRY_MS, firstRetryMs * 2 ** Math.min(waiting.attempts, 20))),
    );
  }

  async #send(waiting: Waiting): Promise<Outcome> {
    const { records, secrets, clock } = this.#parts;
    const webhook = await records.read((db) => webhookNamed(db, waiting.webhook));
    const { event } = waiting;
    if (isNotice(event)) return this.#sendNotice(webhook, event, waiting);
    const request = await records.read(async (db) =>
      requestById(
        db,
        waiting.request,
        clock(),
        (await storedRoles(db)).map(({ role }) => role),
      ),
    );
    if (webhook === undefined || request === undefined) return { kind: 'failed', retry: false, reason: 'it is gone' };
    const target = targetOf(webhook, secrets);
    switch (webhook.format) {
      case 'slack':
        return post(target, slackMessage(event, request, webhook.signing_secret !== undefined), false);
      case 'json':
        return post(target, jsonMessage(event, request, String(waiting.id), secrets(webhook.secret), clock()), false);
      case 'jira':
        return this.#sendJira(webhook, target, event, request);
      case 'ocsf':
        return findingsAlone;
    }
  }

  async #sendNotice(webhook: Webhook | undefined, event: NoticeEvent, { id, payload }: Waiting): Promise<Outcome> {
    const { secrets, clock, web } = this.#parts;
    if (webhook === undefined || payload === null) return { kind: 'failed', retry: false, reason: 'it is gone' };
    const messages = notices[event];
    const notice: unknown = JSON.parse(payload);
    const target = targetOf(webhook, secrets);
    switch (webhook.format) {
      case 'slack':
        return post(target, messages.slack(notice, web), false);
      case 'json':
        return post(target, messages.json(notice, web, String(id), secrets(webhook.secret), clock()), false);
      case 'jira':
        return post(target, messages.issue(webhook, secrets(webhook.token), notice, web), false);
      case 'ocsf':
        return messages.ocsf === undefined
          ? findingsAlone
          : post(target, messages.ocsf(notice, web, String(id), secrets(webhook.token), clock()), false);
    }
  }

  /** The issue comes first, even if the message that would have created it was abandoned; then one comment per event. */
  async #sendJira(
    webhook: Extract<Webhook, { format: 'jira' }>,
    target: string,
    event: RequestEvent,
    request: AccessRequest,
  ): Promise<Outcome> {
    const { records, secrets } = this.#parts;
    const token = secrets(webhook.token);
    const known = await records.read((db) => referenceOf(db, webhook.name, request.id));
    if (event === 'request.create' && known !== undefined) return { kind: 'taken', reference: null };
    if (known !== undefined) return post(target, jiraComment(webhook, token, known, event, request), false);
    const made = await post(target, jiraIssue(webhook, token, request), true);
    if (made.kind === 'failed' || event === 'request.create') return made;
    await records.act([], (tx) => putReference(tx, webhook.name, made.reference!, request.id));
    return post(target, jiraComment(webhook, token, made.reference!, event, request), false);
  }
}

const findingsAlone = { kind: 'failed', retry: false, reason: 'it takes findings alone' } as const;

function aboutOf({ event, request, payload }: Waiting): Readonly<Record<string, string>> {
  return payload === null || !isNotice(event) ? { request } : notices[event].about(JSON.parse(payload));
}

function targetOf(webhook: Webhook, secrets: ReadSecret): string {
  const target = typeof webhook.url === 'string' ? webhook.url : secrets(webhook.url);
  // An address from a secret was not checked together with the document.
  if (!isWebhookTarget(target)) throw new StenoError('WEBHOOK_FAILED', 'its address is no https address, nor http of this machine');
  return target.replace(/\/$/, '');
}

/** Never rejects. `wantsKey`: the answer names the created object. */
function post(target: string, { path, headers, body }: Outgoing, wantsKey: boolean): Promise<Outcome> {
  const url = new URL(target + path);
  return new Promise((resolve) => {
    const failed = (reason: string, retry = true): void => resolve({ kind: 'failed', retry, reason });
    const make = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = make(
      url,
      { method: 'POST', agent: false, headers: { ...headers, 'content-length': Buffer.byteLength(body), 'user-agent': 'steno' } },
      (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length <= MAX_ANSWER) chunks.push(chunk);
          else request.destroy();
        });
        response.on('end', () => {
          clearTimeout(timer);
          const status = response.statusCode ?? 0;
          if (status >= 200 && status < 300) {
            const reference = wantsKey ? keyOf(Buffer.concat(chunks).toString('utf8')) : null;
            return reference === undefined ? failed('it did not name what it made', false) : resolve({ kind: 'taken', reference });
          }
          // Redirects are refused: only the configured target is called.
          failed(`status ${status}`, status >= 500 || status === 408 || status === 425 || status === 429);
        });
        response.on('error', () => failed('the answer was cut off'));
      },
    );
    const timer = setTimeout(() => request.destroy(new Error('no answer in time')), TIMEOUT_MS);
    request.on('error', (error: NodeJS.ErrnoException) => failed(error.code ?? error.message));
    request.on('close', () => {
      clearTimeout(timer);
      failed('the connection was closed');
    });
    request.end(body);
  });
}

function keyOf(answer: string): string | undefined {
  try {
    const { key } = JSON.parse(answer) as { key?: unknown };
    return typeof key === 'string' && /^[A-Z][A-Z0-9_]{0,31}-\d{1,12}$/.test(key) ? key : undefined;
  } catch {
    return undefined;
  }
}

function groupByWebhook(waiting: readonly Waiting[]): Iterable<readonly Waiting[]> {
  const groups = new Map<string, Waiting[]>();
  for (const one of waiting) groups.set(one.webhook, [...(groups.get(one.webhook) ?? []), one]);
  return groups.values();
}
