/** Request bodies of writes in request events, as roles demand them. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { kubeRole, openKubeWorld } from '../testing/kube-world.js';
import type { KubeWorld, Pair } from '../testing/kube-world.js';

const MAPS = '/east/api/v1/namespaces/shop/configmaps';
const SECRETS = '/east/api/v1/namespaces/shop/secrets';
const all = [{ groups: ['devs'] }];

let world: KubeWorld;
let ann: Pair;
beforeEach(async () => {
  world = await openKubeWorld();
  ann = await world.user();
});
afterEach(() => world.close());

const records = (recording: object, ...more: ReturnType<typeof kubeRole>[]): void => {
  world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', all, { recording }), ...more] };
};
async function bodyOf(path: string, body: object, method = 'POST'): Promise<unknown> {
  await world.ask(ann, path, { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });
  await expect.poll(() => world.recorder.events.length).toBeGreaterThan(0);
  return (JSON.parse(world.recorder.events.pop()!.data ?? '{}') as { body?: unknown }).body;
}

it('bodies are in no event unless a role says so', async () => {
  expect(await bodyOf(MAPS, { data: { k: 'v' } })).toBeUndefined();
  expect(world.seen[0]!.body).toBe('{"data":{"k":"v"}}');
});

it('bodies are in the events of writes and are passed on unchanged; those of Secrets are recorded without their values', async () => {
  records({ bodies: 'writes' });
  expect(await bodyOf(MAPS, { data: { k: 'v' } })).toMatchObject({ json: { data: { k: 'v' } }, type: 'application/json', bytes: 18 });
  expect(await bodyOf(SECRETS, { data: { k: 'hunter2' } })).toMatchObject({ json: { data: { k: '[redacted]' } }, redacted: true });
  expect(await bodyOf(`${MAPS}/x`, { data: { k: 'w' } }, 'PATCH')).toMatchObject({ json: { data: { k: 'w' } } });
  expect(world.seen.map(({ body }) => body)).toEqual(['{"data":{"k":"v"}}', '{"data":{"k":"hunter2"}}', '{"data":{"k":"w"}}']);
  // An access review is not a write.
  expect(await bodyOf('/east/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { spec: {} })).toBeUndefined();
});

it("bodies are recorded without the resources that any of the user's roles marks", async () => {
  records({ bodies: 'writes' }, kubeRole('careful', [], { recording: { redact: ['configmaps'] } }));
  ann = await world.user({ roles: ['dev', 'careful'] });
  expect(await bodyOf(MAPS, { data: { k: 'hunter2' } })).toMatchObject({ json: { data: { k: '[redacted]' } }, redacted: true });
});

it('bodies of requests that the gateway or the API server refuses are recorded as well, if they were read', async () => {
  records({ bodies: 'writes' });
  world.answer = (_, response) => response.writeHead(409, { 'content-type': 'application/json' }).end('{"kind":"Status"}');
  expect(await bodyOf(MAPS, { data: { k: 'v' } })).toMatchObject({ json: { data: { k: 'v' } } });
  world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [], { recording: { bodies: 'writes' } })] };
  expect(await bodyOf(MAPS, { data: { k: 'v' } })).toBeUndefined();
});
