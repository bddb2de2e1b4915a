/**
 * The kinds of resources that `steno get`, `apply`, `edit` and `rm` know: how each is got from the authority and given to
 * it. The form of each document is in runtime/resources/kinds.ts.
 */
import { StenoError } from '#schemas/errors.js';
import type { StoredKind } from '#runtime/resources/kinds.js';
import { suggestion } from '#runtime/resources/suggestion.js';
import type { Client } from '../client.js';
import { roleResources } from './roles.js';
import { webhookResources } from './webhooks.js';

/** As the authority keeps it. `revision`: null for kinds that have none. */
export interface KeptResource {
  readonly name: string;
  readonly revision: number | null;
  /** YAML. */
  readonly source: string;
  /** The same as values. */
  readonly value: unknown;
  /** ms since 1970. */
  readonly updatedAt: number;
  readonly updatedBy: string;
}

export interface GivenResource {
  readonly source: string;
  /** The revision it was made from, null for none; left out: whichever there is. */
  readonly revision?: number | null;
}

export interface AppliedResource {
  readonly name: string;
  readonly outcome: 'created' | 'updated' | 'unchanged';
  readonly from: number | null;
  readonly to: number | null;
}

export interface Resources {
  readonly kind: StoredKind;
  /** Other words for it, such as its plural. */
  readonly also: readonly string[];
  list(client: Client): Promise<void>;
  /** As JSON. */
  values(client: Client): Promise<unknown>;
  get(client: Client, name: string): Promise<KeptResource>;
  /** In the order given; all or none. `check`: nothing is changed. */
  apply(client: Client, given: readonly GivenResource[], check: boolean): Promise<readonly AppliedResource[]>;
  remove(client: Client, name: string): Promise<void>;
}

const all: readonly Resources[] = [roleResources, webhookResources];

/** Throws USAGE. */
export function resourcesOf(word: string): Resources {
  const found = all.find(({ kind, also }) => kind === word || also.includes(word));
  if (found === undefined) throw new StenoError('USAGE', `"${word}" is no kind of resource${suggestion(word, all.map(({ kind }) => kind))}`);
  return found;
}
