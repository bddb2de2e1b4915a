/**
 * The watch: how services follow what the authority publishes, by changes instead of whole snapshots.
 *
 *     client → authority   `steno-watch: 2` in the upgrade request, or `2 STREAM VERSION` to continue after that version
 *     authority → client   {kind: 'snapshot', stream, snapshot}     everything: at first, or if the version is too old
 *                          {kind: 'resumed', stream, version}       confirms the client's position
 *                          {kind: 'delta', from, version, …}        the change from version `from` to `version`
 *
 * A stream is one run of one authority; versions of different streams are unrelated. Without the header the authority sends
 * plain snapshots, as before deltas existed; a client also accepts those from an older authority.
 *
 * A list is a set with a key, kept in the order of its keys (code units). Fields that this table does not know are sent whole
 * in `values`; clients ignore unknown lists. Unchanged lists stay the same object, so `before.nodes !== after.nodes` tells
 * whether nodes changed. Tested in watch.test.ts and authority/watch-log.test.ts.
 */
import type { Snapshot } from './snapshot.js';

export const WATCH_HEADER = 'steno-watch';

/** The field that identifies the items of each list. */
const listKeys = {
  roles: 'name',
  nodes: 'name',
  locks: 'id',
  notices: 'id',
  invitations: 'id',
  grants: 'id',
  void_grants: 'id',
  clusters: 'name',
  removed_services: 'key',
  kube_clusters: 'name',
} as const;
const mapNames = ['names_since', 'own_since'] as const;

type ListName = keyof typeof listKeys;
type MapName = (typeof mapNames)[number];
type Values = Omit<Snapshot, ListName | MapName | 'version'>;
type Item = Readonly<Record<string, unknown>>;

const listNames = Object.keys(listKeys) as ListName[];
const tabled: ReadonlySet<string> = new Set([...listNames, ...mapNames, 'version']);

export interface SnapshotDelta {
  readonly kind: 'delta';
  readonly from: number;
  readonly version: number;
  /** New or changed items. */
  readonly put: { readonly [L in ListName]?: Snapshot[L] };
  /** New or changed entries of maps. */
  readonly set: { readonly [M in MapName]?: Snapshot[M] };
  /** Keys removed from lists and maps. */
  readonly gone: { readonly [N in ListName | MapName]?: readonly string[] };
  readonly values: Partial<Values>;
}

export type WatchMessage =
  | { readonly kind: 'snapshot'; readonly stream: string; readonly snapshot: Snapshot }
  | { readonly kind: 'resumed'; readonly stream: string; readonly version: number }
  | SnapshotDelta;

export interface WatchPosition {
  readonly stream: string;
  readonly version: number;
}

/** The value of the header. */
export function formatWatch(position: WatchPosition | null): string {
  return position === null ? '2' : `2 ${position.stream} ${position.version}`;
}

/** `plain`: an older client, or one that is not ours. An unreadable position is ignored. */
export function parseWatch(
  header: string | undefined,
): { readonly kind: 'plain' } | { readonly kind: 'deltas'; readonly from: WatchPosition | null } {
  if (header === undefined || !/^2(\s|$)/.test(header)) return { kind: 'plain' };
  const match = /^2 ([0-9a-f]{16}) (\d{1,16})$/.exec(header);
  return { kind: 'deltas', from: match === null ? null : { stream: match[1]!, version: Number(match[2]) } };
}

/** Lists in the order of their keys. */
export function ordered(snapshot: Snapshot): Snapshot {
  const lists = Object.fromEntries(listNames.map((name) => [name, sorted(itemsOf(snapshot, name), listKeys[name])]));
  return { ...snapshot, ...lists };
}

/** The change from `before` to `after`, both ordered; null if they differ only in their version. */
export function diffSnapshots(before: Snapshot, after: Snapshot): SnapshotDelta | null {
  const put: Record<string, readonly Item[]> = {};
  const set: Record<string, Readonly<Record<string, number>>> = {};
  const gone: Record<string, readonly string[]> = {};
  for (const name of listNames) {
    if (before[name] === after[name]) continue;
    const change = diffList(itemsOf(before, name), itemsOf(after, name), listKeys[name]);
    if (change.put.length > 0) put[name] = change.put;
    if (change.gone.length > 0) gone[name] = change.gone;
  }
  for (const name of mapNames) {
    const [old, now] = [before[name], after[name]];
    const changed = Object.entries(now).filter(([key, value]) => !Object.hasOwn(old, key) || old[key] !== value);
    const lost = Object.keys(old).filter((key) => !Object.hasOwn(now, key));
    if (changed.length > 0) set[name] = Object.fromEntries(changed);
    if (lost.length > 0) gone[name] = lost;
  }
  const values = Object.fromEntries(
    Object.entries(after).filter(([name, value]) => !tabled.has(name) && !same(value, (before as unknown as Item)[name])),
  );
  const empty = [put, set, gone, values].every((part) => Object.keys(part).length === 0);
  return empty ? null : ({ kind: 'delta', from: before.version, version: after.version, put, set, gone, values } as SnapshotDelta);
}

