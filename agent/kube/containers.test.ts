import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findContainer, machineNamespace, mountsOf, placesOf, processesOf, startOf } from './containers.js';

const id = 'c'.repeat(64);
const uid = '0f8fad5b-d9cb-469f-a165-70867728950e';
const namespace = Number(/\d+/.exec(readlinkSync(`/proc/${process.pid}/ns/mnt`))![0]);
let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'steno-containers-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const group = (path: string, ...pids: readonly number[]): void => {
  mkdirSync(join(root, path), { recursive: true });
  writeFileSync(join(root, path, 'cgroup.procs'), pids.map((pid) => `${pid}\n`).join(''));
};

it.each([
  [
    'the second version, by systemd',
    '',
    `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice/cri-containerd-${id}.scope`,
  ],
  ['the second version, by the runtime', '', `kubepods/burstable/pod${uid}/${id}`],
  ['the first version', 'pids', `pids/kubepods/pod${uid}/${id}`],
])('a container is found in control groups of %s', async (_, first, path) => {
  if (first === '') writeFileSync(join(root, 'cgroup.controllers'), 'pids\n');
  group('system.slice/other.service', 1);
  group(path, process.pid);
  expect(await findContainer(id, root)).toEqual({ pid: process.pid, mntNs: namespace, podUid: uid, group: join(root, path) });
});

it('its first process is the one that started first', async () => {
  writeFileSync(join(root, 'cgroup.controllers'), 'pids\n');
  group(`pod/${id}`, process.pid, process.ppid);
  expect(await findContainer(id, root)).toMatchObject({ pid: process.ppid, podUid: undefined });
});

it('what another container calls like it inside itself is not it', async () => {
  writeFileSync(join(root, 'cgroup.controllers'), 'pids\n');
  group(`pod/${'d'.repeat(64)}/${id}`, process.pid);
  expect(await findContainer(id, root)).toBeNull();
});

it('one without processes, and one that is not here, are none', async () => {
  writeFileSync(join(root, 'cgroup.controllers'), 'pids\n');
  group(`pod/${id}`);
  expect(await findContainer(id, root)).toBeNull();
  expect(await findContainer('e'.repeat(64), root)).toBeNull();
});

it('processes of a container are those of its own groups too', async () => {
  group(`pod/${id}`, 1, 2);
  group(`pod/${id}/inner/below`, 3);
  group('pod/other', 4);
  expect(await processesOf(join(root, `pod/${id}`))).toEqual([1, 2, 3]);
  expect(await startOf(process.pid)).toBe(await startOf(process.pid));
  expect(await startOf(0)).toBeNull();
});

it('what this process sees is where the machine has it', async () => {
  expect(await machineNamespace()).toBe(namespace);
  expect(await mountsOf(process.pid)).toContainEqual(['/', '/']);
});

it('mounts of a container are found by file system and folder, the longest path first', () => {
  const machine = [
    '20 1 8:1 / / rw - ext4 /dev/sda rw',
    '21 20 0:30 / /run/containerd/rootfs rw - overlay overlay rw',
    '22 20 8:2 / /data\\040disk rw - ext4 /dev/sdb rw',
    '23 20 0:5 / /proc rw - proc proc rw',
  ].join('\n');
  const inside = [
    '50 49 0:30 / / rw - overlay overlay rw',
    '51 50 0:77 / /proc rw - proc proc rw',
    '52 50 8:1 /var/lib/kubelet/pods/x/etc-hosts /etc/hosts rw - ext4 /dev/sda rw',
    '53 50 8:2 /shared /mnt/sh\\040ared rw - ext4 /dev/sdb rw',
    'nonsense',
  ].join('\n');
  expect(placesOf(inside, machine)).toEqual([
    ['/mnt/sh ared', '/data disk/shared'],
    ['/etc/hosts', '/var/lib/kubelet/pods/x/etc-hosts'],
    ['/proc', ''],
    ['/', '/run/containerd/rootfs'],
  ]);
});
