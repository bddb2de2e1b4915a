/** `authority DIR NODES ROLES` or `gateway URL SOCKET`: one side of the scenario `watch`, as a separate process. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { roleSchema } from '#schemas/policy/role.js';
import { connectAuthority } from '#runtime/service/authority-client.js';
import { openServiceIdentity } from '#runtime/service/identity.js';
import { openState } from '#stores/state/open.js';
import { startAuthority } from '../../../authority/app.js';

const log = pino({ level: 'silent' });
const [kind = '', ...args] = process.argv.slice(2);
let changes = 0;
const report = (more: object = {}): void => {
  const { user, system } = process.cpuUsage();
  process.send!({ cpu: user + system, changes, ...more });
};
process.on('message', () => report());
process.on('disconnect', () => process.exit(0));

if (kind === 'authority') {
  const [dir = '', nodes = '', roles = ''] = args;
  await seed(join(dir, 'authority'), Number(nodes), Number(roles));
  const { addresses } = await startAuthority({ dataDir: dir, listen: '127.0.0.1:0', name: 'bench' }, { log, clock: Date.now });
  report({ addresses });
} else {
  const [url = '', socket = ''] = args;
  const identity = await openServiceIdentity({ kind: 'gateway', name: 'bench', socket }, { log, clock: Date.now });
  const client = connectAuthority({ url, identity }, { log });
  await client.ready();
  client.onChange(() => {
    changes += 1;
  });
  report();
}

async function seed(folder: string, nodes: number, roles: number): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const state = await openState({ kind: 'sqlite', file: join(folder, 'state.sqlite') });
  await state.transaction().execute(async (tx) => {
    for (let i = 0; i < nodes; i += 1)
      await tx
        .insertInto('nodes')
        .values({
          name: `node-${i}`,
          kind: 'openssh',
          address: `node-${i}.example:22`,
          host_keys: '[]',
          labels: '{"env":"prod","value":""}',
          created_at: 0,
          last_seen_at: null,
        })
        .execute();
    for (let i = 0; i < roles; i += 1) {
      const role = roleSchema.parse({
        kind: 'role',
        name: `role-${i}`,
        allow: { nodes: { env: 'prod', team: `team-${i}` }, logins: ['deploy', 'ops'] },
        deny: { nodes: { env: 'vault' } },
      });
      await tx
        .insertInto('roles')
        .values({ name: role.name, document: JSON.stringify(role), updated_at: 0 })
        .execute();
    }
  });
  await state.destroy();
}
