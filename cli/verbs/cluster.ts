/** `steno nodes`: what the authority knows of them. */
import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { StenoError } from '#schemas/errors.js';
import { isName } from '#schemas/identity.js';
import type { NodeRecord } from '#schemas/role.js';
import { openClient } from '../client.js';
import { openHome, splitAddress } from '../home.js';
import { json, moment, standardOutput, table } from '../output.js';

function parseLabels(value: string, previous: Readonly<Record<string, string>> = {}): Record<string, string> {
  const labels = { ...previous };
  for (const pair of value.split(',')) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new InvalidArgumentError('Give labels as key=value,key=value.');
    labels[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  return labels;
}

export function nodesCommand(): Command {
  const command = new Command('nodes').description('list nodes, or register OpenSSH servers').option('--json', 'print JSON');
  command.action(async (options: { json?: boolean }) => {
    const nodes = await openClient(openHome()).authority<NodeRecord[]>('GET', '/v1/nodes');
    if (options.json === true) return json(standardOutput, nodes);
    if (nodes.length === 0) {
      standardOutput.err.write('No nodes yet. Register one with `steno nodes add NAME HOST:PORT`.\n');
      return;
    }
    table<NodeRecord>(standardOutput, nodes, [
      { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
      { title: 'KIND', value: ({ kind }) => kind },
      { title: 'ADDRESS', value: ({ address }) => address },
      { title: 'LAST SEEN', value: ({ last_seen_at }) => (last_seen_at === null ? '-' : moment(last_seen_at)) },
      { title: 'LABELS', value: ({ labels }) => Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(',') },
    ]);
  });
  command
    .command('add')
    .description('register an OpenSSH server that trusts the user CA')
    .argument('<name>', 'how users will call it')
    .argument('<host:port>', 'where the gateway reaches it')
    .option('--labels <key=value,...>', 'labels that roles match', parseLabels, {})
    .option('--host-key <file>', 'accept these host keys (a .pub file or ssh-keyscan output); without it the server must show a host certificate of `steno ca sign-host`')
    .option('--json', 'print JSON')
    .action(async (name: string, address: string, options: { labels: Record<string, string>; hostKey?: string; json?: boolean }) => {
      if (!isName(name)) throw new StenoError('USAGE', `"${name}" is no node name: lower-case letters, digits, dot, dash and underscore`);
      splitAddress(address);
      const hostKeys = options.hostKey === undefined ? [] : readHostKeys(readFileSync(options.hostKey, 'utf8'));
      if (options.hostKey !== undefined && hostKeys.length === 0) throw new StenoError('USAGE', `no host key in ${options.hostKey}`);
      const node = await openClient(openHome()).authority<NodeRecord>('PUT', `/v1/nodes/${name}`, { name, kind: 'openssh', address, labels: options.labels, host_keys: hostKeys });
      if (options.json === true) return json(standardOutput, node);
      standardOutput.out.write(`Node ${name} is registered. Make its sshd trust the user CA:\n  steno ca export user > /etc/ssh/steno_user_ca.pub\n  echo "TrustedUserCAKeys /etc/ssh/steno_user_ca.pub" >> /etc/ssh/sshd_config\n`);
    });
  command
    .command('rm')
    .description('forget a node; sessions recorded on it stay')
    .argument('<name>')
    .action(async (name: string) => {
      await openClient(openHome()).authority('DELETE', `/v1/nodes/${encodeURIComponent(name)}`);
    });
  return command;
}

/** Lines of a .pub file (`type base64 comment`) or of ssh-keyscan (`host type base64`), as `type base64`. */
export function readHostKeys(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .flatMap((line) => {
      const match = /(?:^|\s)((?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+)\s+([A-Za-z0-9+/]+={0,2})/.exec(line);
      return match === null ? [] : [`${match[1]} ${match[2]}`];
    });
}
