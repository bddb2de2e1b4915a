/** Answers without the values that a role marks: what the API server is asked, what is refused and what is passed on. */
import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { kubeRole, openKubeWorld } from '../testing/kube-world.js';
import type { KubeWorld, Pair } from '../testing/kube-world.js';

let world: KubeWorld;
let ann: Pair;
beforeAll(async () => {
  world = await openKubeWorld();
  ann = await world.user({ roles: ['dev', 'careful'] });
});
afterAll(() => world.close());
const dev = kubeRole('dev', [{ groups: ['devs'] }], { recording: { bodies: 'writes' } });
const careful = kubeRole('careful', [], { deny: { kubernetes_values: ['secrets', 'vaults.example.com'] } });
beforeEach(() => {
  world.renew();
  world.snapshot = { ...world.snapshot, roles: [dev, careful] };
  world.changed();
});

const SECRETS = '/east/api/v1/namespaces/shop/secrets';
const secret = { kind: 'Secret', apiVersion: 'v1', metadata: { name: 'db' }, data: { password: 'aHVudGVyMg==' } };
const answering = (body: unknown, type = 'application/json', status = 200): void => {
  world.answer = (_, response) =>
    response.writeHead(status, { 'content-type': type }).end(typeof body === 'string' ? body : JSON.stringify(body));
};
const passwordOf = (body: string): unknown => (JSON.parse(body) as typeof secret).data.password;
const HIDDEN = 'W3JlZGFjdGVkXQ==';

it.each([
  ['a get', 'GET', `${SECRETS}/db`, undefined],
  ['a creation', 'POST', SECRETS, 'application/json'],
  ['a merge patch', 'PATCH', `${SECRETS}/db`, 'application/merge-patch+json'],
  ['an apply', 'PATCH', `${SECRETS}/db?fieldManager=x`, 'application/apply-patch+yaml'],
  ['a deletion', 'DELETE', `${SECRETS}/db`, undefined],
  ['a marked resource of another group', 'GET', '/east/apis/example.com/v1/namespaces/shop/vaults/db/status', undefined],
])('%s is answered with keys alone, by any role of the user that says so', async (_claim, method, path, type) => {
  answering(secret, 'application/json', method === 'POST' ? 201 : 200);
  const { body } = await world.ask(ann, path, {
    method,
    headers: { accept: 'application/vnd.kubernetes.protobuf, application/json', ...(type === undefined ? {} : { 'content-type': type }) },
    ...(type === undefined ? {} : { body: JSON.stringify(secret) }),
  });
  expect(passwordOf(body)).toBe(path.includes('secrets') ? HIDDEN : '[redacted]');
  expect(world.seen[0]!.headers).toMatchObject({ accept: ['application/json'], 'accept-encoding': ['identity'] });
  await expect.poll(() => world.recorder.events.length).toBe(1);
  const data = world.recorder.events[0]!.data ?? '';
  expect(JSON.parse(data)).toMatchObject({ values: 'hidden' });
  if (path.includes('secrets')) expect(data).not.toContain('aHVudGVyMg');
});

it('a list is still paged and keeps its count, because none of its objects is left out', async () => {
  answering({ kind: 'SecretList', metadata: { continue: 'next', remainingItemCount: 4 }, items: [secret, secret] });
  const { body } = await world.ask(ann, `${SECRETS}?limit=2`);
  expect(JSON.parse(body)).toMatchObject({
    metadata: { continue: 'next', remainingItemCount: 4 },
    items: [{ data: { password: HIDDEN } }, {}],
  });
  expect(world.seen[0]!.url).toBe('/api/v1/namespaces/shop/secrets?limit=2');
  expect(world.recorder.events[0]!.data).not.toContain('"hidden":');
});

it('tables are requested if their cells show no values', async () => {
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
  await world.ask(ann, `${SECRETS}/db`, { headers: { accept } });
  await world.ask(ann, '/east/apis/example.com/v1/namespaces/shop/vaults/db', { headers: { accept } });
  expect(world.seen.map(({ headers }) => headers['accept'])).toEqual([[accept], ['application/json']]);
});

