/**
 * Kubeconfigs: read one for `steno kube add`, and write contexts of Steno into the user's own.
 *
 * Reading takes only what a gateway can use by itself, a token or a client certificate, and names what it cannot: plugins that
 * run a program, passwords, impersonation, skipped verification. Writing goes through the document, so that comments, order and
 * everything of other contexts stay; the file is replaced as a whole, under the lock that kubectl takes. Tested in
 * kubeconfig.test.ts.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { YAMLMap, YAMLSeq, isMap, isSeq, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { StenoError } from '#schemas/base/errors.js';
import { directUpstream } from '#schemas/kube/kube-cluster.js';
import type { DirectUpstream } from '#schemas/kube/kube-cluster.js';
import { writeWhole } from './home.js';

const MAX_BYTES = 4 << 20;

type Fields = Readonly<Record<string, unknown>>;

/** `context`: the current one when undefined. Files that it names are read beside it. Throws KUBECONFIG_REFUSED. */
export function upstreamOf(file: string, context?: string): DirectUpstream {
  const config = fieldsOf(documentOf(file, readConfigFile(file)).toJS({ maxAliasCount: 0 }));
  const name = context ?? textOf(config['current-context']);
  if (name === undefined || name === '') throw refused('it has no current context; name one with --context');
  const chosen = named(config, 'contexts', 'context', name);
  const cluster = named(config, 'clusters', 'cluster', textOf(chosen['cluster']) ?? '');
  const user = named(config, 'users', 'user', textOf(chosen['user']) ?? '');
  for (const [key, why] of [
    ['exec', 'runs a program for its credential, which a gateway cannot; make a token or a client certificate for it'],
    ['auth-provider', 'has an auth-provider, which is obsolete'],
    ['username', 'has a password'],
    ['password', 'has a password'],
    ['as', 'impersonates somebody: Steno does that itself'],
    ['as-uid', 'impersonates somebody: Steno does that itself'],
    ['as-groups', 'impersonates somebody: Steno does that itself'],
    ['as-user-extra', 'impersonates somebody: Steno does that itself'],
  ] as const)
    if (user[key] !== undefined && user[key] !== null) throw refused(`its user ${why}`);
  if (cluster['insecure-skip-tls-verify'] === true) throw refused('it does not verify the API server');
  if (cluster['proxy-url'] !== undefined) throw refused('it goes through a proxy');
  const beside = (text: string): string => (isAbsolute(text) ? text : resolve(dirname(file), text));
  const content = (fields: Fields, key: string): string | undefined => {
    const data = textOf(fields[`${key}-data`]);
    if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
    const path = textOf(fields[key]);
    return path === undefined ? undefined : readConfigFile(beside(path));
  };
  const tokenFile = textOf(user['tokenFile']);
  const token = tokenFile === undefined ? textOf(user['token']) : readConfigFile(beside(tokenFile)).trim();
  const [certificate, key] = [content(user, 'client-certificate'), content(user, 'client-key')];
  const parsed = directUpstream.safeParse({
    url: textOf(cluster['server']),
    ...(cluster['tls-server-name'] === undefined ? {} : { server_name: cluster['tls-server-name'] }),
    ...optional('ca', content(cluster, 'certificate-authority')),
    credential: token !== undefined ? { kind: 'token', token } : { kind: 'certificate', certificate, key },
  });
  if (parsed.success) return parsed.data;
  if (token === undefined && (certificate === undefined || key === undefined))
    throw refused('its user has neither a token nor a client certificate with its key');
  // Never the value: it may be the secret.
  throw refused(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)[0]!);
}

/** Versions of `client.authentication.k8s.io` in which kubectl asks a program for a credential. v1beta1: kubectl before 1.22. */
export const execApis = ['v1', 'v1beta1'] as const;
export type ExecApi = (typeof execApis)[number];

