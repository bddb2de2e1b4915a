/**
 * Ways out of the tree of processes: whoever is asked to run something later, or elsewhere, has another parent, and what
 * it runs then is not the session's. The asking is seen, and said to be what it is.
 *
 * A connection is judged by who listens and where that socket is, as the kernel has it, whatever path was asked for; and a
 * process by whether it is of the session. Only what succeeded is a way out: a login that asks for a bus that is not there is
 * none. Nothing of the session's own is one: a program may be the server of its own children.
 *
 * An aid, not a boundary: it knows the usual doors. Tested in escapes.test.ts and, with real services, in ../probes/evasion.test.ts.
 */
interface Door {
  readonly through: string;
  readonly pattern: RegExp;
}

/** Sockets of those that start programs for others. */
const sockets: readonly Door[] = [
  { through: 'systemd', pattern: /^\/run\/(systemd\/private|systemd\/io\.system\.ManagedOOM|user\/\d+\/systemd\/private)$/ },
  // systemd-run, machinectl and pkexec ask over the bus.
  { through: 'dbus', pattern: /^\/run\/(dbus\/system_bus_socket|user\/\d+\/bus)$/ },
  { through: 'docker', pattern: /^\/run\/(user\/\d+\/)?docker\.sock$/ },
  { through: 'containerd', pattern: /^\/run\/(k3s\/|user\/\d+\/)?(containerd\/)?(containerd|containerd-rootless)[^/]*\.sock(\.ttrpc)?$/ },
  { through: 'cri-o', pattern: /^\/run\/crio\/crio\.sock$/ },
  { through: 'podman', pattern: /^\/run\/(user\/\d+\/)?podman\/podman\.sock$/ },
  { through: 'buildkit', pattern: /^\/run\/(user\/\d+\/)?buildkit\/buildkitd\.sock$/ },
  { through: 'libvirt', pattern: /^\/run\/libvirt\/.*sock$/ },
  { through: 'lxd', pattern: /^\/(var\/lib|var\/snap\/lxd\/common)\/(lxd|incus)\/unix\.socket$/ },
  { through: 'snapd', pattern: /^\/run\/snapd\.socket$/ },
  { through: 'screen', pattern: /^\/(run|tmp)\/screens?\/.+/ },
  { through: 'tmux', pattern: /^\/tmp\/tmux-\d+\/.+/ },
];

/** By the name of the process that listens, wherever its socket is. systemd is not here: it listens for others. */
const servers: ReadonlyMap<string, string> = new Map([
  ['dockerd', 'docker'],
  ['containerd', 'containerd'],
  ['crio', 'cri-o'],
  ['podman', 'podman'],
  ['buildkitd', 'buildkit'],
  ['libvirtd', 'libvirt'],
  ['virtqemud', 'libvirt'],
  ['lxd', 'lxd'],
  ['incusd', 'lxd'],
  ['snapd', 'snapd'],
  ['dbus-daemon', 'dbus'],
  ['dbus-broker', 'dbus'],
  ['dbus-broker-lau', 'dbus'],
  ['tmux: server', 'tmux'],
  ['screen', 'screen'],
  ['SCREEN', 'screen'],
  ['sshd', 'ssh'],
  ['crond', 'cron'],
  ['cron', 'cron'],
  ['atd', 'at'],
  ['supervisord', 'supervisor'],
  ['emacs', 'emacs'],
]);

/** Ports of this machine behind which programs are started for others. */
const ports: ReadonlyMap<number, string> = new Map([
  [22, 'ssh'],
  [23, 'telnet'],
  [512, 'rexec'],
  [513, 'rlogin'],
  [514, 'rsh'],
  [2375, 'docker'],
  [2376, 'docker'],
  [10250, 'kubelet'],
]);

/** Files that others run later. */
const files: readonly Door[] = [
  { through: 'cron', pattern: /^\/(etc\/(crontab|anacrontab|cron\.[a-z]+\/.+)|var\/spool\/(cron|anacron)\/(?!atjobs|atspool).+)$/ },
  { through: 'at', pattern: /^\/var\/spool\/(at|atjobs|cron\/atjobs|cron\/atspool)\/.+$/ },
  {
    through: 'systemd',
    pattern: /^\/(etc|run|usr\/lib|lib|usr\/local\/lib)\/systemd\/(system|user)\/.+|^\/(home\/[^/]+|root)\/\.config\/systemd\/user\/.+$/,
  },
  { through: 'init', pattern: /^\/etc\/(init\.d\/.+|rc\.local|rc\d\.d\/.+|inittab)$/ },
  {
    through: 'kernel helper',
    pattern: /\/sys\/kernel\/(core_pattern|modprobe|hotplug|poweroff_cmd)$|\/(release_agent|uevent_helper)$|\/binfmt_misc\/register$/,
  },
  { through: 'udev', pattern: /^\/(etc|run|usr\/lib|lib)\/udev\/rules\.d\/.+$/ },
];

