/** Roles, for the verbs on resources. */
import { applyRoles, deleteRole, listRoles, showRole } from '#schemas/api/access/roles.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Role } from '#schemas/policy/role.js';
import type { Client } from '../client/client.js';
import { standardOutput, table } from '../terminal/output.js';
import type { Resources } from './resource.js';

export const roleResources: Resources = {
  kind: 'role',
  also: ['roles'],
  async list(client) {
    table<Role>(standardOutput, await rolesOf(client), [
      { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
      { title: 'LOGINS', value: ({ allow }) => allow.logins.join(',') || '-' },
      { title: 'NODES', value: nodesOf },
      { title: 'VIEW', value: ({ view }) => view },
      { title: 'RECORDING', value: ({ recording }) => `${recording.mode}, ${recording.streams}` },
      { title: 'DESCRIPTION', value: ({ description }) => description },
    ]);
  },
  values: rolesOf,
  async get(client, name) {
    const { revision, source, updated_at, updated_by, role } = await call(client.authority, showRole, { params: { name } });
    return { name, revision, source, value: role, updatedAt: updated_at, updatedBy: updated_by };
  },
  async apply(client, documents, check) {
    return (await call(client.authority, applyRoles, { body: { documents, check } })).applied;
  },
  async remove(client, name) {
    await call(client.authority, deleteRole, { params: { name } });
  },
};

function rolesOf(client: Client): Promise<readonly Role[]> {
  return call(client.authority, listRoles, {});
}

function nodesOf({ allow }: Role): string {
  const labels = Object.entries(allow.nodes).map(([key, value]) =>
    key === '*' ? '*' : `${key}=${typeof value === 'string' ? value : value.join('|')}`,
  );
  const both = labels.length > 0 && allow.node_expression !== undefined;
  return (
    [labels.join(','), ...(allow.node_expression === undefined ? [] : [both ? `(${allow.node_expression})` : allow.node_expression])]
      .filter((text) => text !== '')
      .join(' && ') || '-'
  );
}
