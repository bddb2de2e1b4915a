/**
 * Webhook messages about new hits of a scheduled search, by format. Pure. A message gives the places of hits and contains nothing of
 * what was recorded: readers of the channel need not be allowed to view the sessions, and links lead to a page that checks. Tested in
 * search-messages.test.ts.
 */
import type { SearchHitNotice } from '#schemas/api/cases/saved-searches.js';
import type { JiraWebhook } from '#schemas/documents/webhook.js';
import { newIssue, onNode, plainText, signedJson, slackPost } from './formats.js';
import type { Outgoing } from './formats.js';

type Hit = SearchHitNotice['hits'][number];

function searchHeadline({ search, count }: SearchHitNotice): string {
  return `${count} new ${count === 1 ? 'hit' : 'hits'} of “${search.name}”, a search of ${search.owner}`;
}

function searchLink({ search }: SearchHitNotice, web: string): string {
  return `${web}/search?q=${encodeURIComponent(search.query)}`;
}

/** Null for a row without a session, which the search finds. */
export function hitLink({ session, time }: Hit, web: string): string | null {
  return session === '' ? null : `${web}/sessions/${session}${time === null ? '' : `?t=${time}`}`;
}

function line(hit: Hit): string {
  const { kind, at, user } = hit;
  return `${new Date(at).toISOString()}  ${kind}${user === '' ? '' : `  ${user}`}${onNode(hit)}`;
}

function lines({ count, hits }: SearchHitNotice): readonly string[] {
  return [...hits.map(line), ...(count > hits.length ? [`and ${count - hits.length} more`] : [])];
}

export function searchSlack(notice: SearchHitNotice, web: string): Outgoing {
  const [first] = notice.hits;
  const moment = first === undefined ? null : hitLink(first, web);
  const button = (action: string, label: string, url: string): object => ({
    ...{ type: 'button', action_id: action, text: plainText(label, 75), url: url.length > 3000 ? web : url },
  });
  const blocks: object[] = [
    { type: 'header', text: plainText(searchHeadline(notice), 150) },
    { type: 'section', text: plainText(lines(notice).join('\n'), 3000) },
    {
      type: 'actions',
      block_id: 'steno-search',
      elements: [
        button('search', 'Open the search', searchLink(notice, web)),
        ...(moment === null ? [] : [button('open', 'Open the newest', moment)]),
      ],
    },
  ];
  return slackPost(searchHeadline(notice), blocks);
}

export function searchIssue(webhook: JiraWebhook, token: string, notice: SearchHitNotice, web: string): Outgoing {
  return newIssue(webhook, token, {
    label: 'steno-search',
    summary: searchHeadline(notice),
    lines: [`Search: ${notice.search.query}`, ...lines(notice), `Open: ${searchLink(notice, web)}`],
  });
}

/** `delivery`: the same for every attempt to send this message. `now`: ms since 1970. */
export function searchJson(notice: SearchHitNotice, web: string, delivery: string, secret: string, now: number): Outgoing {
  return signedJson(
    {
      ...{ version: 1, event: 'search.hit', delivery, headline: searchHeadline(notice), link: searchLink(notice, web) },
      ...{ search: notice.search, count: notice.count, hits: notice.hits.map((hit) => ({ ...hit, link: hitLink(hit, web) })) },
    },
    delivery,
    secret,
    now,
  );
}
