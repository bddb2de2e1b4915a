/**
 * Escapes from the process tree: a service asked to run something later, or elsewhere, runs it outside the session. The
 * request itself is seen, and is marked as an escape.
 *
 * A connection is judged by the listening process and the socket's path according to the kernel, whatever path was
 * requested; a target process by whether it belongs to the session. Only successful operations count: a login that tries a
 * missing bus is no escape. Targets inside the session never count: a program may be the server of its own children.
 *
 * An aid, not a security boundary: it knows the usual routes. Tested in escapes.test.ts and, with real services, in
 * ../probes/evasion.test.ts.
 */
interface EscapeRoute {
  readonly through: string;
  readonly pattern: RegExp;
}

/** Sockets of services that start programs for others. */
const sockets: readonly EscapeRoute[] = [
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

/** By the name of the listening process, wherever its socket is. systemd is not listed: it listens on behalf of others. */
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

/** Local ports of services that start programs for others. */
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

/** Files that other processes run later. */
const files: readonly EscapeRoute[] = [
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

/**
 * The parts of an event that decide whether it is an escape: the columns of its row, and the kernel's information on the
 * other side from `data`.
 */
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

/** Whether a process, given its number, belongs to the session. */
export type InSession = (pid: number) => boolean;

/** The service through which the event escapes; null if none is known. */
export function routeOf(act: Act, inSession: InSession): string | null {
  if (act.outcome !== 'success' && act.outcome !== 'submitted' && act.outcome !== 'in_progress') return null;
  switch (act.kind) {
    case 'connect':
      return act.name === 'unix' ? routeOfConnection(act) : routeOfAddress(act);
    case 'file':
      return routeOfFileAct(act, inSession);
    case 'system':
      return routeOfSystemAct(act);
    default:
      return null;
  }
}

function routeOfConnection({ path = '', data }: Act): string | null {
  if (data['peer_in_session'] === true) return null;
  const asked = data['asked'];
  const found = routeOfSocket(path) ?? (typeof asked === 'string' ? routeOfSocket(asked) : null);
  return found ?? servers.get(String(data['peer_name'])) ?? null;
}

/** Connections to this machine itself: from an address to itself, or to one that leads nowhere else. */
function routeOfAddress({ address = '', port, data }: Act): string | null {
  const own = address === '::1' || address.startsWith('127.') || (address !== '' && data['local_address'] === address);
  return own && port !== undefined ? (ports.get(port) ?? null) : null;
}

function routeOfFileAct({ name, path = '', reason = '', data }: Act, inSession: InSession): string | null {
  if (name === 'open' && !/write|create/.test(reason)) return null;
  if (name === 'digest' || name === 'execute') return null;
  const memory = /(?:^|\/)proc\/(\d+)\/(?:task\/\d+\/)?mem$/.exec(path);
  if (memory !== null) return inSession(Number(memory[1])) ? null : 'memory of another process';
  const places = [path, ...(typeof data['from'] === 'string' ? [data['from']] : [])];
  for (const place of places) {
    const route = routeOfFile(place);
    if (route !== null) return route;
  }
  // A folder or link put in place of one that other processes read.
  if (name !== 'rename' && name !== 'exchange' && name !== 'symlink' && name !== 'link') return null;
  for (const place of places) {
    const route = routeOfFile(`${place}/x`);
    if (route !== null) return route;
  }
  return null;
}

const MS_BIND = 4096;
const OPEN_TREE_CLONE = 1;
/** ptrace operations that seize or modify a process. */
const holds: ReadonlySet<string> = new Set(['attach', 'seize', 'poketext', 'pokedata', 'pokeuser', 'setregs', 'setregset']);

function routeOfSystemAct({ name, path = '', reason = '', data }: Act): string | null {
  const flags = typeof data['flags'] === 'number' ? data['flags'] : 0;
  switch (name) {
    case 'ptrace':
      return data['target_in_session'] === false && holds.has(reason.split(',')[0]!) ? 'ptrace' : null;
    case 'process_vm_writev':
      return data['target_in_session'] === false ? 'memory of another process' : null;
    // The same folder under another path, or another folder in its place.
    case 'mount':
      return routeOfFolder(path) ?? ((flags & MS_BIND) !== 0 && typeof data['source'] === 'string' ? routeOfFolder(data['source']) : null);
    case 'open_tree':
      return (flags & OPEN_TREE_CLONE) !== 0 ? routeOfFolder(path) : null;
    case 'move_mount':
      return routeOfFolder(path);
    default:
      return null;
  }
}

const routeFolders = [
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

/** For a mounted folder: one that holds such files or folders. */
function routeOfFolder(path: string): string | null {
  const plain = plainPath(path);
  return routeFolders.find(([folder]) => folder === plain)?.[1] ?? routeOfFile(plain) ?? routeOfFile(`${plain}/x`);
}

/** Normalizes a path textually; paths resolved by the kernel are normalized already. */
function plainPath(path: string): string {
  let plain = path.replace(/\/{2,}/g, '/').replace(/(?:\/\.(?=\/|$))+/g, '');
  for (let before = ''; before !== plain;) {
    before = plain;
    plain = plain.replace(/^\/proc\/(?:self|thread-self|\d+)\/root(?=\/)/, '').replace(/\/(?!\.\.\/)[^/]+\/\.\.(?=\/|$)/, '');
  }
  return plain.replace(/^\/\.\.(?=\/)/, '').replace(/^\/var\/run\//, '/run/');
}

/** The service reached by connecting to a socket at this path; null if none is known. */
export function routeOfSocket(path: string): string | null {
  const plain = plainPath(path);
  return sockets.find(({ pattern }) => pattern.test(plain))?.through ?? null;
}

/** The service that runs a file written to, or put at, this path. */
export function routeOfFile(path: string): string | null {
  return files.find(({ pattern }) => pattern.test(path))?.through ?? null;
}
