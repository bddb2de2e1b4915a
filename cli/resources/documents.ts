/** Resources that the authority keeps as they were applied last, without revisions: listed whole, put and deleted by their name. */
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import type { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { parseResource } from '#runtime/resources/document.js';
import type { StoredKind, resourceSchemas } from '#runtime/resources/kinds.js';
import type { Client } from '../client/client.js';
import { standardOutput, table } from '../terminal/output.js';
import type { Column } from '../terminal/output.js';
import type { AppliedResource, Resources } from './resource.js';

export interface DocumentCalls<Kind extends StoredKind, Value extends z.output<(typeof resourceSchemas)[Kind]>> {
  readonly kind: Kind;
  readonly also: readonly string[];
  /** For messages. */
  readonly noun: string;
  readonly columns: readonly Column<Value>[];
  readonly all: (client: Client) => Promise<readonly Value[]>;
  readonly put: (client: Client, value: Value) => Promise<unknown>;
  readonly remove: (client: Client, name: string) => Promise<unknown>;
}

export function documentResources<Kind extends StoredKind, Value extends z.output<(typeof resourceSchemas)[Kind]>>(
  of: DocumentCalls<Kind, Value>,
): Resources {
  const { kind, also, noun, columns, all, put } = of;
  return {
    kind,
    also,
    async list(client) {
      table<Value>(standardOutput, await all(client), columns);
    },
    values: all,
    async get(client, name) {
      const found = (await all(client)).find((known) => known.name === name);
      if (found === undefined) throw new StenoError('NOT_FOUND', `${noun} ${name}`);
      return { name, revision: null, source: stringify(found, { lineWidth: 0 }), value: found, updatedAt: 0, updatedBy: '' };
    },
    async apply(client, given, check) {
      const known = await all(client);
      const results: AppliedResource[] = [];
      for (const { source } of given) {
        const { name, value } = parseResource(source, kind);
        if (value.kind !== kind) throw new StenoError('USAGE', `this is no ${noun}`);
        const before = known.find((one) => one.name === name);
        const same = before !== undefined && isDeepStrictEqual(before, value);
        if (!same && !check) await put(client, value as Value);
        results.push({ name, outcome: before === undefined ? 'created' : same ? 'unchanged' : 'updated', from: null, to: null });
      }
      return results;
    },
    async remove(client, name) {
      await of.remove(client, name);
    },
  };
}
