/** Lists and watches of a real API server in every form, with roles that show everything, certain objects, or only keys. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../end-to-end/machine.js';
import { lacking } from './kubernetes.js';
import { openKubeScene, succeeded } from './scene.js';
import type { KubeScene } from './scene.js';
import { ask, directWay, gatewayWay } from './ways.js';
import type { Answered, Way } from './ways.js';

if (lacking !== null) console.warn(`skipped: ${lacking}`);

interface Meta {
  readonly name?: string;
  readonly namespace?: string;
  readonly resourceVersion?: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
  readonly annotations?: Readonly<Record<string, string>>;
}
interface One {
  readonly kind?: string;
  readonly metadata: Meta;
}
interface List extends One {
  readonly items?: readonly One[];
  readonly rows?: readonly { readonly cells: readonly unknown[]; readonly object: One }[];
  readonly columnDefinitions?: unknown;
}
interface Event {
  readonly type: string;
  readonly object: List;
}

const MAPS = '/api/v1/configmaps';
const SECRETS = '/api/v1/namespaces/shop/secrets';
const JSON_FORM = 'application/json';
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io';
const PARTIAL = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io';
const PARTIAL_ONE = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io';
const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const STREAMED = 'watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=20';

/** The value of the Secret, and its base64 forms at every alignment. */
const TELLS = 'hunter2-of-the-vault';
const traces = [
  TELLS,
  ...[0, 1, 2].map((before) =>
    Buffer.from(`${'.'.repeat(before)}${TELLS}`)
      .toString('base64')
      .slice(4, -4),
  ),
];
const tells = (body: Buffer | string): boolean => traces.some((trace) => body.toString('latin1').includes(trace));

const listOf = ({ body }: Answered): List => JSON.parse(body.toString()) as List;
const eventsOf = ({ body }: Answered): readonly Event[] =>
  body
    .toString()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Event);
/** Whether a streamed list is complete. An API server whose etcd is too old sends an error event. */
const isOver = (body: Buffer): boolean =>
  /k8s\.io\/initial-events-end|"type":"ERROR"/.test(body.toString('latin1')) && body.at(-1) === 0x0a;

