/** Labels that a node reports about itself: from commands, and from metadata services that speak each cloud's protocol. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { cloudLabels } from '../../agent/node/cloud.js';
import type { Cloud } from '../../agent/node/cloud.js';
import { Labels, parseLabelCommand, printableLine } from '../../agent/node/labels.js';
import { silent } from '../../authority/testing/authority.js';

const servers: Server[] = [];
afterEach(() =>
  servers.splice(0).forEach((server) => {
    server.closeAllConnections();
    server.close();
  }),
);

async function serve(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const tags: Readonly<Record<string, string>> = { Name: 'web one', env: 'prod', 'Team/Owner': 'données\u0000x' };
/** AWS IMDSv2: PUT with a lifetime returns a token, GET needs the token; any other request gets 401. */
const aws = (request: IncomingMessage, response: ServerResponse): void => {
  const { url = '', method, headers } = request;
  if (method === 'PUT' && url === '/latest/api/token') {
    if (headers['x-aws-ec2-metadata-token-ttl-seconds'] === undefined || headers['x-forwarded-for'] !== undefined)
      return void response.writeHead(400).end();
    return void response.end('TOKEN==');
  }
  if (headers['x-aws-ec2-metadata-token'] !== 'TOKEN==') return void response.writeHead(401).end();
  const base = '/latest/meta-data/tags/instance/';
  if (url === base) return void response.end(Object.keys(tags).join('\n'));
  const value = tags[decodeURIComponent(url.slice(base.length))];
  return void (value === undefined ? response.writeHead(404).end() : response.end(value));
};
const gcp = (request: IncomingMessage, response: ServerResponse): void => {
  if (
    request.headers['metadata-flavor'] !== 'Google' ||
    !request.url!.startsWith('/computeMetadata/v1/instance/attributes/?recursive=true')
  )
    return void response.writeHead(403).end();
  response.writeHead(200, { 'metadata-flavor': 'Google' }).end(JSON.stringify({ env: 'prod', 'ssh-keys': 'x'.repeat(300) }));
};
const azure = (request: IncomingMessage, response: ServerResponse): void => {
  if (request.headers['metadata'] !== 'true' || !request.url!.startsWith('/metadata/instance/compute/tagsList?api-version='))
    return void response.writeHead(400).end();
  response.end(JSON.stringify([{ name: 'env', value: 'prod' }, { name: 7 }]));
};

describe('labels of the cloud', () => {
  it('aws: tags by IMDSv2, made valid as labels', async () => {
    expect(await cloudLabels('aws', await serve(aws))).toEqual({
      'node/cloud': 'aws',
      'node/tag/name': 'web one',
      'node/tag/env': 'prod',
      'node/tag/team/owner': 'donnéesx',
    });
  });
  it('gcp: attributes, except those too long for a label', async () => {
    expect(await cloudLabels('gcp', await serve(gcp))).toEqual({ 'node/cloud': 'gcp', 'node/tag/env': 'prod' });
  });
  it('azure: the list of tags', async () => {
    expect(await cloudLabels('azure', await serve(azure))).toEqual({ 'node/cloud': 'azure', 'node/tag/env': 'prod' });
  });

  const elsewhere = 'http://127.0.0.1:9/';
  const bad: readonly [string, Cloud, (request: IncomingMessage, response: ServerResponse) => void][] = [
    ['a redirect is not followed', 'aws', (_, response) => void response.writeHead(302, { location: elsewhere }).end()],
    [
      'a service that knows only IMDSv1',
      'aws',
      (request, response) => void (request.method === 'PUT' ? response.writeHead(405).end() : response.end('env')),
    ],
    ['a token with a line break', 'aws', (_, response) => void response.end('TOKEN\r\nX: y')],
    ['an answer without the flavour of Google', 'gcp', (_, response) => void response.end('{"env":"prod"}')],
    [
      'an endless answer',
      'azure',
      (_, response) => {
        response.writeHead(200);
        const more = (): void => {
          while (response.writable && response.write(' '.repeat(65_536)));
        };
        response.on('drain', more).on('error', () => undefined);
        more();
      },
    ],
    ['an answer that is not JSON', 'azure', (_, response) => void response.end('<html>')],
    ['silence', 'gcp', () => undefined],
  ];
  for (const [what, cloud, handler] of bad) {
    it(`gives none for ${what}`, async () => {
      expect(await cloudLabels(cloud, await serve(handler))).toBe(null);
    });
  }
});

describe('labels of commands', () => {
  it('are the first line of the output, are refreshed, and vanish when the command fails', async () => {
    const changes: Readonly<Record<string, string>>[] = [];
    const labels: Labels = new Labels(
      {
        fixed: { 'node/a': 'fixed' },
        commands: ['node/a=echo other', 'node/b=1m:printf one\\ntwo', 'node/c=false', 'node/d=no-such-program'].map(parseLabelCommand),
        cloud: async () => ({ 'node/b': 'cloud', 'node/e': 'cloud' }),
      },
      { log: silent, onChange: () => changes.push(labels.current()) },
    );
    await labels.start();
    expect(labels.current()).toEqual({ 'node/a': 'fixed', 'node/b': 'one', 'node/e': 'cloud' });
    expect(changes.at(-1)).toEqual(labels.current());
    labels.close();
  });

  it.each([['a b=x'], ['node/x'], ['=date'], ['node/x='], ['node/x=1s:date'], ['Node=date']])('%s is refused', (text) => {
    expect(() => parseLabelCommand(text)).toThrow(/is not KEY|at least/);
  });

  it('hold no control characters and no more than 255 bytes, cut between characters', () => {
    expect(printableLine('a\u001b[31mb\u202e\nc')).toBe('a[31mb');
    expect(Buffer.byteLength(printableLine('é'.repeat(300)))).toBe(254);
  });
});
