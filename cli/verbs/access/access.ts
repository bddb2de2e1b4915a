/** `steno access check`: explains whether a user may act as a login on a node. */
import { Command } from 'commander';
import { checkAccess } from '#schemas/api/access/roles.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { AccessExplanation, ExplainedClause } from '#schemas/api/access/roles.js';
import type { Forwarding } from '#schemas/policy/forwarding.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { bytes, json, standardOutput, styled, visible } from '../../terminal/output.js';

export function accessCommand(): Command {
  const command = new Command('access').description('who may do what, and why');
  command
    .command('check')
    .description('say whether a user may act as a login on a node, naming role, rule and line; 77 when not')
    .argument('<user>')
    .argument('<node>')
    .argument('<login>')
    .option('--json', 'print JSON')
    .action(async (user: string, node: string, login: string, options: { json?: boolean }) => {
      const found = await call(openClient(openHome()).authority, checkAccess, { body: { user, node, login } });
      if (options.json === true) json(standardOutput, found);
      else standardOutput.out.write(explanation(found));
      if (!found.allowed || found.lock !== null) process.exitCode = 77;
    });
  return command;
}

export function explanation({ user, node, login, allowed, reason, lock, because, others, terms }: AccessExplanation): string {
  const { out, env } = standardOutput;
  const verdict = allowed && lock === null ? styled(out, env, 'green', 'may') : styled(out, env, 'red', 'may not');
  const lines = [
    `${visible(user)} ${verdict} log in as ${visible(login)} on ${visible(node)}: ${visible(lock === null ? reason : `a lock on ${lock} is in force`)}`,
  ];
  if (lock !== null) lines.push(`  without the lock: ${allowed ? 'allowed' : 'not allowed'}; ${visible(reason)}`);
  lines.push(...because.map(clause));
  lines.push(...others.map(({ role, why }) => `  role ${visible(role)} ${visible(why)}`));
  if (allowed && terms !== undefined) {
    const { recording, enhanced } = terms;
    const words = [
      `recording ${recording.mode}, ${streamsText(recording)}, kernel events ${enhanced.mode}${enhanced.mode === 'off' ? '' : ` (${enhanced.classes.join(', ')})`}`,
      `port forwarding ${terms.port_forwarding ? forwardingWords(terms.forwarding) : 'no'}, agent forwarding ${terms.agent_forwarding ? 'yes' : 'no'}`,
      ...(terms.max_session_length === null ? [] : [`ends after ${duration(terms.max_session_length)}`]),
      ...(terms.idle_timeout === null ? [] : [`ends when idle for ${duration(terms.idle_timeout)}`]),
      ...(terms.max_sessions === null ? [] : [`at most ${terms.max_sessions} at a time`]),
      ...(terms.reconnect === undefined ? [] : [`in the page, waits ${duration(terms.reconnect)} for a lost network`]),
      ...(terms.disconnect_expired_cert ? ['ends with the certificate'] : []),
      ...(terms.require_session_mfa ? ['asks for a second factor each time'] : []),
      ...(terms.moderation ?? []).map(
        ({ role, count, modes, where, presence, on_leave }) =>
          `waits for ${count} ${modes.join(' or ')}${where === undefined ? '' : ` where ${visible(where)}`}${presence === undefined ? '' : `, who prove every ${duration(presence)} to be there`}, and ${on_leave === 'pause' ? 'pauses' : 'ends'} when they leave (role ${visible(role)})`,
      ),
    ];
    lines.push(`  under the terms of ${terms.roles.map(visible).join(', ')}:`, ...words.map((text) => `    ${text}`));
  }
  return `${lines.join('\n')}\n`;
}

/** Lists the grants, then the denials. */
function forwardingWords({ allow, deny }: Forwarding): string {
  const words = (
    { to, ...flags }: { readonly to?: readonly string[] | undefined } & Readonly<Record<string, unknown>>,
    given: boolean,
  ): string => {
    const names = Object.entries(flags).flatMap(([name, value]) => (value === given ? [name] : []));
    return [...names, ...(to === undefined ? [] : [`to ${to.map(visible).join(', ')}`])].join(', ');
  };
  const grants = allow.map((grant) => {
    const without = words({ ...grant, to: undefined }, false);
    return `yes${grant.to === undefined ? '' : ` to ${grant.to.map(visible).join(', ')}`}${without === '' ? '' : ` but not ${without}`}`;
  });
  return [...grants, ...deny.map((denial) => `never ${words(denial, true)}`)].join('; ');
}

function clause({ role, rule, line, text }: ExplainedClause): string {
  const place = line === null ? '' : `, line ${line}: ${visible(text.slice(0, 120))}`;
  return `  role ${visible(role)}, ${visible(rule)}${place}`;
}

/** Seconds as `1 h 30 min`. */
export function duration(seconds: number): string {
  const parts = [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min'],
    [1, 's'],
  ] as const;
  let left = seconds;
  return parts
    .flatMap(([size, unit]) => {
      const count = Math.floor(left / size);
      left -= count * size;
      return count === 0 ? [] : [`${count} ${unit}`];
    })
    .join(' ');
}

function streamsText({ streams, limit }: { readonly streams: string; readonly limit: number }): string {
  switch (streams) {
    case 'full':
      return 'streams full';
    case 'commands':
      return `commands in full, other streams limited to ${bytes(limit)}`;
    default:
      return `streams ${streams} to ${bytes(limit)}`;
  }
}
