/** The interface of a kind of resource, for the verbs on resources. */
import type { StoredKind } from '#runtime/resources/kinds.js';
import type { Client } from '../client/client.js';

/** A resource as the authority stores it. `revision`: null for kinds without revisions. */
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