/** Throws if the delta is not for this snapshot. */
export function applyDelta(before: Snapshot, delta: SnapshotDelta): Snapshot {
  if (delta.from !== before.version) throw new Error(`a delta of version ${delta.from} after version ${before.version}`);
  const after: Record<string, unknown> = { ...before, ...delta.values, version: delta.version };
  for (const name of listNames) {
    const [put, gone] = [delta.put[name] ?? [], delta.gone[name] ?? []];
    if (put.length > 0 || gone.length > 0)
      after[name] = changeList(itemsOf(before, name), put as readonly unknown[] as readonly Item[], gone, listKeys[name]);
  }
  for (const name of mapNames) {
    const [set, gone] = [delta.set[name], delta.gone[name]];
    if (set === undefined && gone === undefined) continue;
    const lost = new Set(gone);
    after[name] = Object.fromEntries([...Object.entries(before[name]).filter(([key]) => !lost.has(key)), ...Object.entries(set ?? {})]);
  }
  return after as unknown as Snapshot;
}

/** A list in the order of its keys with some items replaced, added and removed. */
export function changeList<T extends object>(list: readonly T[], put: readonly T[], gone: readonly string[], key: string): readonly T[] {
  const next = [...list];
  const added: T[] = [];
  for (const item of put) {
    const at = indexIn(next, key, keyOf(item, key));
    if (at < 0) added.push(item);
    else next[at] = item;
  }
  const lost = new Set(gone);
  const left = lost.size === 0 ? next : next.filter((item) => !lost.has(keyOf(item, key)));
  return added.length === 0 ? left : sorted([...left, ...added], key);
}

/** The node with this name. Snapshots that a client has read are ordered; others are searched linearly. */
export function nodeIn(nodes: Snapshot['nodes'], name: string): Snapshot['nodes'][number] | undefined {
  const at = indexIn(nodes, 'name', name);
  return at >= 0 ? nodes[at] : nodes.find((node) => node.name === name);
}

/** The client's side: takes messages, and knows the position at which to continue after a lost connection. */
export class WatchReader {
  #stream: string | null = null;
  #snapshot: Snapshot | undefined;

  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  get position(): WatchPosition | null {
    return this.#stream === null || this.#snapshot === undefined ? null : { stream: this.#stream, version: this.#snapshot.version };
  }

  /** Returns the new snapshot, or null if there is none. Throws for a message that does not follow; the caller then requests everything again. */
  take(message: WatchMessage | Snapshot): Snapshot | null {
    try {
      return this.#take(message);
    } catch (error) {
      this.#stream = null;
      throw error;
    }
  }

  #take(message: WatchMessage | Snapshot): Snapshot | null {
    if (!('kind' in message)) return this.#begin(null, message);
    switch (message.kind) {
      case 'snapshot':
        return this.#begin(message.stream, message.snapshot);
      case 'resumed':
        if (message.stream !== this.#stream || message.version !== this.#snapshot?.version) throw new Error('resumed elsewhere');
        return null;
      case 'delta':
        if (this.#stream === null || this.#snapshot === undefined) throw new Error('a delta before a snapshot');
        this.#snapshot = applyDelta(this.#snapshot, message);
        return this.#snapshot;
      default:
        throw new Error('a message of an unknown kind');
    }
  }

  /** Unchanged lists stay the same object, as with deltas. */
  #begin(stream: string | null, heard: Snapshot): Snapshot {
    const before = this.#snapshot;
    const snapshot = ordered(heard);
    const kept =
      before === undefined
        ? {}
        : Object.fromEntries(listNames.filter((name) => same(before[name], snapshot[name])).map((name) => [name, before[name]]));
    this.#stream = stream;
    this.#snapshot = { ...snapshot, ...kept };
    return this.#snapshot;
  }
}

function diffList(
  before: readonly Item[],
  after: readonly Item[],
  key: string,
): { readonly put: readonly Item[]; readonly gone: readonly string[] } {
  const put: Item[] = [];
  const gone: string[] = [];
  for (let old = 0, now = 0; old < before.length || now < after.length;) {
    const [a, b] = [before[old], after[now]];
    const [first, second] = [a === undefined ? undefined : keyOf(a, key), b === undefined ? undefined : keyOf(b, key)];
    if (first !== undefined && (second === undefined || first < second)) {
      gone.push(first);
      old += 1;
    } else if (first === second) {
      if (a !== b && !same(a, b)) put.push(b!);
      old += 1;
      now += 1;
    } else {
      put.push(b!);
      now += 1;
    }
  }
  return { put, gone };
}

function indexIn(list: readonly object[], key: string, wanted: string): number {
  for (let low = 0, high = list.length - 1; low <= high;) {
    const middle = (low + high) >>> 1;
    const found = keyOf(list[middle]!, key);
    if (found === wanted) return middle;
    if (found < wanted) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** The order of a snapshot's lists. */
export function sorted<T extends object>(list: readonly T[], key: string): readonly T[] {
  const compare = (a: T, b: T): number => (keyOf(a, key) < keyOf(b, key) ? -1 : keyOf(a, key) > keyOf(b, key) ? 1 : 0);
  return list.every((item, i) => i === 0 || compare(list[i - 1]!, item) < 0) ? list : [...list].sort(compare);
}

function keyOf(item: object, key: string): string {
  return String((item as Item)[key]);
}

/** An older authority may not send every list. */
function itemsOf(snapshot: Snapshot, name: ListName): readonly Item[] {
  return ((snapshot[name] as readonly unknown[] | undefined) ?? []) as readonly Item[];
}

function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
