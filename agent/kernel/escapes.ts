/**
 * Ways out of the tree of processes: whoever is asked to run something later, or elsewhere, has another parent, and what
 * it runs then is not the session's. The asking is seen, and said to be what it is.
 *
 * An aid, not a boundary: it knows the usual doors, by their places. Tested in escapes.test.ts and, with the real
 * services, in test/kernel/.
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

/** Files that others run later. */
const files: readonly Door[] = [
  { through: 'cron', pattern: /^\/(etc\/(crontab|anacrontab|cron\.[a-z]+\/.+)|var\/spool\/(cron|anacron)\/(?!atjobs|atspool).+)$/ },
  { through: 'at', pattern: /^\/var\/spool\/(at|atjobs|cron\/atjobs|cron\/atspool)\/.+$/ },
  {
    through: 'systemd',
    pattern: /^\/(etc|run|usr\/lib|lib|usr\/local\/lib)\/systemd\/(system|user)\/.+|^\/(home\/[^/]+|root)\/\.config\/systemd\/user\/.+$/,
  },
  { through: 'init', pattern: /^\/etc\/(init\.d\/.+|rc\.local|rc\d\.d\/.+|inittab)$/ },
  { through: 'udev', pattern: /^\/(etc|run|usr\/lib|lib)\/udev\/rules\.d\/.+$/ },
];

/** Through whom, when a socket of this path was connected to; null: none that is known. */
export function doorOfSocket(path: string): string | null {
  const place = path.replace(/^\/var\/run\//, '/run/');
  return sockets.find(({ pattern }) => pattern.test(place))?.through ?? null;
}

/** Through whom, when a file of this path was written or put there. */
export function doorOfFile(path: string): string | null {
  return files.find(({ pattern }) => pattern.test(path))?.through ?? null;
}
