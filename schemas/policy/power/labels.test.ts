import { expect, test } from 'vitest';
import { roleSchema } from '../role.js';
import type { Role } from '../role.js';
import { lackingForLabels } from './labels.js';
import type { Relabelling } from './labels.js';

const role = (name: string, more: object = {}): Role => roleSchema.parse({ kind: 'role', name, view: 'none', ...more });
const dev = role('dev', { allow: { nodes: { env: 'dev' }, logins: ['www', 'root'] } });
const prod = role('prod', { allow: { nodes: { env: 'prod' }, logins: ['www'] } });
const both = role('both', { allow: { nodes: { env: '*' }, logins: ['www', 'root'] } });
const all = role('all', { allow: { nodes: { '*': '*' }, logins: ['*', 'root'] } });
const frozen = role('frozen', { deny: { nodes: { frozen: 'yes' } } });
const team = role('team', { allow: { node_expression: 'labels.team in user.traits.team', logins: ['www'] } });
const asks = role('asks', { allow: { request: [{ nodes: { env: 'dev' }, logins: ['root'] }] } });
const gives = role('gives', { allow: { approve: [{ nodes: { env: 'dev' } }] } });
const sees = role('sees', { allow: { sessions: [{ actions: ['view'], where: "labels.env == 'dev'" }] } });
const careful = role('careful', { allow: { nodes: { env: 'prod' }, logins: ['www'] }, require_session_mfa: true });
const forwards = role('forwards', { allow: { nodes: { env: 'dev' }, logins: ['www'] }, agent_forwarding: true });
const agentless = role('agentless', { allow: { nodes: { '*': '*' }, logins: ['*', 'root'] }, agent_forwarding: false });
const closed = role('closed', { allow: { nodes: { '*': '*' }, logins: ['*', 'root'] }, port_forwarding: false });
const inside = role('inside', { allow: { nodes: { env: 'dev' }, logins: ['www'] }, port_forwarding: { to: ['10.0.0.0/8'] } });
const asksCalmly = role('asks-calmly', { allow: { request: [{ nodes: { '*': '*' }, logins: ['www'] }] } });
const writes = role('writes', { allow: { sessions: [{ actions: ['join'], modes: ['peer'], where: "labels.env == 'dev'" }] } });
const watches = role('watches', { allow: { sessions: [{ actions: ['*'] }] } });
const controls = role('controls', { allow: { sessions: [{ actions: ['*'], modes: ['observer', 'peer', 'moderator'] }] } });
const givesMost = role('gives-most', { allow: { approve: [{ nodes: { '*': '*' }, where: "request.user != 'bob'" }] } });
const givesAll = role('gives-all', { allow: { approve: [{ nodes: { '*': '*' } }] } });
const grantsDev = role('grants-dev', { allow: { approve: [{ nodes: { '*': '*' } }] }, deny: { approve: [{ nodes: { env: 'prod' } }] } });
const carefulAll = role('careful-all', { allow: { nodes: { '*': '*' }, logins: ['*', 'root'] }, require_session_mfa: true });
const admin = role('admin', { administer: true, allow: { nodes: { env: 'dev' }, logins: ['root'] } });
const at = (labels: Record<string, string>) => ({ name: 'db-1', labels });
const change = (before: Record<string, string>, after: Record<string, string>): Relabelling => ({
  before: at(before),
  after: at(after),
  on: at(before),
});

