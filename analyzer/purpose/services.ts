/** Recognizes services named in reasons, and the service that a command changes. Tested in detector.test.ts. */

/** Names of one service; findings use the first. */
const families: readonly (readonly string[])[] = [
  ['apache', 'apache2', 'httpd'],
  ['bind', 'bind9', 'named'],
  ['containerd'],
  ['cron', 'crond'],
  ['docker', 'dockerd'],
  ['elasticsearch', 'opensearch'],
  ['etcd'],
  ['grafana', 'grafana-server'],
  ['haproxy'],
  ['jenkins'],
  ['kafka'],
  ['keycloak'],
  ['kubelet'],
  ['memcached'],
  ['mongodb', 'mongo', 'mongod'],
  ['mysql', 'mysqld', 'mariadb'],
  ['nginx'],
  ['php-fpm'],
  ['postfix'],
  ['postgresql', 'postgres', 'pg'],
  ['prometheus'],
  ['rabbitmq', 'rabbitmq-server'],
  ['redis', 'redis-server'],
  ['squid'],
  ['ssh', 'sshd'],
  ['tomcat'],
  ['vault'],
  ['zookeeper'],
];
const familyOf = new Map(families.flatMap((names) => names.map((name) => [name, names[0]!] as const)));
const acts = new Set([
  'start',
  'stop',
  'restart',
  'try-restart',
  'reload',
  'reload-or-restart',
  'enable',
  'disable',
  'mask',
  'unmask',
  'kill',
]);

/** The services named by these words, each by the first of its names. */
export function servicesIn(words: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...words].flatMap((word) => familyOf.get(word) ?? []));
}

/** The unit that `systemctl` or `service` is told to start, stop or change, without its suffix and instance; null: none. */
export function unitOf(program: string, argv: readonly string[]): string | null {
  const words = argv.slice(1).filter((word) => !word.startsWith('-'));
  const [first, second] = words;
  const unit =
    program === 'systemctl' && acts.has(first ?? '')
      ? second
      : (program === 'service' || program === 'rc-service') && acts.has(second ?? '')
        ? first
        : undefined;
  if (unit === undefined || unit.length > 255) return null;
  const name = unit
    .toLowerCase()
    .replace(/\.(service|socket|timer|target)$/, '')
    .replace(/@.*$/, '');
  return name === '' ? null : name;
}

/** Whether a unit belongs to none of these services: `php8.2-fpm` belongs to `php-fpm`, `postgresql-15` to `postgresql`. */
export function isOtherService(unit: string, services: ReadonlySet<string>): boolean {
  const plain = unit.replace(/[\d.]+/g, '').replace(/-+$/, '');
  return [unit, plain].every((name) => !services.has(familyOf.get(name) ?? name));
}
