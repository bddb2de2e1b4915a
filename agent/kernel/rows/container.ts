/**
 * Container and pod of a process, from the names of its control groups: containerd, CRI-O, Docker and Podman put the
 * container's id into the innermost, and the kubelet the pod's into the one above. Tested in container.test.ts.
 */
export interface ContainerIds {
  readonly container?: string;
  readonly pod?: string;
}

/** `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`, or the bare id. */
const container = /^(?:[a-z-]+-)?([0-9a-f]{64})(?:\.scope)?$/;
/** `kubepods-besteffort-podUID.slice` with `_` for `-`, or `podUID`. */
const pod = /(?:^|-)pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})(?:\.slice)?$/;

export function containerOf(cgroup: readonly string[]): ContainerIds {
  let found: ContainerIds = {};
  for (const name of cgroup) {
    const id = container.exec(name)?.[1];
    if (id !== undefined && found.container === undefined) found = { ...found, container: id };
    const uid = pod.exec(name)?.[1];
    if (uid !== undefined && found.pod === undefined) found = { ...found, pod: uid.replaceAll('_', '-') };
  }
  return found;
}
