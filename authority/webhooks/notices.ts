/**
 * Messages about single events, whose payload contains everything to report; access requests are reported along their course
 * (messages.ts).
 */
import type { SearchHitNotice } from '#schemas/api/cases/saved-searches.js';
import type { AnnouncedFinding } from '#schemas/api/detection/suppressions.js';
import type { SessionInvitationView } from '#schemas/documents/session-invitation.js';
import type { JiraWebhook, RequestEvent, WebhookEvent } from '#schemas/documents/webhook.js';
import { findingIssue, findingJson, findingSlack } from './finding-messages.js';
import type { Outgoing } from './formats.js';
import { invitationIssue, invitationJson, invitationSlack } from './invitation-messages.js';
import { ocsfMessage } from './ocsf.js';
import { searchIssue, searchJson, searchSlack } from './search-messages.js';

/** `web`: base URL of the page. `delivery`: the same for every attempt to send the message. `now`: ms since 1970. */
interface NoticeMessages<Payload> {
  slack(payload: Payload, web: string): Outgoing;
  issue(webhook: JiraWebhook, token: string, payload: Payload, web: string): Outgoing;
  json(payload: Payload, web: string, delivery: string, secret: string, now: number): Outgoing;
  /** If omitted, OCSF has no event for it. */
  ocsf?(payload: Payload, web: string, delivery: string, token: string, now: number): Outgoing;
  /** The facts for the audit. */
  about(payload: Payload): Readonly<Record<string, string>>;
}

export type NoticeEvent = Exclude<WebhookEvent, RequestEvent>;

const finding: NoticeMessages<AnnouncedFinding> = {
  ...{ slack: findingSlack, issue: findingIssue, json: findingJson, ocsf: ocsfMessage },
  about: ({ id }) => ({ finding: id }),
};
const hits: NoticeMessages<SearchHitNotice> = {
  ...{ slack: searchSlack, issue: searchIssue, json: searchJson },
  about: ({ search }) => ({ search: search.id }),
};
const invitation: NoticeMessages<SessionInvitationView> = {
  ...{ slack: invitationSlack, issue: invitationIssue, json: (payload, _web, ...rest) => invitationJson(payload, ...rest) },
  about: ({ id }) => ({ invitation: id }),
};

/** Payloads are those that this authority queued under the event. */
export const notices: Readonly<Record<NoticeEvent, NoticeMessages<unknown>>> = {
  'finding.new': finding as NoticeMessages<unknown>,
  'search.hit': hits as NoticeMessages<unknown>,
  'session.invited': invitation as NoticeMessages<unknown>,
};

export function isNotice(event: WebhookEvent): event is NoticeEvent {
  return Object.hasOwn(notices, event);
}
