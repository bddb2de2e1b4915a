/** The first administrator: the OS user that runs the authority, with a role that may do everything. Tested in app.test.ts. */
import { userInfo } from 'node:os';
import { isName } from '#schemas/base/identity.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import { auditRow } from './records/audit.js';
import { ensureRole, ensureUser } from './records/records.js';
import type { Records } from './records/records.js';

/** The role of the first administrator: any login, including root, on every node. */
const adminRole: Role = roleSchema.parse({
  kind: 'role',
  name: 'admin',
  allow: { nodes: { '*': '*' }, logins: ['*', 'root', '{user}'] },
  view: 'all',
  administer: true,
});

export async function createFirstAdministrator(records: Records, owner: string, now: number): Promise<void> {
  if ((await records.user(owner)) !== undefined) return;
  await records.act(
    [auditRow(now, { actor: 'authority', source: '' }, { event: 'user.create', target: owner, data: { roles: [adminRole.name] } })],
    async (tx) => {
      await ensureRole(tx, adminRole, now);
      await ensureUser(tx, owner, [adminRole.name], now);
    },
  );
}

/** The OS user that runs the authority, as a Steno user name: lower case, other characters replaced by `-`. */
export function ownerName(osName: string = userInfo().username): string {
  const name = osName
    .toLowerCase()
    .replace(/[^a-z0-9_.-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .replace(/\.{2,}/g, '.')
    .slice(0, 63);
  return isName(name) ? name : 'owner';
}
