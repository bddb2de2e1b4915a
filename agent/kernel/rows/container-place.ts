/**
 * The container in which a session's command runs: the facts recorded with its events, and the location of its files on the machine
 * itself. Paths in events are those that the container's processes see. Tested in container-place.test.ts.
 */
import { z } from 'zod';
import { routeOf } from './escapes.js';
import type { InSession } from './escapes.js';
import type { Row } from './row-facts.js';

export const containerPlace = z.object({
  id: z.string(),
  namespace: z.string(),
  pod: z.string(),
  /** The mounts by their paths inside, longest first, with their locations on the machine; '': none. */
  mounts: z.array(z.tuple([z.string(), z.string()])),
  /** Numbers of mount namespaces: the container's and the machine's own; 0: unknown. */
  inside: z.number(),
  machine: z.number(),
});
export type ContainerPlace = z.infer<typeof containerPlace>;

/** The machine's path of the same file; null if the machine has none, or if it is unknown. */
export function hostPathOf({ mounts }: ContainerPlace, path: string): string | null {
  if (!path.startsWith('/')) return null;
  const found = mounts.find(([inside]) => inside === '/' || path === inside || path.startsWith(`${inside}/`));
  if (found === undefined || found[1] === '') return null;
  const [inside, outside] = found;
  const rest = inside === '/' ? path : path.slice(inside.length);
  const joined = outside === '/' ? rest : `${outside}${rest === '/' ? '' : rest}`;
  return joined === '' ? '/' : joined;
}

/** Adds the machine's paths of its files to the row, and to an execution also the container's. */
export function inContainer(row: Row, place: ContainerPlace): Row {
  const from = row.data['from'];
  const { mnt_ns: namespace } = row.data;
  // Other rows do not tell which mounts their process sees.
  const elsewhere = saysNamespace(row) && namespace !== place.inside;
  const path = elsewhere ? (namespace === place.machine ? (row.path ?? null) : null) : hostOf(place, row.path, row.reason);
  const source = typeof from === 'string' ? hostOf(place, from, '') : null;
  const more = {
    ...(row.kind === 'exec' ? { container: place.id, namespace: place.namespace, pod_name: place.pod } : {}),
    ...(path === null ? {} : { host_path: path }),
    ...(source === null ? {} : { host_from: source }),
  };
  return { ...row, data: { ...row.data, ...more } };
}

/** A path whose beginning is unknown has no location, and neither have memory files. */
function hostOf(place: ContainerPlace, path: string | undefined, reason: string | undefined): string | null {
  if (path === undefined || path === '' || /beginning cut|in a detached mount/.test(reason ?? '')) return null;
  return hostPathOf(place, path);
}

/** How an event leaves the container, apart from the session's processes; null if it does not. */
export function wayOut(row: Row, place: ContainerPlace, inSession: InSession): string | null {
  if (place.machine !== 0 && row.data['mnt_ns'] === place.machine && saysNamespace(row)) return 'namespaces of the node';
  const { host_path: path, host_from: from } = row.data;
  if (row.kind === 'system' && row.name === 'chroot' && row.outcome === 'success' && path === '/') return 'root of the node';
  if (typeof path !== 'string') return null;
  const route = routeOf({ ...row, path, data: { ...row.data, ...(typeof from === 'string' ? { from } : {}) } }, inSession);
  return route === null ? null : `${route} of the node`;
}

/** Whether the row tells which mounts the process sees from then on: a program may enter another namespace without executing anything. */
function saysNamespace({ kind, name, outcome }: Row): boolean {
  return kind === 'exec' || (kind === 'system' && (name === 'setns' || name === 'chroot') && outcome === 'success');
}