describe.skipIf(lacking !== null)('a list of a real API server', () => {
  let scene: KubeScene;
  let [direct, gateway] = [undefined as unknown as Way, undefined as unknown as Way];
  const kubectl = (...args: readonly string[]) => scene.steno.exec(scene.kubernetes.kubectl, args);
  const beside = (...args: readonly string[]) => succeeded(kubectl('--kubeconfig', scene.configs.direct, ...args));
  let said = 0;
  /** Each version of the role allows a new request, which shows that the gateway has the new version. */
  const role = async (rule: object, more: object = {}): Promise<void> => {
    const sign = `sign-${said++}`;
    const rules = [
      rule,
      { groups: ['system:masters'], resources: ['configmaps'], verbs: ['delete'], names: [sign], namespaces: ['signs'] },
    ];
    const document = { kind: 'role', name: 'kube', allow: { kubernetes: rules }, deny: more };
    await succeeded(scene.steno.steno('apply', '-f', scene.file('role.json', JSON.stringify(document))));
    await eventually(
      () => kubectl('delete', 'configmap', sign, '-n', 'signs'),
      ({ stderr }) => stderr.includes('NotFound'),
    );
  };
  const both = async (
    path: string,
    accept: string,
    until?: (body: Buffer) => boolean,
  ): Promise<readonly [ours: Answered, theirs: Answered]> => [
    await ask(gateway, path, { accept }, until),
    await ask(direct, path, { accept }, until),
  ];

  beforeAll(async () => {
    scene = await openKubeScene();
    [direct, gateway] = [directWay(scene), gatewayWay(scene)];
    for (const namespace of ['shop', 'bank']) {
      await beside('create', 'namespace', namespace);
      for (const name of ['a', 'b', 'c']) await beside('create', 'configmap', name, '-n', namespace, `--from-literal=of=${namespace}`);
    }
    await beside('create', 'namespace', 'signs');
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db', namespace: 'shop' }, stringData: { password: TELLS } };
    await beside('apply', '-f', scene.file('secret.json', JSON.stringify(secret)));
  }, 300_000);
  afterAll(async () => {
    for (const { agent } of [direct, gateway]) agent?.destroy();
    await scene?.close();
  }, 60_000);

  describe('that roles show completely', () => {
    beforeAll(() => role({ groups: ['system:masters'], verbs: ['get', 'list', 'watch'] }));

    it.each([
      ['JSON', JSON_FORM],
      ['protobuf', PROTOBUF],
      ['a table', TABLE],
      ['a table in protobuf, which is refused', `${PROTOBUF};as=Table;v=v1;g=meta.k8s.io`],
      ['metadata only', PARTIAL],
    ])('as %s is byte for byte the same as directly, in one page and in several', async (_claim, accept) => {
      const { resourceVersion = '' } = listOf(await ask(direct, MAPS, { accept: JSON_FORM })).metadata;
      const exactly = `${MAPS}?resourceVersion=${resourceVersion}&resourceVersionMatch=Exact`;
      for (const path of [exactly, `${exactly}&limit=2`, `${exactly}&limit=500`]) {
        const [ours, theirs] = await both(path, accept);
        expect([ours.status, ours.type]).toEqual([theirs.status, theirs.type]);
        expect(ours.body.equals(theirs.body)).toBe(true);
      }
    });

    it('streamed as a watch is the same as directly', async () => {
      const [ours, theirs] = await both(`${MAPS}?${STREAMED}`, JSON_FORM, isOver);
      expect(theirs.status).toBe(200);
      const names = (answer: Answered) =>
        eventsOf(answer).map(({ type, object }) => [type, object.metadata.namespace, object.metadata.name]);
      expect(names(ours)).toEqual(names(theirs));
    });
  });

  describe('of which roles show one namespace', () => {
    beforeAll(() => role({ groups: ['system:masters'], verbs: ['get', 'list', 'watch'], namespaces: ['shop'] }));
    const shown = ({ metadata }: One): boolean => metadata.namespace === 'shop';
    const part = ({ kind, items, rows, columnDefinitions }: List) => ({
      ...{ kind, columnDefinitions },
      items: items?.filter(shown),
      rows: rows?.filter(({ object }) => shown(object)),
    });

    it.each([
      ['JSON', JSON_FORM],
      ['a table', TABLE],
      [
        'a table, for a client that accepts other forms as well',
        `${TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json`,
      ],
      ['metadata only', PARTIAL],
      ['JSON, for a client that prefers protobuf', `${PROTOBUF}, application/json`],
    ])('as %s is that part of the direct answer, for any page and version', async (_claim, accept) => {
      const plain = accept.startsWith(PROTOBUF) ? JSON_FORM : accept;
      const first = listOf(await ask(direct, `${MAPS}?limit=2`, { accept: JSON_FORM })).metadata;
      expect(first.continue).toBeTruthy();
      const version = first.resourceVersion!;
      // The API server's cache may lag behind the newest version, but has this one.
      const older = listOf(await ask(direct, '/api/v1/namespaces/shop/configmaps/a')).metadata.resourceVersion!;
      for (const [query, all = query] of [
        [''],
        ['limit=1', ''],
        ['limit=500', ''],
        ['resourceVersion=0'],
        [`resourceVersion=${version}&resourceVersionMatch=Exact`],
        [`resourceVersion=${version}&resourceVersionMatch=Exact&limit=1`, `resourceVersion=${version}&resourceVersionMatch=Exact`],
        [`resourceVersion=${older}&resourceVersionMatch=NotOlderThan`],
        [
          `resourceVersion=${older}&resourceVersionMatch=NotOlderThan&limit=1`,
          `resourceVersion=${older}&resourceVersionMatch=NotOlderThan`,
        ],
        [`continue=${encodeURIComponent(first.continue!)}`],
        [`continue=${encodeURIComponent(first.continue!)}&limit=1`, `continue=${encodeURIComponent(first.continue!)}`],
        ['fieldSelector=metadata.name%3Db'],
        ['fieldSelector=metadata.namespace%3Dbank'],
      ] as const) {
        const ours = await ask(gateway, `${MAPS}?${query}`, { accept });
        const theirs = listOf(await ask(direct, `${MAPS}?${all}`, { accept: plain }));
        expect(ours.status).toBe(200);
        const list = listOf(ours);
        expect(part(list)).toEqual(part(theirs));
        expect([...(list.items ?? []), ...(list.rows ?? []).map(({ object }) => object)].every(shown)).toBe(true);
        expect([list.metadata.continue, list.metadata.remainingItemCount]).toEqual([undefined, undefined]);
      }
    });

    it.each(['resourceVersionMatch=Exact', 'resourceVersion=0&resourceVersionMatch=Exact', 'resourceVersion=x', 'continue=x'])(
      'that the API server refuses is refused with the same message: %s',
      async (query) => {
        const [ours, theirs] = await both(`${MAPS}?${query}`, JSON_FORM);
        expect(theirs.status).toBeGreaterThanOrEqual(400);
        expect([ours.status, ours.body.toString()]).toEqual([theirs.status, theirs.body.toString()]);
      },
    );

    it.each([
      ['JSON', JSON_FORM],
      ['tables', TABLE],
      ['metadata only', PARTIAL_ONE],
    ])('streamed as a watch of %s begins with that part and the bookmark that ends it', async (_claim, accept) => {
      const [ours, theirs] = await both(`${MAPS}?${STREAMED}`, accept, isOver);
      expect([ours.status, theirs.status]).toEqual([200, 200]);
      const objects = ({ object }: Event): readonly One[] => object.rows?.map((row) => row.object) ?? [object];
      const told = (events: readonly Event[]) =>
        events.map((event) => [event.type, ...objects(event).map(({ kind, metadata: { namespace, name } }) => [kind, namespace, name])]);
      const expected = eventsOf(theirs).filter((event) => ['BOOKMARK', 'ERROR'].includes(event.type) || objects(event).every(shown));
      expect(told(eventsOf(ours))).toEqual(told(expected));
    });

    it('is refused to a client that accepts only protobuf', async () => {
      const { status, body } = await ask(gateway, MAPS, { accept: PROTOBUF });
      expect([status, body.toString()]).toEqual([403, expect.stringContaining('KUBE_UNSUPPORTED') as string]);
    });
  });

  describe('with values that a role hides', () => {
    beforeAll(() => role({ groups: ['system:masters'] }, { kubernetes_values: ['secrets'] }));
    beforeEach(async () => expect(tells((await ask(direct, `${SECRETS}/db`)).body)).toBe(true));

    it.each([
      JSON_FORM,
      TABLE,
      PARTIAL,
      PARTIAL_ONE,
      PROTOBUF,
      `${PROTOBUF}, */*`,
      `${PROTOBUF};as=Table;v=v1;g=meta.k8s.io`,
      'application/yaml',
      'application/cbor',
      'application/json;stream=watch',
      '*/*',
    ])('has no value in a get, list or watch as %s', async (accept) => {
      for (const [path, until] of [
        [`${SECRETS}/db`],
        [`${SECRETS}/db?includeObject=Object`],
        [`${SECRETS}/db?pretty=true`],
        [SECRETS],
        [`${SECRETS}?includeObject=Object&limit=1`],
        [`${SECRETS}?fieldSelector=metadata.name%3Ddb`],
        ['/api/v1/secrets'],
        [`${SECRETS}?${STREAMED}`, isOver],
        [`${SECRETS}?${STREAMED}&includeObject=Object`, isOver],
      ] as const) {
        const { status, body } = await ask(gateway, path, { accept }, until);
        expect(tells(body)).toBe(false);
        if (status === 200) expect(body.toString()).toMatch(/"db"|"type":"ERROR"/);
        else expect([403, 406]).toContain(status);
      }
    });

    it('kubectl reads keys, and writes values without reading them', async () => {
      const shop = ['-n', 'shop'];
      for (const form of [
        ['get', 'secret', 'db', '-o', 'yaml'],
        ['get', 'secrets'],
        ['get', 'secrets', '-o', 'json'],
        ['describe', 'secret', 'db'],
      ]) {
        const { status, stdout } = await kubectl(...form, ...shop);
        expect([status, tells(stdout), stdout.includes('db')]).toEqual([0, false, true]);
      }
      const manifest = (password: string): string =>
        scene.file(
          'written.json',
          JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'written' }, stringData: { password, fixed: 'f' } }),
        );
      const password = async (): Promise<string> =>
        Buffer.from(await beside('get', 'secret', 'written', ...shop, '-o', 'jsonpath={.data.password}'), 'base64').toString();
      for (const [value, ...how] of [['one'], ['two'], ['three', '--server-side', '--force-conflicts']] as const) {
        await succeeded(kubectl('apply', ...how, '-f', manifest(value), ...shop));
        expect(await password()).toBe(value);
      }
      await succeeded(kubectl('label', 'secret', 'written', 'a=b', ...shop));
      await succeeded(kubectl('patch', 'secret', 'written', ...shop, '-p', '{"stringData":{"password":"four"}}'));
      expect(await password()).toBe('four');
      const shown = scene.file('shown.json', await succeeded(kubectl('get', 'secret', 'written', ...shop, '-o', 'json')));
      expect((await kubectl('replace', '-f', shown)).stderr).toMatch(/PUT of secrets, whose values roles hide.*KUBE_UNSUPPORTED/);
      const copy = '[{"op":"copy","from":"/data/password","path":"/metadata/labels/seen"}]';
      expect((await kubectl('patch', 'secret', 'written', ...shop, '--type=json', '-p', copy)).stderr).toMatch(/KUBE_UNSUPPORTED/);
      expect(await password()).toBe('four');
      await succeeded(kubectl('delete', 'secret', 'written', ...shop));
    });
  });
});