test.each<[string, Role[], Role[], Relabelling, RegExp | null]>([
  ['prod as dev, by a user with dev', [dev], [dev, prod], change({ env: 'prod' }, { env: 'dev' }), /login www on db-1 \(role dev\)/],
  ['prod as dev, by a user with the logins of both', [both], [dev, prod], change({ env: 'prod' }, { env: 'dev' }), null],
  ['prod as dev, if only administrators of everything gain', [dev], [prod, admin], change({ env: 'prod' }, { env: 'dev' }), null],
  ['a label that no role uses', [dev], [dev, prod], change({ env: 'prod' }, { env: 'prod', rack: '7' }), null],
  ['a removed label', [dev], [dev, prod], change({ env: 'prod' }, {}), null],
  ['a removed term', [all], [all, careful], change({ env: 'prod' }, {}), /without require_session_mfa of role careful \(role all\)/],
  ['an added term', [all], [all, careful], change({}, { env: 'prod' }), null],
  [
    'a new node, while some role has stricter terms for certain labels',
    [all],
    [all, careful],
    { before: null, after: at({}), on: 'every node' },
    /without require_session_mfa/,
  ],
  ['a removed denial', [both], [both, frozen], change({ env: 'prod', frozen: 'yes' }, { env: 'prod' }), /denied on db-1/],
  ['an added denial', [both], [both, frozen], change({ env: 'prod' }, { env: 'prod', frozen: 'yes' }), null],
  ['a label whose rule depends on traits', [dev], [team], change({ team: 'a' }, { team: 'b' }), /login www/],
  ['another label than the one whose rule depends on traits', [dev], [team], change({ team: 'a' }, { team: 'a', rack: '7' }), null],
  ['access that may be requested', [prod], [asks], change({ env: 'prod' }, { env: 'dev' }), /ask for login root/],
  ['requests that may be approved', [prod], [gives], change({ env: 'prod' }, { env: 'dev' }), /approve requests/],
  [
    'forwardings, by a user with the login but without forwardings',
    [closed],
    [closed, dev],
    change({}, { env: 'dev' }),
    /port forwardings as login www on db-1 \(role dev\)/,
  ],
  ['forwardings within theirs', [all], [all, inside], change({}, { env: 'dev' }), null],
  ['forwardings beyond theirs', [inside], [inside, dev], change({ env: 'dev', rack: '1' }, { env: 'dev' }), null],
  [
    'agent forwarding, by a user without it',
    [agentless],
    [agentless, forwards],
    change({}, { env: 'dev' }),
    /agent forwarding as login www/,
  ],
  [
    'the login without a term of theirs',
    [carefulAll],
    [carefulAll, dev],
    change({}, { env: 'dev' }),
    /login www without require_session_mfa/,
  ],
  ['forwardings that may be requested', [closed], [closed, asks], change({}, { env: 'dev' }), /to ask for port forwardings as login root/],
  [
    'a term removed from access that may be requested',
    [all],
    [asksCalmly, careful],
    change({ env: 'prod' }, {}),
    /without require_session_mfa of role careful \(role asks-calmly\)/,
  ],
  [
    'a removed denial, by a user with every login but without forwardings',
    [closed],
    [closed, all, frozen],
    change({ frozen: 'yes' }, {}),
    /port forwardings/,
  ],
  ['joining as a peer, by a user who may watch', [watches], [watches, writes], change({}, { env: 'dev' }), /to join the sessions/],
  ['joining as a peer, by a user who may do so', [controls], [controls, writes], change({}, { env: 'dev' }), null],
  [
    'requests that may be approved, by a user who may approve most of them',
    [givesMost],
    [givesMost, gives],
    change({}, { env: 'dev' }),
    /approve requests/,
  ],
  [
    'requests that may be approved, by a user to whom this is denied',
    [grantsDev],
    [grantsDev],
    change({ env: 'prod' }, {}),
    /approve requests/,
  ],
  ['requests that may be approved, by a user who may approve them', [givesAll], [givesAll, gives], change({}, { env: 'dev' }), null],
  ['recordings that may be viewed', [prod], [sees], change({ env: 'prod' }, { env: 'dev' }), /to view the sessions/],
  [
    'a new node, by a user with its logins on nodes like it',
    [dev],
    [dev],
    { before: null, after: at({ env: 'dev' }), on: 'every node' },
    /login www/,
  ],
  ['a new node, by a user with them on all nodes', [all], [dev], { before: null, after: at({ env: 'dev' }), on: 'every node' }, null],
  [
    'a new node, while some node is denied to somebody',
    [all],
    [dev, frozen],
    { before: null, after: at({ env: 'dev' }), on: 'every node' },
    null,
  ],
  ['the same, by a user without every login', [both], [frozen], { before: null, after: at({ env: 'dev' }), on: 'every node' }, /denied/],
  [
    'a machine that joins, by a user with the logins there',
    [dev],
    [dev, prod],
    { before: at({}), after: at({ env: 'dev' }), on: at({ env: 'dev' }) },
    null,
  ],
  [
    'a machine that joins, by a user without them',
    [dev],
    [dev, prod],
    { before: at({}), after: at({ env: 'prod' }), on: at({ env: 'prod' }) },
    /login www/,
  ],
])('%s', (_claim, held, known, relabelling, refusal) => {
  const answer = lackingForLabels({ user: 'ann', traits: {}, roles: held }, known, relabelling);
  if (refusal === null) expect(answer).toBeNull();
  else expect(answer).toMatch(refusal);
});
