/** `steno nodes` and `steno tokens`: who is there, and how machines get in. */
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { listClusterNodes } from '#schemas/api/inventory/clusters.js';
import { deleteNode, listNodes, listNodesOf, putNode } from '#schemas/api/inventory/nodes.js';
import type { NodeStatus } from '#schemas/api/inventory/nodes.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { createJoinToken, deleteJoinToken, listJoinTokens } from '#schemas/api/inventory/join-tokens.js';
import type { JoinTokenCreated } from '#schemas/api/inventory/join-tokens.js';
import { deleteServiceToken, listServiceTokens } from '#schemas/api/services/services.js';
import { formatDuration, parseDuration } from '#schemas/base/duration.js';
import { requireHostPort } from '#schemas/base/host-port.js';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import { labelKey, labelPattern } from '#schemas/join.js';
import type { TokenKind } from '#schemas/service-join.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { readHostKeys } from '../../client/host-keys.js';
import { addServiceToken, isJoiningKind } from './services.js';

export function parseLabels(value: string, previous: Readonly<Record<string, string>> = {}): Record<string, string> {
  const labels = { ...previous };
  for (const pair of value.split(',')) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new InvalidArgumentError('Give labels as key=value,key=value.');
    const key = pair.slice(0, equals);
    if (!labelKey.safeParse(key).success)
      throw new InvalidArgumentError(`"${key}" is no label: lower-case letters, digits, and . _ / - after the first.`);
    labels[key] = pair.slice(equals + 1);
  }
  return labels;
}

export function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/** A node; `cluster` is null for our own. A node of another cluster is shown as that cluster describes it. */
type Listed = Pick<NodeStatus, 'name' | 'state' | 'labels' | 'last_seen_at' | 'since' | 'tunnel_key'> & {
  readonly cluster: string | null;
  readonly kind: NodeStatus['kind'] | null;
  readonly address: string | null;
};

const states = {
  live: { text: 'live', style: 'green' },
  gone: { text: 'gone', style: 'red' },
  agentless: { text: '-', style: 'dim' },
} as const;

