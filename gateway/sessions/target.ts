/** The target of a session. To support another protocol, add a kind here; the compiler then points to all code that must handle it. */
import type { AuditRow } from '#schemas/events/rows.js';
import type { Target } from '#schemas/base/identity.js';
import type { KubeRequest } from '#schemas/policy/kubernetes.js';

/** A login on a node, or a request to a Kubernetes API: null for its discovery. */
export type SessionTarget =
  ({ readonly kind: 'node' } & Target) | { readonly kind: 'kube'; readonly cluster: string; readonly request: KubeRequest | null };

/** The columns of an audit row that name the target. */
export function auditPlace(target: SessionTarget | null): Partial<Pick<AuditRow, 'node' | 'login' | 'target'>> {
  if (target === null) return {};
  if (target.kind === 'node') return { node: target.node, login: target.login, target: target.node };
  const { cluster, request } = target;
  return { target: ['kube', cluster, ...(request === null ? [] : [requestText(request)])].join('/') };
}

/** `namespaces/shop/pods/web-1/exec` */
function requestText({ group, resource, subresource, namespace, name }: KubeRequest): string {
  return [
    ...(namespace === null ? [] : ['namespaces', namespace]),
    group === '' ? resource : `${resource}.${group}`,
    ...(name === null ? [] : [name]),
    ...(subresource === null ? [] : [subresource]),
  ].join('/');
}
