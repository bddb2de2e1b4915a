/** `steno clusters`: other Stenos whose users come here, and to whose nodes ours go. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { exportCluster, listClusters, refreshCluster, trustCluster, untrustCluster } from '#schemas/api/inventory/clusters.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { SignedStatement, TrustedCluster } from '#schemas/documents/cluster.js';
import { MAX_STATEMENT, parseStatement, signedStatement } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import { requireHostPort } from '#schemas/base/host-port.js';
import { isName } from '#schemas/base/identity.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, moment, standardOutput, styled, table } from '../../terminal/output.js';

type RoleMap = Readonly<Record<string, readonly string[]>>;

/** `dev=readonly,dev=staging,ops=admin`: their role, our role; one of theirs may be several of ours. */
function parseRoleMap(value: string, previous: RoleMap = {}): RoleMap {
  const map: Record<string, readonly string[]> = { ...previous };
  for (const pair of value.split(',')) {
    const [remote = '', local = '', ...more] = pair.split('=');
    if (!isName(remote) || !isName(local) || more.length > 0)
      throw new InvalidArgumentError('Give THEIR-ROLE=OUR-ROLE,THEIR-ROLE=OUR-ROLE.');
    map[remote] = [...new Set([...(Object.hasOwn(map, remote) ? map[remote]! : []), local])];
  }
  return map;
}

/** The fingerprint as `ssh-keygen -l` prints it. */
function fingerprint(line: string): string {
  return `SHA256:${createHash('sha256').update(parseAuthorizedLine(line).blob).digest('base64').replace(/=+$/, '')}`;
}

export function clustersCommand(): Command {
  const command = new Command('clusters')
    .description('other Stenos: whose users come in, and to whose nodes ours go')
    .option('--json', 'print JSON');
  command.action(async (options: { json?: boolean }) => {
    const clusters = await call(openClient(openHome()).authority, listClusters, {});
    if (options.json === true) return json(standardOutput, clusters);
    if (clusters.length === 0) {
      standardOutput.err.write(
        'No cluster is trusted. On the other one run `steno clusters export > other.json`, here `steno clusters trust other.json`.\n',
      );
      return;
    }
    table<TrustedCluster>(standardOutput, clusters, [
      { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
      { title: 'THEIR USERS COME IN AS', value: ({ role_map }) => mapText(role_map) },
      {
        title: 'OUR USERS GO THERE',
        value: ({ reach, gateways, name }) => (reach && gateways.length > 0 ? `NODE.${name} by ${gateways.join(', ')}` : 'no'),
      },
      { title: 'KEYS OF', value: ({ issued_at }) => moment(issued_at) },
      { title: 'KEPT FRESH FROM', value: ({ updates }) => updates ?? '-' },
    ]);
  });
  command
    .command('export')
    .description('print what another cluster needs to trust this one: public keys and addresses, signed')
    .option('--gateway <host:port,...>', 'where their gateways reach ours; default is the gateway of this login', (value: string) =>
      value.split(','),
    )
    .option('--updates <url>', 'where they fetch new keys: the viewer of this cluster as they reach it, and /cluster')
    .action(async (options: { gateway?: string[]; updates?: string }) => {
      const client = openClient(openHome());
      const gateways = options.gateway ?? [client.profile.ssh];
      for (const gateway of gateways) requireHostPort(gateway);
      const signed = await call(client.authority, exportCluster, {
        body: {
          gateways,
          updates: options.updates ?? null,
        },
      });
      standardOutput.out.write(`${JSON.stringify(signed, null, 2)}\n`);
      const { name, ssh_user_ca: keys } = statementOf(signed);
      standardOutput.err.write(
        `Cluster ${name}. Tell the other administrator the fingerprint by another way than the file:\n${keys.map((key) => `  ${fingerprint(key)}\n`).join('')}`,
      );
    });
  command
    .command('trust')
    .description('trust another cluster, or change what its users may do here')
    .argument('<file>', 'what `steno clusters export` printed there; - for standard input')
    .requiredOption('--fingerprint <SHA256:…>', 'of a user CA key, as the other administrator told it')
    .option('--map <their-role=our-role,...>', 'their users come in, with these roles; without it they do not', parseRoleMap, {})
    .option('--no-reach', 'our users do not go to its nodes')
    .option('--json', 'print JSON')
    .action(async (file: string, options: { fingerprint: string; map: RoleMap; reach: boolean; json?: boolean }) => {
      const signed = readStatement(file);
      const { name, ssh_user_ca: keys } = statementOf(signed);
      if (!keys.map(fingerprint).includes(options.fingerprint)) {
        throw new StenoError(
          'CLUSTER_UNTRUSTED',
          `the file names ${keys.map(fingerprint).join(', ')}, not ${options.fingerprint.slice(0, 80)}`,
        );
      }
      const cluster = await call(openClient(openHome()).authority, trustCluster, {
        params: { name },
        body: {
          signed,
          role_map: options.map,
          reach: options.reach,
        },
      });
      if (options.json === true) return json(standardOutput, cluster);
      const { out, env } = standardOutput;
      out.write(
        `${styled(out, env, 'green', '✓')} cluster ${styled(out, env, 'bold', name)} is trusted\n  its users come in as   ${mapText(cluster.role_map)}\n`,
      );
      out.write(`  our users go there     ${cluster.reach && cluster.gateways.length > 0 ? `ssh LOGIN@NODE.${name}.steno` : 'no'}\n`);
    });
  command
    .command('refresh')
    .description('fetch the newest keys of a cluster now; it is done every minute anyway')
    .argument('<name>')
    .action(async (name: string) => {
      const { changed } = await call(openClient(openHome()).authority, refreshCluster, { params: { name } });
      standardOutput.out.write(changed ? `New keys of ${name} are trusted.\n` : `Nothing is new of ${name}.\n`);
    });
  command
    .command('untrust')
    .description('end the trust; connections of both ways end at once')
    .argument('<name>')
    .action(async (name: string) => {
      await call(openClient(openHome()).authority, untrustCluster, { params: { name } });
      standardOutput.out.write(`Cluster ${name} is not trusted any more.\n`);
    });
  return command;
}

function mapText(map: RoleMap): string {
  return (
    Object.entries(map)
      .map(([remote, local]) => `${remote} → ${local.join(', ')}`)
      .join('; ') || 'they do not'
  );
}

function readStatement(file: string): SignedStatement {
  const text = readFileSync(file === '-' ? 0 : file, 'utf8');
  if (text.length > MAX_STATEMENT * 3) throw new StenoError('TOO_LARGE', `${file} is no statement`);
  try {
    return signedStatement.parse(JSON.parse(text));
  } catch (cause) {
    throw new StenoError('BAD_REQUEST', `${file} is not what \`steno clusters export\` prints`, { cause });
  }
}

function statementOf({ statement }: SignedStatement): NonNullable<ReturnType<typeof parseStatement>> {
  const parsed = parseStatement(statement);
  if (parsed === null) throw new StenoError('BAD_REQUEST', 'the statement cannot be read; is one of the two Stenos older?');
  return parsed;
}