/** What of an event says whether it is a way out: the columns of its row, and of `data` what the kernel told of the other side. */
export interface Act {
  readonly kind: string;
  readonly name?: string;
  readonly path?: string;
  readonly reason?: string;
  readonly outcome?: string;
  readonly address?: string;
  readonly port?: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Whether a process, by its number, is of the session. */
export type InSession = (pid: number) => boolean;

/** Through whom; null: no way out that is known. */
export function doorOf(act: Act, inSession: InSession): string | null {
  if (act.outcome !== 'success' && act.outcome !== 'submitted' && act.outcome !== 'in_progress') return null;
  switch (act.kind) {
    case 'connect':
      return act.name === 'unix' ? doorOfConnection(act) : doorOfAddress(act);
    case 'file':
      return doorOfFileAct(act, inSession);
    case 'system':
      return doorOfSystemAct(act);
    default:
      return null;
  }
}

function doorOfConnection({ path = '', data }: Act): string | null {
  if (data['peer_in_session'] === true) return null;
  const asked = data['asked'];
  const found = doorOfSocket(path) ?? (typeof asked === 'string' ? doorOfSocket(asked) : null);
  return found ?? servers.get(String(data['peer_name'])) ?? null;
}

/** To a service of this very machine: from an address to itself, or to one that leads nowhere else. */
function doorOfAddress({ address = '', port, data }: Act): string | null {
  const own = address === '::1' || address.startsWith('127.') || (address !== '' && data['local_address'] === address);
  return own && port !== undefined ? (ports.get(port) ?? null) : null;
}

function doorOfFileAct({ name, path = '', reason = '', data }: Act, inSession: InSession): string | null {
  if (name === 'open' && !/write|create/.test(reason)) return null;
  if (name === 'digest' || name === 'execute') return null;
  const memory = /(?:^|\/)proc\/(\d+)\/(?:task\/\d+\/)?mem$/.exec(path);
  if (memory !== null) return inSession(Number(memory[1])) ? null : 'memory of another process';
  const places = [path, ...(typeof data['from'] === 'string' ? [data['from']] : [])];
  for (const place of places) {
    const door = doorOfFile(place);
    if (door !== null) return door;
  }
  // Another folder, or a link, in the place of one that others read.
  if (name !== 'rename' && name !== 'exchange' && name !== 'symlink' && name !== 'link') return null;
  for (const place of places) {
    const door = doorOfFile(`${place}/x`);
    if (door !== null) return door;
  }
  return null;
}

const MS_BIND = 4096;
const OPEN_TREE_CLONE = 1;
/** Of ptrace what takes hold of a process or changes it. */
const holds: ReadonlySet<string> = new Set(['attach', 'seize', 'poketext', 'pokedata', 'pokeuser', 'setregs', 'setregset']);

function doorOfSystemAct({ name, path = '', reason = '', data }: Act): string | null {
  const flags = typeof data['flags'] === 'number' ? data['flags'] : 0;
  switch (name) {
    case 'ptrace':
      return data['target_in_session'] === false && holds.has(reason.split(',')[0]!) ? 'ptrace' : null;
    case 'process_vm_writev':
      return data['target_in_session'] === false ? 'memory of another process' : null;
    // The same folder by another path, or another folder in its place.
    case 'mount':
      return doorOfFolder(path) ?? ((flags & MS_BIND) !== 0 && typeof data['source'] === 'string' ? doorOfFolder(data['source']) : null);
    case 'open_tree':
      return (flags & OPEN_TREE_CLONE) !== 0 ? doorOfFolder(path) : null;
    case 'move_mount':
      return doorOfFolder(path);
    default:
      return null;
  }
}

const doorFolders = [
  ['/etc', 'cron'],
  ['/var', 'cron'],
  ['/var/spool', 'cron'],
  ['/var/spool/cron', 'cron'],
  ['/var/spool/cron/crontabs', 'cron'],
  ['/var/spool/anacron', 'cron'],
  ['/var/spool/at', 'at'],
  ['/var/spool/cron/atjobs', 'at'],
  ['/etc/systemd', 'systemd'],
  ['/etc/udev', 'udev'],
] as const;

/** Of a folder that is mounted: one that holds such files, or holds such folders. */
function doorOfFolder(path: string): string | null {
  const plain = plainPath(path);
  return doorFolders.find(([folder]) => folder === plain)?.[1] ?? doorOfFile(plain) ?? doorOfFile(`${plain}/x`);
}

/** One spelling of a path, as far as its text goes: a path that the kernel reached has it already. */
function plainPath(path: string): string {
  let plain = path.replace(/\/{2,}/g, '/').replace(/(?:\/\.(?=\/|$))+/g, '');
  for (let before = ''; before !== plain;) {
    before = plain;
    plain = plain.replace(/^\/proc\/(?:self|thread-self|\d+)\/root(?=\/)/, '').replace(/\/(?!\.\.\/)[^/]+\/\.\.(?=\/|$)/, '');
  }
  return plain.replace(/^\/\.\.(?=\/)/, '').replace(/^\/var\/run\//, '/run/');
}

/** Through whom, when a socket of this path was connected to; null: none that is known. */
export function doorOfSocket(path: string): string | null {
  const plain = plainPath(path);
  return sockets.find(({ pattern }) => pattern.test(plain))?.through ?? null;
}

/** Through whom, when a file of this path was written or put there. */
export function doorOfFile(path: string): string | null {
  return files.find(({ pattern }) => pattern.test(path))?.through ?? null;
}
