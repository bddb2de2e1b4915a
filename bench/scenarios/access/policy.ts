/**
 * The cost of a policy decision with the rules of 1,000 roles: `decide` on 1,000 nodes, with another node and login in each
 * call. Compared with a linear scan of the same roles.
 */
import { decide } from '#schemas/policy/node.js';
import { matchesSelector } from '#schemas/policy/compiled.js';
import type { Subject } from '#schemas/policy/subject.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const ROLES = 1000;
const envs = ['dev', 'test', 'stage', 'prod'];

function role(n: number, more: object): Role {
  return roleSchema.parse({ kind: 'role', name: `role-${n}`, ...more });
}

/** Out of ten roles: seven by labels, one by a list, one by an expression, one that denies. */
function mixed(n: number): Role {
  const team = `team-${n % 100}`;
  const logins = ['{user}', `svc-${n % 10}`];
  switch (n % 10) {
    case 7:
      return role(n, { allow: { nodes: { team, env: ['dev', 'stage'] }, logins } });
    case 8:
      return role(n, {
        allow: {
          node_expression: `labels.env != 'prod' && labels.team == '${team}' && user.traits.team.exists(t, t == labels.team)`,
          logins: ['deploy'],
        },
      });
    case 9:
      return role(n, { deny: { nodes: { env: 'prod', team: `closed-${n}` } } });
    default:
      return role(n, { allow: { nodes: { team, env: envs[n % 4]! }, logins } });
  }
}

const nodes = Array.from({ length: 1000 }, (_, n) => ({
  name: `node-${n}`,
  labels: { team: `team-${n % 100}`, env: envs[(n >> 3) % 4]!, os: 'linux', zone: `z${n % 3}`, kind: 'web' },
}));
const logins = ['ann', 'deploy', 'svc-3', 'root', 'nobody'];
const ann = (roles: readonly Role[]): Subject => ({ user: 'ann', traits: { team: ['team-1', 'team-8', 'team-98'] }, roles });

interface Case {
  readonly what: string;
  readonly roles: readonly Role[];
}

export async function policy(rounds: number): Promise<Section> {
  const all = Array.from({ length: ROLES }, (_, n) => mixed(n));
  const cases: readonly Case[] = [
    { what: '20 roles held, of 1,000', roles: all.filter((_, n) => n % 50 === 1) },
    { what: '1,000 roles held, of all sorts', roles: all },
    {
      what: '1,000 roles held, each with an expression',
      roles: Array.from({ length: ROLES }, (_, n) =>
        role(n, {
          allow: {
            node_expression: `labels.team == 'team-${n % 100}' && labels.env in ['dev', 'prod'] && user.traits.team.exists(t, t == labels.team)`,
            logins: ['deploy', '{user}'],
          },
        }),
      ),
    },
    {
      what: '1,000 roles held, a tenth of them allowing this node',
      roles: Array.from({ length: ROLES }, (_, n) =>
        role(n, { allow: { nodes: { env: n % 10 === 0 ? envs[(n / 10) % 4]! : 'none' }, logins: ['*'] } }),
      ),
    },
    {
      what: '1,000 roles held, all of them allowing every node',
      roles: Array.from({ length: ROLES }, (_, n) => role(n, { allow: { nodes: { '*': '*' }, logins: ['*'] } })),
    },
  ];
  return {
    title: 'A decision of the policy',
    how: `\`decide\` for a user with traits, ${nodes.length} nodes of five labels, ${logins.length} logins, roles in force being ${ROLES}; the first decision makes the index. Microseconds, one core. Beside it: selectors and literal logins of the same roles read one after the other.`,
    header: ['roles', 'median', 'p99', 'first decision', 'allowed', 'read one after the other, median'],
    rows: cases.map(({ what, roles }) => measure(what, roles, rounds)),
  };
}

function measure(what: string, roles: readonly Role[], rounds: number): readonly string[] {
  const subject = ann(roles);
  const first = timed(() => decide(subject, nodes[0]!, 'ann'));
  let allowed = 0;
  let asked = 0;
  const run = (): number[] => {
    const taken: number[] = [];
    for (const [n, node] of nodes.entries()) {
      const login = logins[(n >> 2) % logins.length]!;
      const start = process.hrtime.bigint();
      const decision = decide(subject, node, login);
      taken.push(Number(process.hrtime.bigint() - start) / 1000);
      asked += 1;
      if (decision.allowed) allowed += 1;
    }
    return taken;
  };
  run();
  const taken = Array.from({ length: rounds * 4 }, run).flat();
  const plain = nodes
    .slice(0, 200)
    .map((node, n) =>
      timed(() => roles.some(({ allow }) => matchesSelector(allow.nodes, node) && allow.logins.includes(logins[n % logins.length]!))),
    );
  return [
    what,
    `${round3(quantile(taken, 0.5))} µs`,
    `${round3(quantile(taken, 0.99))} µs`,
    `${round3(first)} µs`,
    `${Math.round((100 * allowed) / asked)} %`,
    `${round3(quantile(plain, 0.5))} µs`,
  ];
}

function timed(run: () => unknown): number {
  const start = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - start) / 1000;
}
