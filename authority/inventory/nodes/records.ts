/**
 * Rows of joining and presence: functions on a transaction, so that related changes are atomic.
 *
 * Tested in nodes.test.ts.
 */
import { createHash } from 'node:crypto';
import type { JoinTokenInfo } from '#schemas/api/inventory/join-tokens.js';
import { StenoError } from '#schemas/base/errors.js';
import { MAX_GATEWAYS } from '#schemas/join.js';
import type { SshMode } from '#schemas/join.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import type { Row } from '#stores/state/schema.js';
import { purgeTokens } from '../../records/join-tokens.js';
import { chunks } from '../../records/records.js';
import type { Reader, Tx } from '../../records/records.js';
import { assertNodeNames } from './host-names.js';

export async function insertToken(tx: Tx, token: JoinTokenInfo, publicKey: string): Promise<void> {
  await tx
    .insertInto('join_tokens')
    .values({ ...token, public_key: publicKey, labels: JSON.stringify(token.labels), node_labels: JSON.stringify(token.node_labels) })
    .execute();
}

/** Tokens that are still valid. */
export async function liveTokens(tx: Tx, now: number): Promise<readonly JoinTokenInfo[]> {
  const rows = await tx
    .selectFrom('join_tokens')
    .selectAll()
    .where('expires_at', '>', now)
    .where('uses_left', '>', 0)
    .orderBy('created_at')
    .execute();
  return rows.map(tokenOf);
}

export async function tokenNamed(tx: Tx, id: string): Promise<(JoinTokenInfo & { readonly publicKey: string }) | undefined> {
  const row = await tx.selectFrom('join_tokens').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? undefined : { ...tokenOf(row), publicKey: row.public_key };
}

