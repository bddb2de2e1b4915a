/**
 * Roles as documents: applied several at a time, atomically; read and removed.
 *
 * Refused to everybody: changing a revision that is no longer current; removing a role that users hold; a state in which
 * nobody administers everything. Refused to users who do not administer everything: writing roles that they hold, or that
 * grant anybody more than they have (power/guard.ts). Each change is an audit row with the old and the new revision and the
 * text. Tested in roles.test.ts.
 */
import { stringify } from 'yaml';
import type { AppliedRole } from '#schemas/api/access/roles.js';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import { administersEverything, decideResource } from '#schemas/policy/administration.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import { parseResource } from '#runtime/resources/document.js';
import { auditRow } from '../records/audit.js';
import { trustedClusters } from '../records/clusters.js';
import type { Directory } from '../directory/directory.js';
import type { Author, PowerGuard } from '../power/guard.js';
import type { Records, Tx } from '../records/records.js';
import { listConnectors } from '../records/connectors.js';
import { deleteRole, holders, storedRole, storedRoles, writeRole } from '../records/roles.js';
import type { StoredRole } from '../records/roles.js';

export interface RolesParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
  readonly guard: PowerGuard;
}

/** A document to apply. `revision`: the one it was made from, null for a new role; if omitted, any. */
export interface RoleChange {
  readonly source: string;
  readonly revision?: number | null | undefined;
}

export class Roles {
  readonly #records: Records;
  readonly #directory: Directory;
  readonly #clock: () => number;
  readonly #guard: PowerGuard;

  constructor({ records, directory, clock, guard }: RolesParts) {
    this.#guard = guard;
    this.#records = records;
    this.#directory = directory;
    this.#clock = clock;
  }

