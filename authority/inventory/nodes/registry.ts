/**
 * Nodes as administrators register them: name, address, host keys and labels.
 *
 * Each of these decides who reaches which machine. Labels decide which roles open the node: changing them requires the verb
 * `label` and, on the node before the change, every login that they open. Address and host keys decide which machine is
 * behind the name, possibly one known under another name too: a new or moved node requires, on all nodes, every login that
 * roles open on it. Access requests name nodes, so they end when the name comes to mean another machine. Users who
 * administer everything may do all of this. Tested in authority/power/takeover.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { decideResource } from '#schemas/policy/administration.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { auditRow } from '../../records/audit.js';
import type { Directory } from '../../directory/directory.js';
import type { Author, PowerGuard } from '../../power/guard.js';
import { endRequestsForNode } from '../../records/requests.js';
import { nodeNamed } from '../../records/records.js';
import type { Records } from '../../records/records.js';
import { deleteNode, putNode } from './records.js';

export interface NodeRegistryParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly guard: PowerGuard;
  readonly clock: () => number;
}

export type NodeWish = Omit<NodeRecord, 'last_seen_at' | 'tunnel_key' | 'node_principals'> & {
  /** Unchanged if omitted. */
  readonly node_principals?: boolean | undefined;
};

export class NodeRegistry {
  readonly #parts: NodeRegistryParts;

  constructor(parts: NodeRegistryParts) {
    this.#parts = parts;
  }

  /** Throws ACCESS_DENIED for a missing verb, and POWER_LACKING. */
  async put(wish: NodeWish, author: Author): Promise<NodeRecord> {
    const { records, directory, guard, clock } = this.#parts;
    const node = await records.actOn(async (tx) => {
      const before = await nodeNamed(tx, wish.name);
      requireVerb(author, before === undefined ? 'create' : 'update');
      const moved =
        before === undefined || before.kind !== wish.kind || before.address !== wish.address || !sameSet(before.host_keys, wish.host_keys);
      const labelled = !sameLabels(before?.labels ?? {}, wish.labels);
      if (labelled) requireVerb(author, 'label');
      if (moved) guard.mayStandFor(author, wish);
      else if (labelled) guard.mayLabel(author, { before, after: wish, on: before });
      const put: NodeRecord = {
        ...wish,
        node_principals: wish.node_principals ?? before?.node_principals ?? false,
        last_seen_at: before?.last_seen_at ?? null,
      };
      await putNode(tx, put, clock());
      // Users who administer everything vouch for the machine.
      const ended =
        moved && !author.everything
          ? await endRequestsForNode(tx, wish.name, 'the node is, or may be, another machine', author, clock())
          : [];
      const data = { address: put.address, ...(labelled ? { labels: put.labels, before: before?.labels ?? null } : {}) };
      const row = auditRow(clock(), author, { event: 'node.put', target: put.name, node: put.name, data });
      return { result: put, rows: [row, ...ended] };
    });
    await directory.changed();
    return node;
  }

  async remove(name: string, author: Author): Promise<void> {
    const { records, directory, clock } = this.#parts;
    await records.actOn(async (tx) => {
      await deleteNode(tx, name);
      const row = auditRow(clock(), author, { event: 'node.delete', target: name, node: name });
      // The next machine of that name is a different one.
      const ended = await endRequestsForNode(tx, name, 'the node was removed', author, clock());
      return { result: undefined, rows: [row, ...ended] };
    });
    await directory.changed();
  }
}

/** Throws ACCESS_DENIED. */
export function requireVerb({ subject }: Author, verb: 'create' | 'update' | 'label'): void {
  const verdict = decideResource(subject, 'node', verb);
  if (!verdict.allowed) throw new StenoError('ACCESS_DENIED', verdict.reason);
}

function sameLabels(a: NodeRecord['labels'], b: NodeRecord['labels']): boolean {
  const text = (labels: NodeRecord['labels']): string => JSON.stringify(Object.entries(labels).sort(([x], [y]) => (x < y ? -1 : 1)));
  return text(a) === text(b);
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return JSON.stringify([...new Set(a)].sort()) === JSON.stringify([...new Set(b)].sort());
}
