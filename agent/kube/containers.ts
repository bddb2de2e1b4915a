/**
 * Finds a container of this machine by its runtime's id: the control group of that id, a process in it, and the process's mount
 * namespace, which no other container shares. This works with any runtime, cgroup driver and cgroup version, because the folder's name
 * contains the id (../kernel/rows/container.ts). Tested in containers.test.ts.
 */
import { existsSync } from 'node:fs';
import { readFile, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { containerOf } from '../kernel/rows/container.js';

export interface RunningContainer {
  /** Its first process, by its number on this machine. */
  readonly pid: number;
  /** Number of its mount namespace. */
  readonly mntNs: number;
  /** The folder of its control group. */
  readonly group: string;
  /** The pod's UID, if the control groups contain it. */
  readonly podUid: string | undefined;
}

/** Maximum nesting of control group folders: `kubepods.slice/kubepods-burstable.slice/…-podUID.slice/cri-containerd-ID.scope`. */
const MAX_DEPTH = 8;
const MAX_FOLDERS = 20_000;

/** `root`: the mount point of control groups. Null: no such container is running here. */
export async function findContainer(id: string, root = '/sys/fs/cgroup', proc = '/proc'): Promise<RunningContainer | null> {
  const group = await groupOf(id, hierarchyOf(root));
  if (group === null) return null;
  const pid = await firstProcess(join(group, 'cgroup.procs'), proc);
  if (pid === null) return null;
  const mntNs = await mountNamespace(join(proc, String(pid)));
  return mntNs === 0 ? null : { pid, mntNs, group, podUid: containerOf(group.split('/').reverse()).pod };
}

/** The number of this machine's own mount namespace; 0: it cannot be determined. */
export async function machineNamespace(): Promise<number> {
  return mountNamespace(await machineProcess());
}

/**
 * A process that sees the machine's mounts. Process 1, which an agent in a container sees too, may hide its namespaces. The kernel's
 * first thread is then used, which is in the machine's initial namespace, unless the agent itself has the machine's root: then the
 * agent is in no container, at most in a copy of that namespace, and the processes that it starts are there as well.
 */
async function machineProcess(): Promise<string> {
  if ((await mountNamespace('/proc/1')) !== 0) return '/proc/1';
  const second = await readFile('/proc/2/comm', 'utf8').catch(() => '');
  if (second !== 'kthreadd\n' || (await mountNamespace('/proc/2')) === 0) return '/proc/self';
  const [own, machine] = await Promise.all(['/proc/self', '/proc/2'].map(rootOf));
  return own === machine ? '/proc/self' : '/proc/2';
}

/** The file system and folder that are `/` for a process; of stacked mounts, the last one is visible. */
async function rootOf(process: string): Promise<string> {
  const mounts = mountsIn(await readFile(join(process, 'mountinfo'), 'utf8').catch(() => ''));
  const root = mounts.findLast(({ point }) => point === '/');
  return root === undefined ? '' : `${root.device} ${root.root}`;
}

async function mountNamespace(process: string): Promise<number> {
  const text = await readlink(join(process, 'ns/mnt')).catch(() => '');
  return Number(/^mnt:\[(\d+)\]$/.exec(text)?.[1] ?? 0);
}

interface Mount {
  readonly device: string;
  /** The part of its file system that the mount shows. */
  readonly root: string;
  readonly point: string;
}

const MAX_MOUNTS = 512;

/** The locations on this machine of the mounts of a container's process, by their paths inside, longest first; '': none. */
export async function mountsOf(pid: number): Promise<readonly [inside: string, outside: string][]> {
  const [inside, outside] = await Promise.all(
    [`/proc/${pid}`, await machineProcess()].map((process) => readFile(join(process, 'mountinfo'), 'utf8').catch(() => '')),
  );
  return placesOf(inside!, outside!);
}

/** Like `mountsOf`, from two texts in the form of proc_pid_mountinfo(5). */
export function placesOf(inside: string, outside: string): readonly [inside: string, outside: string][] {
  const machine = mountsIn(outside);
  // Of stacked mounts, the last one is visible.
  const seen = new Map(mountsIn(inside).map((mount) => [mount.point, mount]));
  return [...seen.values()]
    .slice(-MAX_MOUNTS)
    .sort((a, b) => b.point.length - a.point.length)
    .map((mount) => [mount.point, placeOf(mount, machine)]);
}

function placeOf({ device, root }: Mount, machine: readonly Mount[]): string {
  const over = machine
    .filter((one) => one.device === device && (one.root === '/' || root === one.root || root.startsWith(`${one.root}/`)))
    .sort((a, b) => b.root.length - a.root.length)[0];
  if (over === undefined) return '';
  const rest = over.root === '/' ? root : root.slice(over.root.length);
  return rest === '/' ? over.point : join(over.point, rest);
}

function mountsIn(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [, , device, root, point] = line.split(' ');
    return device === undefined || root === undefined || point === undefined ? [] : [{ device, root: plain(root), point: plain(point) }];
  });
}

/** Decodes the octal escapes of spaces, newlines and backslashes. */
function plain(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** The hierarchy of version 2; for version 1, that of a controller into which every runtime puts containers. */
function hierarchyOf(root: string): string {
  if (existsSync(join(root, 'cgroup.controllers'))) return root;
  return ['pids', 'memory', 'cpu', 'systemd'].map((name) => join(root, name)).find((path) => existsSync(path)) ?? root;
}

async function groupOf(id: string, root: string): Promise<string | null> {
  let level: readonly string[] = [root];
  let looked = 0;
  for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth++) {
    const next: string[] = [];
    for (const folder of level) {
      if (++looked > MAX_FOLDERS) return null;
      for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
        if (!entry.isDirectory()) continue;
        const path = join(folder, entry.name);
        const found = containerOf([entry.name]).container;
        if (found === id) return path;
        // A group below another container belongs to that container.
        if (found === undefined) next.push(path);
      }
    }
    level = next;
  }
  return null;
}

/** The processes of a container, including those in groups that it created below its own. */
export async function processesOf(group: string): Promise<readonly number[]> {
  const pids: number[] = [];
  let level: readonly string[] = [group];
  for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth++) {
    const next: string[] = [];
    for (const folder of level) {
      pids.push(...(await pidsIn(join(folder, 'cgroup.procs'))));
      for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => []))
        if (entry.isDirectory()) next.push(join(folder, entry.name));
    }
    level = next;
  }
  return pids;
}

async function pidsIn(list: string): Promise<readonly number[]> {
  const text = await readFile(list, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);
}

/** When a process started, in clock ticks: no later process of the same number has the same value. Null: the process is gone. */
export async function startOf(pid: number, proc = '/proc'): Promise<bigint | null> {
  const stat = await readFile(join(proc, String(pid), 'stat'), 'latin1').catch(() => '');
  const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return started === undefined ? null : BigInt(started);
}

/** The process that started first: later ones may have namespaces of their own. */
async function firstProcess(list: string, proc: string): Promise<number | null> {
  let first: { readonly pid: number; readonly started: bigint } | null = null;
  for (const pid of await pidsIn(list)) {
    const started = await startOf(pid, proc);
    if (started !== null && (first === null || started < first.started)) first = { pid, started };
  }
  return first?.pid ?? null;
}