export function nodesCommand(): Command {
  const command = new Command('nodes')
    .enablePositionalOptions()
    .description('list the nodes you may reach, and whether they are there')
    .option('--as <user>', 'list what another user may reach (needs access:read)')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
STATE is live while the node's agent is connected, gone ten seconds after it was cut off, and - for servers without
agent: whether those are there shows when you connect. Nodes of trusted clusters are those that their cluster said you may
reach, as of a minute ago at most.`,
    );
  command.action(async (options: { as?: string; json?: boolean }) => {
    const client = openClient(openHome());
    // Other clusters are asked only about the caller: for anybody else they would have to take this one's word.
    const [own, far] = await Promise.all([
      options.as === undefined
        ? call(client.authority, listNodes, {})
        : call(client.authority, listNodesOf, { params: { name: options.as } }),
      options.as === undefined ? call(client.authority, listClusterNodes, {}) : [],
    ]);
    for (const { cluster, unreachable } of far)
      if (unreachable !== null) standardOutput.err.write(`The nodes of ${cluster} cannot be listed now: ${visible(unreachable)}\n`);
    const nodes: readonly Listed[] = [
      ...own.map((node) => ({ ...node, cluster: null })),
      ...far.flatMap(({ cluster, nodes: theirs }) =>
        theirs.map((node) => ({ ...node, cluster, kind: null, address: null, last_seen_at: null, since: null })),
      ),
    ];
    if (options.json === true) return json(standardOutput, nodes);
    if (nodes.length === 0) {
      standardOutput.err.write(
        options.as === undefined
          ? 'No node that you may reach. Have a machine join with `steno tokens add --type node`, or register a server with `steno nodes add NAME HOST:PORT`.\n'
          : `No node that ${visible(options.as)} may reach.\n`,
      );
      return;
    }
    table<Listed>(standardOutput, nodes, [
      { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
      { title: 'STATE', value: ({ state }) => states[state].text, style: ({ state }) => states[state].style },
      ...(far.length === 0 ? [] : [{ title: 'CLUSTER', value: ({ cluster }: Listed) => cluster ?? '-' }]),
      { title: 'KIND', value: ({ kind }) => kind ?? '-' },
      { title: 'ADDRESS', value: ({ address, tunnel_key }) => (tunnel_key === undefined ? (address ?? '-') : 'tunnel') },
      {
        title: 'LAST SEEN',
        value: ({ state, last_seen_at }) => (state === 'live' ? 'now' : last_seen_at === null ? '-' : moment(last_seen_at)),
      },
      { title: 'LABELS', value: ({ labels }) => labelText(labels) },
    ]);
  });
  addAndRemove(command);
  return command;
}

function addAndRemove(command: Command): void {
  command
    .command('add')
    .description('register an OpenSSH server that trusts the user CA')
    .argument('<name>', 'how users will call it')
    .argument('<host:port>', 'where the gateway reaches it')
    .option('--labels <key=value,...>', 'labels that roles match', parseLabels, {})
    .option(
      '--host-key <file>',
      'accept these host keys (a .pub file or ssh-keyscan output); without it the server must show a host certificate of `steno ca sign-host`',
    )
    .option(
      '--node-principals',
      'its sshd has the AuthorizedPrincipals lines that this command prints: certificates for it then open no other server; --no-node-principals takes that back',
    )
    .addOption(new Option('--no-node-principals').hideHelp())
    .option('--json', 'print JSON')
    .action(
      async (
        name: string,
        address: string,
        options: { labels: Record<string, string>; hostKey?: string; nodePrincipals?: boolean; json?: boolean },
      ) => {
        if (!isName(name)) throw new StenoError('USAGE', `"${name}" is no node name: lower-case letters, digits, dot, dash and underscore`);
        requireHostPort(address);
        const hostKeys = options.hostKey === undefined ? [] : readHostKeys(readFileSync(options.hostKey, 'utf8'));
        if (options.hostKey !== undefined && hostKeys.length === 0) throw new StenoError('USAGE', `no host key in ${options.hostKey}`);
        const node = await call(openClient(openHome()).authority, putNode, {
          params: { name },
          body: {
            name,
            kind: 'openssh',
            address,
            labels: options.labels,
            host_keys: hostKeys,
            ...(options.nodePrincipals === undefined ? {} : { node_principals: options.nodePrincipals }),
          },
        });
        if (options.json === true) return json(standardOutput, node);
        standardOutput.out.write(
          `Node ${name} is registered. Make its sshd trust the user CA:\n  steno ca export user > /etc/ssh/steno_user_ca.pub\n  cat >> /etc/ssh/sshd_config <<'END'\n  TrustedUserCAKeys /etc/ssh/steno_user_ca.pub\n  AuthorizedPrincipalsCommand /bin/echo %u@${name}\n  AuthorizedPrincipalsCommandUser nobody\n  END\n`,
        );
        if (node.node_principals !== true)
          standardOutput.out.write(
            'The last two lines have it take certificates for this node alone. Once they are in force, say so with --node-principals.\n',
          );
      },
    );
  command
    .command('rm')
    .description('forget a node and end its tunnel; sessions recorded on it stay')
    .argument('<name>')
    .action(async (name: string) => {
      await call(openClient(openHome()).authority, deleteNode, { params: { name } });
    });
}

interface TokenOptions {
  readonly type: string;
  readonly ttl: number;
  readonly uses: number;
  readonly labels: Record<string, string>;
  readonly nodeLabels: readonly string[];
  readonly name?: string;
  readonly json?: boolean;
}

export function tokensCommand(): Command {
  const command = new Command('tokens')
    .enablePositionalOptions()
    .description('list the tokens that nodes and services join with, or make one')
    .option('--json', 'print JSON');
  command.action(async (options: { json?: boolean }) => {
    const tokens = await listTokens();
    if (options.json === true) return json(standardOutput, tokens);
    if (tokens.length === 0) {
      standardOutput.err.write('No token counts now. Make one with `steno tokens add --type node`.\n');
      return;
    }
    table<Token>(standardOutput, tokens, [
      { title: 'ID', value: ({ id }) => id, style: () => 'bold' },
      { title: 'FOR', value: ({ type, name }) => (name === null ? type : `${type}/${name}`) },
      { title: 'USES LEFT', value: ({ uses_left }) => String(uses_left), align: 'right' },
      { title: 'UNTIL', value: ({ expires_at }) => moment(expires_at) },
      { title: 'MADE BY', value: ({ created_by }) => created_by },
      { title: 'NODES MAY SET', value: ({ node_labels }) => node_labels.join(',') || '-' },
      { title: 'LABELS', value: ({ labels }) => labelText(labels) },
    ]);
  });
  command
    .command('add')
    .description('make a token, and print the line that a machine joins with')
    .requiredOption('--type <type>', 'what may join with it: node, or a service: gateway, ingest, viewer, analyzer', (type) => {
      if (type !== 'node' && !isJoiningKind(type))
        throw new InvalidArgumentError('There are tokens of type node, gateway, ingest, viewer and analyzer.');
      return type;
    })
    .option('--name <name>', 'of the one service that may join with it; nodes choose theirs')
    .option(
      '--ttl <duration>',
      'how long it counts, such as 10m',
      (text) => {
        const ms = parseDuration(text);
        if (ms === null || ms < 10_000 || ms > 7 * 86_400_000) throw new InvalidArgumentError('Give 10s to 7d, such as 10m.');
        return ms;
      },
      600_000,
    )
    .option(
      '--uses <n>',
      'how many machines may join with it',
      (text) => {
        const uses = Number(text);
        if (!Number.isInteger(uses) || uses < 1 || uses > 10_000) throw new InvalidArgumentError('Give 1 to 10000.');
        return uses;
      },
      1,
    )
    .option('--labels <key=value,...>', 'labels that every such node gets and cannot change', parseLabels, {})
    .option(
      '--node-labels <key,...>',
      'labels that such a node may choose itself: KEY or PREFIX*; those under node/ it may always',
      (text) => {
        const keys = text.split(',');
        for (const key of keys) if (!labelPattern.safeParse(key).success) throw new InvalidArgumentError(`"${key}" is not KEY or PREFIX*.`);
        return keys;
      },
      [],
    )
    .option('--json', 'print JSON, the token in it')
    .addHelpText(
      'after',
      `
The token is shown this once; Steno keeps only its public half. It never leaves the machine that joins: what that sends
is signed with it.`,
    )
    .action(async (options: TokenOptions) => {
      if (isJoiningKind(options.type)) return addServiceToken(options.type, options);
      if (options.name !== undefined) throw new StenoError('USAGE', '--name is for services');
      const created = await call(openClient(openHome()).authority, createJoinToken, {
        body: {
          ttl_ms: options.ttl,
          uses: options.uses,
          labels: options.labels,
          node_labels: options.nodeLabels,
        },
      });
      const line = joinLine(created);
      if (options.json === true) return json(standardOutput, { ...created, command: line });
      const { out, env } = standardOutput;
      out.write(
        `${styled(out, env, 'green', '✓')} Token ${styled(out, env, 'bold', created.id)} lets ${options.uses === 1 ? 'one machine' : `${options.uses} machines`} join within ${formatDuration(options.ttl)}\n`,
      );
      if (Object.keys(options.labels).length > 0) out.write(`  labels       ${visible(labelText(options.labels))}\n`);
      if (created.gateways.length === 0) standardOutput.err.write('No gateway takes tunnels now; put its address in place of HOST:PORT.\n');
      out.write(`\nOn that machine, as root:\n\n  ${line}\n`);
    });
  command
    .command('rm')
    .description('take a token back; what has joined with it stays')
    .argument('<id>')
    .action(async (id: string) => {
      const { authority } = openClient(openHome());
      try {
        await call(authority, deleteJoinToken, { params: { id } });
      } catch (error) {
        if (!isCode(error, 'NOT_FOUND', 'ACCESS_DENIED')) throw error;
        await call(authority, deleteServiceToken, { params: { id } }).catch((second: unknown) => {
          throw isCode(second, 'NOT_FOUND', 'ACCESS_DENIED') ? error : second;
        });
      }
    });
  return command;
}

/** A token as it is listed: of nodes, or of one kind of service. */
interface Token {
  readonly id: string;
  readonly type: 'node' | TokenKind;
  readonly name: string | null;
  readonly uses_left: number;
  readonly created_by: string;
  readonly created_at: number;
  readonly expires_at: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly node_labels: readonly string[];
}

/** Tokens of services are shown to users who administer everything, tokens of nodes to users who may list them. */
async function listTokens(): Promise<readonly Token[]> {
  const { authority } = openClient(openHome());
  const none = (error: unknown): [] => {
    if (isCode(error, 'ACCESS_DENIED')) return [];
    throw error;
  };
  const services = await call(authority, listServiceTokens, {}).catch(none);
  const nodes = await (services.length === 0 ? call(authority, listJoinTokens, {}) : call(authority, listJoinTokens, {}).catch(none));
  return [
    ...nodes.map((token) => ({ ...token, type: 'node' as const, name: null })),
    ...services.map(({ kind, ...token }) => ({ ...token, type: kind, labels: {}, node_labels: [] })),
  ];
}

const isCode = (error: unknown, ...codes: readonly string[]): boolean => error instanceof StenoError && codes.includes(error.code);

/** `echo` is built into shells: the token shows in no list of processes. */
function joinLine({ token, ca_pins: pins, gateways }: JoinTokenCreated): string {
  return `echo ${token} | steno agent --token-file - --gateway ${gateways.length === 0 ? 'HOST:PORT' : gateways.join(',')} --ca-pin ${pins.join(',')}`;
}