export async function countNonces(tx: Tx): Promise<number> {
  const { count } = await tx
    .selectFrom('join_nonces')
    .select((of) => of.fn.countAll().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}

export async function insertNonce(tx: Tx, nonce: string, expiresAt: number): Promise<void> {
  await tx.insertInto('join_nonces').values({ nonce, expires_at: expiresAt }).execute();
}

/** Consumes the nonce; returns whether it was valid. */
export async function takeNonce(tx: Tx, nonce: string, now: number): Promise<boolean> {
  const row = await tx.deleteFrom('join_nonces').where('nonce', '=', nonce).returning('expires_at').executeTakeFirst();
  return row !== undefined && row.expires_at > now;
}

export async function purgeJoining(tx: Tx, now: number): Promise<void> {
  await tx.deleteFrom('join_nonces').where('expires_at', '<=', now).execute();
  await purgeTokens(tx, 'join_tokens', now);
}

export type JoinedNode = Omit<Row<'joined_nodes'>, 'token_labels' | 'node_labels' | 'own_labels'> & {
  readonly token_labels: Readonly<Record<string, string>>;
  readonly node_labels: readonly string[];
  readonly own_labels: Readonly<Record<string, string>>;
};

export async function joinedNode(tx: Tx, node: string): Promise<JoinedNode | undefined> {
  const row = await tx.selectFrom('joined_nodes').selectAll().where('node', '=', node).executeTakeFirst();
  if (row === undefined) return undefined;
  return {
    ...row,
    token_labels: JSON.parse(row.token_labels) as Record<string, string>,
    node_labels: JSON.parse(row.node_labels) as string[],
    own_labels: JSON.parse(row.own_labels) as Record<string, string>,
  };
}

export async function nodeExists(tx: Tx, name: string): Promise<boolean> {
  return (await tx.selectFrom('nodes').select('name').where('name', '=', name).executeTakeFirst()) !== undefined;
}

/** Every new or changed node passes through here. Throws NODE_NAME_RESERVED. */
export async function putNode(tx: Tx, node: NodeRecord, now: number): Promise<void> {
  await assertNodeNames(tx, node.name, now);
  const columns = {
    kind: node.kind,
    address: node.address,
    labels: JSON.stringify(node.labels),
    host_keys: JSON.stringify(node.host_keys),
    last_seen_at: node.last_seen_at,
    node_principals: node.node_principals === true ? 1 : 0,
  };
  await tx
    .insertInto('nodes')
    .values({ name: node.name, created_at: now, ...columns })
    .onConflict((on) => on.column('name').doUpdateSet(columns))
    .execute();
}

export async function deleteNode(tx: Tx, name: string): Promise<void> {
  const { numDeletedRows } = await tx.deleteFrom('nodes').where('name', '=', name).executeTakeFirst();
  if (numDeletedRows === 0n) throw new StenoError('NODE_UNKNOWN', name);
}

/** Stores the blobs of all host keys of a gateway, replacing earlier ones. */
export async function putHostKeys(tx: Tx, gateway: string, keys: readonly Uint8Array[]): Promise<void> {
  await tx.deleteFrom('gateway_host_keys').where('gateway', '=', gateway).execute();
  for (const key_hash of new Set(keys.map(keyHash))) await tx.insertInto('gateway_host_keys').values({ gateway, key_hash }).execute();
}

export function keyHash(key: Uint8Array): string {
  return createHash('sha256').update(key).digest('hex');
}

export async function putJoined(tx: Tx, joined: JoinedNode): Promise<void> {
  const columns = {
    ...joined,
    token_labels: JSON.stringify(joined.token_labels),
    node_labels: JSON.stringify(joined.node_labels),
    own_labels: JSON.stringify(joined.own_labels),
  };
  await tx
    .insertInto('joined_nodes')
    .values(columns)
    .onConflict((on) => on.column('node').doUpdateSet(columns))
    .execute();
}

/** Stores a node's report and the labels that follow from it. A report no newer than the last changes nothing. */
export async function putReport(
  tx: Tx,
  node: string,
  report: {
    readonly time: number;
    readonly own: Readonly<Record<string, string>>;
    readonly all: Readonly<Record<string, string>>;
    readonly ssh: SshMode;
    readonly bound: boolean;
  },
): Promise<boolean> {
  const row = await tx
    .updateTable('joined_nodes')
    .set({ own_labels: JSON.stringify(report.own), said_at: report.time, ssh: report.ssh })
    .where('node', '=', node)
    .where('said_at', '<', report.time)
    .returning('node')
    .executeTakeFirst();
  if (row === undefined) return false;
  await tx
    .updateTable('nodes')
    .set({ labels: JSON.stringify(report.all), node_principals: report.bound ? 1 : 0 })
    .where('name', '=', node)
    .execute();
  return true;
}

/** Whether the holder is in this run. `ingest`: the one that receives its recordings. */
export async function beat(tx: Tx, holder: string, epoch: string, ingest: string, now: number): Promise<boolean> {
  const row = await tx
    .updateTable('node_holders')
    .set({ seen_at: now, ingest })
    .where('holder', '=', holder)
    .where('epoch', '=', epoch)
    .returning('holder')
    .executeTakeFirst();
  return row !== undefined;
}

/** Begins a run of a holder: connections and sessions of an earlier run are deleted. */
export async function beginHolder(
  tx: Tx,
  run: Pick<Row<'node_holders'>, 'holder' | 'epoch' | 'address' | 'ingest'>,
  now: number,
): Promise<void> {
  await tx.deleteFrom('node_holders').where('holder', '=', run.holder).execute();
  await tx
    .insertInto('node_holders')
    .values({ ...run, seen_at: now })
    .execute();
}

/** A holder was removed, with everything it held. */
export async function forgetHolder(tx: Tx, holder: string): Promise<void> {
  await tx.deleteFrom('node_holders').where('holder', '=', holder).execute();
}

export async function link(tx: Tx, holder: string, nodes: readonly string[], now: number): Promise<void> {
  for (const part of chunks(nodes)) {
    await tx
      .insertInto('node_links')
      .values(part.map((node) => ({ node, holder, since: now })))
      .onConflict((on) => on.columns(['node', 'holder']).doNothing())
      .execute();
    await tx.updateTable('nodes').set({ last_seen_at: now }).where('name', 'in', part).execute();
  }
}

export async function unlink(tx: Tx, holder: string, nodes: readonly string[], now: number): Promise<void> {
  for (const part of chunks(nodes)) {
    await tx.deleteFrom('node_links').where('holder', '=', holder).where('node', 'in', part).execute();
    await tx.updateTable('nodes').set({ last_seen_at: now }).where('name', 'in', part).execute();
  }
}

/** Nodes connected to a holder seen after `after`, and since when. */
export async function liveNodes(db: Reader, after: number): Promise<ReadonlyMap<string, number>> {
  const rows = await db
    .selectFrom('node_links')
    .innerJoin('node_holders', 'node_holders.holder', 'node_links.holder')
    .select(['node', 'since'])
    .where('seen_at', '>', after)
    .execute();
  const live = new Map<string, number>();
  for (const { node, since } of rows) live.set(node, Math.min(since, live.get(node) ?? since));
  return live;
}

/** When each of these nodes was last seen. */
export async function lastSeen(db: Reader, nodes: readonly string[]): Promise<ReadonlyMap<string, number | null>> {
  const seen = new Map<string, number | null>();
  for (const part of chunks(nodes)) {
    const rows = await db.selectFrom('nodes').select(['name', 'last_seen_at']).where('name', 'in', part).execute();
    for (const { name, last_seen_at } of rows) seen.set(name, last_seen_at);
  }
  return seen;
}

/** Addresses at which agents reach the connected gateways, each once: the workers of one machine share theirs. */
export async function gatewayAddresses(db: Reader, after: number): Promise<readonly string[]> {
  const rows = await db
    .selectFrom('node_holders')
    .select('address')
    .where('seen_at', '>', after)
    .where('address', '!=', '')
    .groupBy('address')
    .orderBy((of) => of.fn.min('holder'))
    .limit(MAX_GATEWAYS)
    .execute();
  return rows.map(({ address }) => address);
}

function tokenOf(row: Row<'join_tokens'>): JoinTokenInfo {
  const { id, uses_left, created_by, created_at, expires_at } = row;
  return {
    id,
    labels: JSON.parse(row.labels) as Record<string, string>,
    node_labels: JSON.parse(row.node_labels) as string[],
    uses_left,
    created_by,
    created_at,
    expires_at,
  };
}
