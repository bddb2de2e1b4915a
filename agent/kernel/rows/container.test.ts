import { expect, it } from 'vitest';
import { containerOf } from './container.js';

const id = 'c0ffee'.repeat(10) + 'beef';
const uid = '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0';

it.each([
  ['Docker, systemd driver', [`docker-${id}.scope`, 'system.slice', ''], { container: id }],
  ['Docker, cgroupfs driver', [id, 'docker', ''], { container: id }],
  [
    'Kubernetes, systemd driver',
    [`cri-containerd-${id}.scope`, `kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`, 'kubepods-burstable.slice'],
    { container: id, pod: uid },
  ],
  ['Kubernetes, cgroupfs driver', [id, `pod${uid}`, 'besteffort'], { container: id, pod: uid }],
  ['CRI-O', [`crio-${id}.scope`, `kubepods-pod${uid.replaceAll('-', '_')}.slice`], { container: id, pod: uid }],
  ['Podman', [`libpod-${id}.scope`, 'machine.slice'], { container: id }],
  ["a group inside a container's", ['init', `docker-${id}.scope`, 'system.slice'], { container: id }],
  ['a user', ['session-3.scope', 'user-0.slice', 'user.slice'], {}],
  ['nothing', [], {}],
])('%s', (_what, cgroup, expected) => expect(containerOf(cgroup)).toEqual(expected));