export interface StenoContext {
  /** Name of the cluster, user and context. */
  readonly name: string;
  readonly server: string;
  readonly serverName: string;
  /** PEM. */
  readonly ca: string;
  readonly exec: {
    readonly api: ExecApi;
    readonly command: string;
    readonly args: readonly string[];
    readonly env: Readonly<Record<string, string>>;
  };
}

/** The file that kubectl writes to. */
export function kubeconfigPath(env: NodeJS.ProcessEnv): string {
  const listed = (env['KUBECONFIG'] ?? '').split(':').filter((path) => path !== '');
  return listed.find((path) => existsSync(path)) ?? listed.at(-1) ?? join(env['HOME'] ?? homedir(), '.kube', 'config');
}

/** Adds the context, or replaces the one of its name, and makes it the current one. Answers which was. */
export function writeContext(file: string, context: StenoContext): string | undefined {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const target = existsSync(file) ? realpathSync(file) : file;
  const lock = `${target}.lock`;
  try {
    closeSync(openSync(lock, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw refused(`${lock} exists: another program is writing it, or was killed meanwhile`);
    throw error;
  }
  try {
    const { text, before } = withContext(existsSync(target) ? readConfigFile(target) : '', context, target);
    writeWhole(target, text, 0o600);
    return before;
  } finally {
    rmSync(lock, { force: true });
  }
}

/** The text of a kubeconfig with the context in it. */
export function withContext(
  text: string,
  { name, server, serverName, ca, exec }: StenoContext,
  file = 'kubeconfig',
): { readonly text: string; readonly before: string | undefined } {
  const document = documentOf(file, text.trim() === '' ? 'apiVersion: v1\nkind: Config\n' : text);
  if (!isMap(document.contents)) throw refused(`${file} is no mapping`);
  const before = document.get('current-context');
  put(document, 'clusters', name, {
    cluster: { server, 'tls-server-name': serverName, 'certificate-authority-data': Buffer.from(ca).toString('base64') },
  });
  put(document, 'users', name, {
    user: {
      exec: {
        apiVersion: `client.authentication.k8s.io/${exec.api}`,
        command: exec.command,
        args: [...exec.args],
        env: Object.entries(exec.env).map(([key, value]) => ({ name: key, value })),
        interactiveMode: 'Never',
        provideClusterInfo: false,
      },
    },
  });
  put(document, 'contexts', name, { context: { cluster: name, user: name } });
  document.set('current-context', name);
  return { text: document.toString({ lineWidth: 0 }), before: typeof before === 'string' && before !== '' ? before : undefined };
}

function put(document: Document, list: string, name: string, value: object): void {
  const known = document.get(list);
  const items = isSeq(known) ? known : new YAMLSeq();
  if (!isSeq(known)) document.set(list, items);
  const at = items.items.findIndex((item) => isMap(item) && item.get('name') === name);
  const entry = document.createNode({ name, ...value }) as YAMLMap;
  if (at < 0) items.add(entry);
  else items.items[at] = entry;
}

function documentOf(file: string, text: string): Document {
  const document = parseDocument(text, { uniqueKeys: true });
  const [problem] = document.errors;
  if (problem !== undefined) throw refused(`${file} is no YAML (line ${problem.linePos?.[0].line ?? '?'})`);
  return document as Document;
}

function readConfigFile(path: string): string {
  try {
    const text = readFileSync(path, 'utf8');
    if (text.length <= MAX_BYTES) return text;
  } catch (error) {
    throw refused(`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`);
  }
  throw refused(`${path} is too large`);
}

function named(config: Fields, list: string, field: string, name: string): Fields {
  const items = Array.isArray(config[list]) ? (config[list] as readonly unknown[]).map(fieldsOf) : [];
  const found = items.find((item) => item['name'] === name);
  if (found === undefined) throw refused(`it has no ${field} ${JSON.stringify(name)}`);
  return fieldsOf(found[field]);
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function optional(key: string, value: string | undefined): Readonly<Record<string, string>> {
  return value === undefined ? {} : { [key]: value };
}

function refused(detail: string): StenoError {
  return new StenoError('KUBECONFIG_REFUSED', detail);
}