  /** Roles from before texts were stored get an equivalent text. */
  async list(): Promise<readonly StoredRole[]> {
    return (await this.#records.read(storedRoles)).map(withSource);
  }

  async get(name: string): Promise<StoredRole> {
    const found = await this.#records.read((db) => storedRole(db, name));
    if (found === undefined) throw new StenoError('NOT_FOUND', `role ${name}`);
    return withSource(found);
  }

  /** Applies all or none. `check`: reports what would happen, and changes nothing. */
  async apply(changes: readonly RoleChange[], check: boolean, author: Author): Promise<readonly AppliedRole[]> {
    const wanted = changes.map(({ source, revision }, at) => {
      const { value } = parseResource(source, `document ${at + 1}`);
      if (value.kind !== 'role') throw new StenoError('DOCUMENT_INVALID', `document ${at + 1}: is not a role`);
      if (!isName(value.name)) throw new StenoError('DOCUMENT_INVALID', `document ${at + 1}: name is not a valid name`);
      return { role: value, source, revision };
    });
    const names = wanted.map(({ role }) => role.name);
    const twice = names.find((name, at) => names.indexOf(name) !== at);
    if (twice !== undefined) throw new StenoError('DOCUMENT_INVALID', `role ${twice} appears twice`);
    const run = async (tx: Tx) => {
      const results: AppliedRole[] = [];
      const rows = [];
      for (const { role, source, revision } of wanted) {
        const found = await storedRole(tx, role.name);
        const before = found === undefined ? undefined : withSource(found);
        if (revision !== undefined && (before?.revision ?? null) !== revision)
          throw new StenoError(
            'REVISION_CONFLICT',
            `role ${role.name} is at revision ${before?.revision ?? 'none'}, this was made from ${revision ?? 'none'}`,
          );
        const same = before?.source === source;
        const verdict = decideResource(author.subject, 'role', before === undefined ? 'create' : 'update');
        if (!verdict.allowed) throw new StenoError('ACCESS_DENIED', verdict.reason);
        const result: AppliedRole = {
          name: role.name,
          outcome: before === undefined ? 'created' : same ? 'unchanged' : 'updated',
          from: before?.revision ?? null,
          to: before !== undefined && same ? before.revision : (before?.revision ?? 0) + 1,
        };
        results.push(result);
        if (same) continue;
        this.#guard.mayWriteRole(author, role, before?.role);
        if (!(await writeRole(tx, role, source, before, author.actor, this.#clock())))
          throw new StenoError('REVISION_CONFLICT', `role ${role.name}`);
        rows.push(
          auditRow(this.#clock(), author, { event: 'role.put', target: role.name, data: { from: result.from, to: result.to, source } }),
        );
      }
      await someoneAdministers(tx);
      if (check) throw new Checked(results);
      return { result: results, rows };
    };
    try {
      const results = await this.#records.actOn(run);
      await this.#directory.changed();
      return results;
    } catch (error) {
      if (error instanceof Checked) return error.results;
      throw error;
    }
  }

  /** Writes a role given as values instead of text. */
  async put(role: Role, author: Author): Promise<void> {
    await this.apply([{ source: sourceOf(role) }], false, author);
  }

  async remove(name: string, author: Author): Promise<void> {
    await this.#records.actOn(async (tx) => {
      const before = await storedRole(tx, name);
      if (before === undefined) throw new StenoError('NOT_FOUND', `role ${name}`);
      if (!author.everything && author.subject.roles.some((role) => role.name === name))
        throw new StenoError('POWER_LACKING', `role ${name}: you hold it yourself`);
      // A certificate whose role is gone is refused, since ignoring the role would also ignore its denials; so users must
      // give it up first.
      const held = [
        ...(await holders(tx, 'all')).filter(({ roles }) => roles.includes(name)).map((user) => user.name),
        // These would give a role that somebody creates later under this name.
        ...(await listConnectors(tx))
          .filter(({ claims_to_roles: rules }) => rules.some(({ roles }) => roles.includes(name)))
          .map((connector) => `the connector ${connector.name}`),
        ...(await trustedClusters(tx))
          .filter(({ role_map: map }) => Object.values(map).flat().includes(name))
          .map((cluster) => `the cluster ${cluster.name}`),
      ];
      if (held.length > 0)
        throw new StenoError(
          'ROLE_HELD',
          `${name} is held by ${held.slice(0, 5).join(', ')}${held.length > 5 ? ` and ${held.length - 5} more` : ''}`,
        );
      await deleteRole(tx, name);
      await someoneAdministers(tx);
      return {
        result: undefined,
        rows: [
          auditRow(this.#clock(), author, {
            event: 'role.delete',
            target: name,
            data: { from: before.revision, to: null, source: before.source },
          }),
        ],
      };
    });
    await this.#directory.changed();
  }
}

/** Aborts the transaction of a check, so that nothing is kept. */
class Checked extends Error {
  readonly results: readonly AppliedRole[];
  constructor(results: readonly AppliedRole[]) {
    super('checked');
    this.results = results;
  }
}

/** Without somebody who may change everything, a mistake in a role could not be repaired. */
async function someoneAdministers(tx: Tx): Promise<void> {
  const roles = new Map((await storedRoles(tx)).map(({ role }) => [role.name, role]));
  const some = (await holders(tx, 'enabled')).some((user) => {
    const held = user.roles.flatMap((name) => roles.get(name) ?? []);
    return held.length === user.roles.length && administersEverything(held);
  });
  if (!some) throw new StenoError('NOBODY_ADMINISTERS');
}

function withSource(stored: StoredRole): StoredRole {
  return stored.source === '' ? { ...stored, source: sourceOf(stored.role) } : stored;
}

/** A document with only the fields that differ from the defaults. */
export function sourceOf(role: Role): string {
  const defaults = roleSchema.parse({ kind: 'role', name: role.name }) as unknown as Record<string, unknown>;
  return stringify({ kind: 'role', version: 2, name: role.name, ...differing(role as unknown as Record<string, unknown>, defaults) });
}

function differing(value: Readonly<Record<string, unknown>>, defaults: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, one]): [string, unknown][] => {
      const usual = defaults[key];
      if (one === undefined || JSON.stringify(one) === JSON.stringify(usual)) return [];
      return [[key, isObject(one) && isObject(usual) && key !== 'nodes' ? differing(one, usual) : one]];
    }),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