it.each([
  ['an update, which would write back what was shown', 'PUT', `${SECRETS}/db`, {}],
  [
    'a JSON patch, which can copy values to fields that are shown',
    'PATCH',
    `${SECRETS}/db`,
    { 'content-type': 'application/json-patch+json' },
  ],
  ['a patch of an unknown form', 'PATCH', `${SECRETS}/db`, {}],
  ['only protobuf', 'GET', `${SECRETS}/db`, { accept: 'application/vnd.kubernetes.protobuf' }],
  ['only CBOR', 'GET', `${SECRETS}/db`, { accept: 'application/cbor' }],
  ['only YAML', 'GET', `${SECRETS}/db`, { accept: 'application/yaml' }],
])('refused is %s', async (_claim, method, path, headers) => {
  const { status, body } = await world.ask(ann, path, { method, headers, ...(method === 'GET' ? {} : { body: '{}' }) });
  expect([status, body]).toEqual([403, expect.stringContaining('KUBE_UNSUPPORTED') as string]);
  expect(world.seen).toEqual([]);
});

it.each([
  ['in another form', 'k8s\0aHVudGVyMg==', 'application/vnd.kubernetes.protobuf'],
  ['that is not an object', '["aHVudGVyMg=="]', 'application/json'],
  ['followed by more data', '{"kind":"Secret"} {"data":{"password":"aHVudGVyMg=="}}', 'application/json'],
])('nothing of an answer %s is passed on', async (_claim, body, type) => {
  answering(body, type);
  const told = await world.ask(ann, `${SECRETS}/db`).then(
    (answer) => answer.body,
    () => 'cut off',
  );
  expect(told).not.toContain('aHVudGVyMg');
});

it('refusals of the API server, other resources and logs are passed on unchanged', async () => {
  answering('{"kind":"Status","code":404}', 'application/json', 404);
  expect(await world.ask(ann, `${SECRETS}/db`)).toMatchObject({ status: 404, body: '{"kind":"Status","code":404}' });
  answering(secret);
  expect(passwordOf((await world.ask(ann, '/east/api/v1/namespaces/shop/configmaps/db')).body)).toBe('aHVudGVyMg==');
  world.snapshot = { ...world.snapshot, roles: [dev, kubeRole('careful', [], { deny: { kubernetes_values: ['*'] } })] };
  world.changed();
  expect(passwordOf((await world.ask(ann, '/east/api/v1/namespaces/shop/configmaps/db')).body)).toBe('[redacted]');
  answering('a line', 'text/plain');
  expect((await world.ask(ann, '/east/api/v1/namespaces/shop/pods/web/log')).body).toBe('a line');
});

it('a watch that showed values ends when a role hides them, and one that hid them continues to hide them', async () => {
  const open = async () => {
    let send!: (text: string) => void;
    const begun = new Promise<void>((resolve) => {
      world.answer = (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
        send = (text) => void response.write(`${text}\n`);
        resolve();
      };
    });
    const socket = await world.raw(ann);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString())).on('error', () => undefined);
    socket.write(`GET ${SECRETS}?watch=true HTTP/1.1\r\nHost: x\r\n\r\n`);
    await begun;
    const until = async (part: string): Promise<string> => {
      while (!text.includes(part)) await once(socket, 'data');
      return text;
    };
    return { socket, until, send: (name: string) => send(JSON.stringify({ type: 'ADDED', object: { ...secret, metadata: { name } } })) };
  };
  const hiding = await open();
  hiding.send('one');
  expect(await hiding.until('"one"')).not.toContain('aHVudGVyMg');
  world.snapshot = { ...world.snapshot, roles: [dev, kubeRole('careful', [])] };
  world.changed();
  hiding.send('two');
  expect(await hiding.until('"two"')).not.toContain('aHVudGVyMg');
  hiding.socket.destroy();
  const showing = await open();
  showing.send('three');
  expect(await showing.until('"three"')).toContain('aHVudGVyMg');
  world.snapshot = { ...world.snapshot, roles: [dev, careful] };
  const ended = once(showing.socket, 'close');
  world.changed();
  await ended;
});
