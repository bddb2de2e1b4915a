/**
 * Webhook messages about a new finding, by format. Pure; text from rules and sessions is plain and cut. Tested in
 * finding-messages.test.ts.
 */
import type { AnnouncedFinding } from '#schemas/api/detection/suppressions.js';
import type { JiraWebhook } from '#schemas/documents/webhook.js';
import { newIssue, nodeText, onNode, plainText, signedJson, slackPost } from './formats.js';
import type { Outgoing } from './formats.js';

/** `web`: base URL of the page. */
export function findingHeadline(finding: AnnouncedFinding): string {
  const { severity, title, rule, user } = finding;
  return `${severity}: ${title || rule}${user === '' ? '' : ` by ${user}`}${onNode(finding)}`;
}

export function findingLink({ session, offset_ms: offset }: AnnouncedFinding, web: string): string {
  return session === '' ? `${web}/findings` : `${web}/sessions/${session}${offset === null ? '' : `?t=${offset}`}`;
}

function facts(finding: AnnouncedFinding): readonly (readonly [string, string])[] {
  const { user, rule, rule_version: version, techniques, at } = finding;
  return [
    ['Who', user],
    ['Where', nodeText(finding)],
    ['When', new Date(at).toISOString()],
    ['Rule', `${rule}, version ${version}`],
    ['ATT&CK', techniques.join(', ')],
  ].filter((fact): fact is [string, string] => fact[1] !== '');
}

export function findingSlack(finding: AnnouncedFinding, web: string): Outgoing {
  const blocks: object[] = [
    { type: 'header', text: plainText(findingHeadline(finding), 150) },
    ...(finding.reason === '' ? [] : [{ type: 'section', text: plainText(finding.reason, 3000) }]),
    { type: 'section', fields: facts(finding).map(([label, value]) => plainText(`${label}\n${value}`, 2000)) },
    ...(finding.advice === '' ? [] : [{ type: 'section', text: plainText(`What to do\n${finding.advice}`, 3000) }]),
    {
      type: 'actions',
      block_id: 'steno-finding',
      elements: [{ type: 'button', action_id: 'open', text: plainText('Open the moment', 75), url: findingLink(finding, web) }],
    },
  ];
  return slackPost(findingHeadline(finding), blocks);
}

export function findingIssue(webhook: JiraWebhook, token: string, finding: AnnouncedFinding, web: string): Outgoing {
  return newIssue(webhook, token, {
    label: 'steno-finding',
    summary: `Finding: ${findingHeadline(finding)}`,
    lines: [
      ...(finding.reason === '' ? [] : [finding.reason]),
      ...facts(finding).map(([label, value]) => `${label}: ${value}`),
      ...(finding.advice === '' ? [] : [`What to do: ${finding.advice}`]),
      `Open: ${findingLink(finding, web)}`,
      `Or run: steno findings show ${finding.id}`,
    ],
  });
}

/** `delivery`: the same for every attempt to send this message. `now`: ms since 1970. */
export function findingJson(finding: AnnouncedFinding, web: string, delivery: string, secret: string, now: number): Outgoing {
  return signedJson(
    {
      ...{ version: 1, event: 'finding.new', delivery, headline: findingHeadline(finding) },
      ...{ link: findingLink(finding, web), finding },
    },
    delivery,
    secret,
    now,
  );
}
