/** `steno services`, and tokens that services join with. */
import { Command } from 'commander';
import { call } from '#schemas/endpoint/endpoint.js';
import { createServiceToken, listServices, removeService } from '#schemas/api/services/services.js';
import type { JoinedServiceInfo } from '#schemas/api/services/services.js';
import { formatDuration } from '#schemas/base/duration.js';
import { StenoError } from '#schemas/base/errors.js';
import { joiningKinds, tokenKinds } from '#schemas/service-join.js';
import type { JoiningKind, TokenKind } from '#schemas/service-join.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, moment, standardOutput, styled, table } from '../../terminal/output.js';

export function isJoiningKind(text: string): text is JoiningKind {
  return joiningKinds.some((kind) => kind === text);
}

function isTokenKind(text: string): text is TokenKind {
  return tokenKinds.some((kind) => kind === text);
}

export interface ServiceTokenOptions {
  readonly name?: string;
  readonly ttl: number;
  readonly uses: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeLabels: readonly string[];
  readonly json?: boolean;
}

export async function addServiceToken(kind: JoiningKind, options: ServiceTokenOptions): Promise<void> {
  if (Object.keys(options.labels).length > 0 || options.nodeLabels.length > 0) throw new StenoError('USAGE', 'labels are for nodes');
  const created = await call(openClient(openHome()).authority, createServiceToken, {
    body: { kind, name: options.name ?? null, ttl_ms: options.ttl, uses: options.uses },
  });
  if (options.json === true) {
    json(standardOutput, created);
    return;
  }
  const { out, env } = standardOutput;
  out.write(`${styled(out, env, 'green', '✓')} Token ${styled(out, env, 'bold', created.id)} lets `);
  out.write(`${kind}${options.name === undefined ? '' : `/${options.name}`} join within ${formatDuration(options.ttl)}\n\n`);
  out.write(`In a file that only the service reads:\n\n  ${created.token}\n\nIn its configuration:\n\n`);
  out.write(
    `  join:\n    token_file: /etc/steno/${kind}.token\n    ca_pins:\n${created.ca_pins.map((pin) => `      - ${pin}\n`).join('')}`,
  );
}

export function servicesCommand(): Command {
  const command = new Command('services')
    .enablePositionalOptions()
    .description('list the services that joined, or remove one')
    .option('--json', 'print JSON');
  command.action(async (options: { json?: boolean }) => {
    const services = await call(openClient(openHome()).authority, listServices, {});
    if (options.json === true) return json(standardOutput, services);
    table<JoinedServiceInfo>(standardOutput, services, [
      { title: 'SERVICE', value: ({ kind, name }) => `${kind}/${name}`, style: () => 'bold' },
      { title: 'JOINED', value: ({ joined_at }) => moment(joined_at) },
      { title: 'REMOVED', value: ({ removed_at }) => (removed_at === null ? '-' : moment(removed_at)) },
    ]);
  });
  command
    .command('rm')
    .description('remove a service: its connections and sessions end at once')
    .argument('<kind/name>')
    .action(async (service: string) => {
      const [kind = '', name = '', more] = service.split('/');
      if (!isTokenKind(kind) || name === '' || more !== undefined)
        throw new StenoError('USAGE', 'Give it as KIND/NAME, such as gateway/edge-1.');
      await call(openClient(openHome()).authority, removeService, { params: { kind, name } });
    });
  return command;
}
