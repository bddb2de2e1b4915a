/** `steno request`, `steno requests`: asking for access, deciding about it, and using it. */
import { Command, Option } from 'commander';
import {
  cancelRequest,
  createRequest,
  listRequestOptions,
  listRequests,
  reviewRequest,
  showRequest,
} from '#schemas/api/access/requests.js';
import { certifyRequests } from '#schemas/api/people/user-certificates.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { describeItem } from '#schemas/documents/access-request.js';
import type { AccessRequest, NewAccessRequest, RequestView } from '#schemas/documents/access-request.js';
import type { LoginResult } from '#schemas/api/people/user-certificates.js';
import { formatDuration } from '#schemas/base/duration.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import type { Home } from '../../client/home.js';
import { json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { keepLogin, keyOf, loadAgent } from '../../client/sign-in.js';
import { tlsPublicKey } from '../../client/trust.js';
import { parseSpan } from '../../terminal/arguments.js';

const colours = { pending: 'yellow', approved: 'green', denied: 'red', cancelled: 'dim', expired: 'dim', over: 'dim' } as const;
const { out, err, env } = standardOutput;

export function requestsCommand(): Command {
  return new Command('requests')
    .description('list access requests: your own, and those you may review')
    .option('--all', 'also those that are decided or over')
    .option('--json', 'print JSON')
    .action(async (options: { all?: boolean; json?: boolean }) => {
      const all = await call(openClient(openHome()).authority, listRequests, {});
      const requests = options.all === true ? all : all.filter(({ state }) => state === 'pending' || state === 'approved');
      if (options.json === true) return json(standardOutput, requests);
      if (requests.length === 0) {
        err.write(
          all.length === 0
            ? 'No access requests. `steno request options` lists what you can ask for.\n'
            : 'No open access requests; --all lists the others.\n',
        );
        return;
      }
      table<RequestView>(standardOutput, requests, [
        { title: 'ID', value: ({ id }) => id },
        {
          title: 'STATE',
          value: ({ state, changed }) => (changed.length === 0 ? state : `${state}, role changed`),
          style: ({ state }) => colours[state],
        },
        { title: 'USER', value: ({ user }) => user, style: () => 'bold' },
        {
          title: 'VOTES',
          value: ({ reviews, thresholds }) => `${reviews.filter(({ decision }) => decision === 'approve').length}/${thresholds.approve}`,
        },
        { title: 'FOR', value: ({ duration }) => formatDuration(duration) },
        { title: 'UNTIL', value: (request) => endOf(request), style: () => 'dim' },
        { title: 'WHAT', value: ({ items }) => items.map(describeItem).join('; ') },
        { title: 'REASON', value: ({ reason }) => reason },
      ]);
      const waiting = requests.filter(({ may_review: may }) => may).length;
      if (waiting > 0)
        err.write(`${waiting === 1 ? 'One waits' : `${waiting} wait`} for you: steno request show ID, then approve or deny.\n`);
    });
}

export function requestCommand(): Command {
  const command = new Command('request').description('ask for access, review what others ask for, use what was approved');
  const list = (value: string, previous: readonly string[] = []): string[] => [
    ...previous,
    ...value.split(',').filter((part) => part !== ''),
  ];
  command
    .command('create')
    .description('ask for roles, or for nodes')
    .option('--role <name...>', 'roles to hold for a while', list)
    .option('--node <name...>', 'nodes to reach; with --role, the role counts on these only', list)
    .option('--login <name...>', 'logins on these nodes; without it, all that you may ask for', list)
    .requiredOption('--reason <text>', 'why; reviewers, the audit and every session under it show it')
    .option('--ttl <span>', 'for how long, such as 30m or 2h; without it an hour, or what the rule allows', parseSpan)
    .option('--json', 'print JSON')
    .action(async (options: { role?: string[]; node?: string[]; login?: string[]; reason: string; ttl?: number; json?: boolean }) => {
      const wanted: Omit<NewAccessRequest, 'duration'> & { readonly duration: number | null } = {
        roles: options.role ?? [],
        nodes: options.node ?? [],
        logins: options.login ?? [],
        reason: options.reason,
        duration: options.ttl ?? null,
      };
      const request = await call(openClient(openHome()).authority, createRequest, { body: wanted });
      if (options.json === true) return json(standardOutput, request);
      out.write(
        `${styled(out, env, 'green', '✓')} ${styled(out, env, 'bold', request.id)} asks for ${visible(request.items.map(describeItem).join('; '))}, for ${formatDuration(request.duration)}\n`,
      );
      out.write(`  needs        ${approvals(request.thresholds.approve)}, before ${moment(request.expires_at)}\n`);
      out.write(`  then         steno request use ${request.id}\n`);
    });
  command
    .command('options')
    .description('list what you can ask for')
    .option('--json', 'print JSON')
    .action(async (options: { json?: boolean }) => {
      const found = await call(openClient(openHome()).authority, listRequestOptions, {});
      if (options.json === true) return json(standardOutput, found);
      const rows = [
        ...found.roles.map((choice) => ({ kind: 'role', logins: [] as readonly string[], ...choice })),
        ...found.nodes.map((choice) => ({ kind: 'node', ...choice })),
      ];
      if (rows.length === 0) {
        err.write('Your roles let you ask for nothing.\n');
        return;
      }
      table(standardOutput, rows, [
        { title: 'KIND', value: ({ kind }) => kind },
        { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
        { title: 'AT MOST', value: (row) => formatDuration(row.max_duration) },
        { title: 'NEEDS', value: (row) => approvals(row.approvals) },
        { title: 'LOGINS', value: ({ logins }) => logins.join(',') },
      ]);
    });
  command
    .command('show')
    .description('what exactly it would grant, why, and who has reviewed it')
    .argument('<id>')
    .option('--json', 'print JSON')
    .action(async (id: string, options: { json?: boolean }) => {
      const request = await call(openClient(openHome()).authority, showRequest, { params: { name: id } });
      if (options.json === true) return json(standardOutput, request);
      print(request);
    });
  const review = (decision: 'approve' | 'deny', what: string): void => {
    command
      .command(decision)
      .description(what)
      .argument('<id>')
      .option('--reason <text>', 'why; whoever asked reads it', '')
      .option('--json', 'print JSON')
      .action(async (id: string, options: { reason: string; json?: boolean }) => {
        const request = await call(openClient(openHome()).authority, reviewRequest, {
          params: { name: id },
          body: { decision, reason: options.reason },
        });
        if (options.json === true) return json(standardOutput, request);
        print(request);
      });
  };
  review('approve', 'agree; once enough have, it is granted');
  review('deny', 'disagree');
  command
    .command('cancel')
    .description("take it back: yours, or as an administrator anybody's. What it granted ends at once, live sessions too")
    .argument('<id>')
    .option('--reason <text>', 'why', '')
    .option('--json', 'print JSON')
    .action(async (id: string, options: { reason: string; json?: boolean }) => {
      const request = await call(openClient(openHome()).authority, cancelRequest, {
        params: { name: id },
        body: { reason: options.reason },
      });
      if (options.json === true) return json(standardOutput, request);
      print(request);
    });
  command
    .command('use')
    .description('get a certificate that carries approved requests, and ends with the first of them')
    .argument('[id...]', 'without one, all that are approved')
    .addOption(new Option('--no-agent', 'do not load the certificate into the SSH agent'))
    .option('--json', 'print JSON')
    .action(async (ids: string[], options: { agent: boolean; json?: boolean }) => {
      const home = openHome();
      const login = await useRequests(home, ids, options.agent);
      if (options.json === true)
        return json(standardOutput, { user: login.user, requests: login.requests, logins: login.logins, valid_before: login.valid_before });
      tellUse(login);
    });
  return command;
}

/** Replaces the certificates at hand, for ssh and for TLS, by such that carry the requests; without ids, all that are approved. */
export async function useRequests(home: Home, ids: readonly string[], agent: boolean): Promise<LoginResult> {
  const client = openClient(home);
  const wanted =
    ids.length > 0
      ? ids
      : (await call(client.authority, listRequests, {}))
          .filter(({ state, user }) => state === 'approved' && user === client.profile.user)
          .map(({ id }) => id);
  const login = await call(client.authority, certifyRequests, {
    body: {
      public_key: formatPublicLine(keyOf(home).publicBlob, 'steno'),
      tls_key: tlsPublicKey(home),
      requests: wanted,
    },
  });
  const profile = keepLogin(home, login, client.profile, client.profile.web_ca);
  if (agent) loadAgent(home, profile);
  return login;
}

export function tellUse(login: LoginResult): void {
  const what = login.requests.length === 0 ? 'no access request' : `access request ${login.requests.join(', ')}`;
  out.write(
    `${styled(out, env, 'green', '✓')} The certificate of ${styled(out, env, 'bold', visible(login.user))} carries ${visible(what)}, until ${moment(login.valid_before)}\n`,
  );
  out.write(`  logins       ${login.logins.map(visible).join(', ')}\n`);
}

function print(request: RequestView): void {
  out.write(
    `${styled(out, env, 'bold', request.id)}  ${styled(out, env, colours[request.state] === 'dim' ? 'dim' : colours[request.state], request.state)}\n`,
  );
  const line = (label: string, value: string): void => void out.write(`  ${label.padEnd(12)} ${visible(value)}\n`);
  line('who', request.user);
  for (const item of request.items) line('what', describeItem(item));
  line('why', request.reason);
  line('how long', formatDuration(request.duration));
  line('asked', moment(request.created_at));
  line(request.state === 'pending' ? 'decide by' : 'until', endOf(request));
  line('needs', approvals(request.thresholds.approve));
  for (const [role, revision] of Object.entries(request.revisions))
    line(
      'role',
      `${role}, revision ${revision}${request.changed.includes(role) ? ', changed since: it grants nothing any more; make a new request' : ''}`,
    );
  for (const review of request.reviews)
    line(
      review.decision === 'approve' ? 'approved' : 'denied',
      `by ${review.reviewer}, ${moment(review.at)}, ${review.via}${review.reason === '' ? '' : `: ${review.reason}`}`,
    );
  if (request.may_review) out.write(`Decide with: steno request approve ${request.id}, or steno request deny ${request.id}\n`);
  else if (request.state === 'approved' && request.may_cancel && request.changed.length === 0)
    out.write(`Use it with: steno request use ${request.id}\n`);
}

function endOf({ state, expires_at: expires, ends_at: ends, decided_at: decided }: AccessRequest): string {
  if (state === 'pending') return moment(expires);
  const end = ends ?? decided;
  return end === null ? '-' : moment(end);
}

function approvals(count: number): string {
  return `${count} approval${count === 1 ? '' : 's'}`;
}
