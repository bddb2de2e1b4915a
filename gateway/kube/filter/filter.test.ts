import { Readable } from 'node:stream';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KubeObject } from '#schemas/policy/kubernetes.js';
import { ListFilter, WatchFilter } from './answer-filter.js';
import type { FilterRules } from './answer-filter.js';
import { FormError } from './members.js';
import { hideValues } from './values.js';
import { filteredAccept, filteredQuery } from './negotiation.js';

const shows = ({ namespace, name }: KubeObject): boolean => namespace !== 'secret' && !name.startsWith('x');

async function filtered(filter: (rules: FilterRules) => Transform, text: string, cuts: readonly number[] = [7]) {
  let hidden = 0;
  const bytes = Buffer.from(text);
  const chunks: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const end = at + cuts[i % cuts.length]!;
    chunks.push(bytes.subarray(at, end));
    at = end;
  }
  const got: Buffer[] = [];
  await pipeline(Readable.from(chunks), filter({ shows, hide: null, hid: () => (hidden += 1) }), async (out: AsyncIterable<Buffer>) => {
    for await (const chunk of out) got.push(chunk);
  });
  return { text: Buffer.concat(got).toString(), hidden };
}
const list = (text: string, cuts?: readonly number[]) => filtered((rules) => new ListFilter(rules), text, cuts);
const watch = (text: string, cuts?: readonly number[]) => filtered((rules) => new WatchFilter(rules), text, cuts);

const name = fc.constantFrom('a', 'b', 'xa', 'x', 'web-1');
const namespace = fc.constantFrom(undefined, 'shop', 'secret');
const noise = fc.jsonValue({ maxDepth: 3 });
const object = fc.record({ metadata: fc.record({ name, namespace, labels: noise }), spec: noise });
type One = { readonly metadata: { readonly name: string; readonly namespace?: string | undefined } };
const isShown = ({ metadata }: One): boolean => shows({ name: metadata.name, namespace: metadata.namespace ?? null });
const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 });
const spaced = fc.constantFrom(undefined, 1, '\t');

describe('a list', () => {
  it('equals the result of JSON.parse and a filter, in any form and in pieces of any size', () =>
    fc.assert(
      fc.asyncProperty(fc.array(object), cuts, spaced, async (items, at, space) => {
        const whole = { kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: '7' }, items };
        const { text, hidden } = await list(JSON.stringify(whole, null, space), at);
        const expected = JSON.parse(JSON.stringify({ ...whole, items: items.filter(isShown) })) as unknown;
        expect(JSON.parse(text)).toEqual(expected);
        expect(hidden).toBe(items.filter((one) => !isShown(one)).length);
      }),
      { numRuns: 300 },
    ));

  it('in table form is filtered by the objects of its rows', () =>
    fc.assert(
      fc.asyncProperty(fc.array(object), cuts, async (objects, at) => {
        const rows = objects.map((one) => ({ cells: [one.metadata.name, 1], object: { kind: 'PartialObjectMetadata', ...one } }));
        const table = { kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata: {}, columnDefinitions: [{ name: 'Name' }], rows };
        const { text } = await list(JSON.stringify(table), at);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify({ ...table, rows: rows.filter((row) => isShown(row.object)) })));
      }),
    ));

  it('omits the count and the continue token, unknown members, and objects without a name', async () => {
    const { text } = await list(
      '{"kind":"PodList","metadata":{"resourceVersion":"7","remainingItemCount":3,"continue":"eyJ4IjoxfQ"},"Items":[{"metadata":{"name":"x"}}],' +
        '"items":[{"metadata":{}},{},null,7,"a",{"metadata":{"name":""}},{"metadata":{"name":["a"]}}]}',
    );
    expect(text).toBe('{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[]}\n');
  });

  it('recognizes escaped keys, and keeps numbers as they are written', async () => {
    const { text } = await list('{"it\\u0065ms":[{"metadata":{"name":"xa"}},{"metadata":{"name":"a"},"n":12345678901234567890.10}]}');
    expect(text).toBe('{"items":[{"metadata":{"name":"a"},"n":12345678901234567890.10}]}\n');
  });

  it.each([
    '',
    '[]',
    '{',
    '{"items":[}',
    '{"items":[{"a":1}',
    '{"items":{}}',
    '{"items":"x"}',
    '{"kind":PodList}',
    '{}{}',
    '{"a":1 2}',
    '{"items":[1 2]}',
    '{"items":[,]}',
    '{,}',
    'null',
  ])('in another form is cut off: %s', async (text) => {
    await expect(list(text, [1])).rejects.toThrow(FormError);
    await expect(list(text, [1_000])).rejects.toThrow(FormError);
  });

  it.each([
    ['', null],
    [', without values', hideValues({ encoded: false })],
  ])('of 100 MB passes in constant memory%s', async (_claim, hide) => {
    const one = JSON.stringify({ metadata: { name: 'a', namespace: 'shop' }, data: { text: 'y'.repeat(9_900) } });
    const hiddenOne = one.replace('shop', 'secret');
    const objects = 10_500;
    function* source() {
      yield Buffer.from('{"kind":"ConfigMapList","items":[');
      for (let i = 0; i < objects; i++) yield Buffer.from(`${i === 0 ? '' : ','}${i % 2 === 0 ? one : hiddenOne}`);
      yield Buffer.from(']}');
    }
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    let [peak, bytes] = [0, 0];
    await pipeline(Readable.from(source()), new ListFilter({ shows, hide, hid: () => undefined }), async (out: AsyncIterable<Buffer>) => {
      for await (const chunk of out) {
        bytes += chunk.length;
        peak = Math.max(peak, process.memoryUsage().rss);
      }
    });
    expect(bytes).toBeGreaterThan((objects / 2) * (hide === null ? one : hide.object(one)).length);
    expect(peak - before).toBeLessThan(100 << 20);
  });

  it('with an object over the limit is cut off', async () => {
    await expect(list(`{"items":[{"metadata":{"name":"${'a'.repeat(17 << 20)}"}}]}`, [1 << 20])).rejects.toThrow(/beyond the limit/);
  });
});

describe('a watch', () => {
  const event = fc.record({ type: fc.constantFrom('ADDED', 'MODIFIED', 'DELETED'), object });
  it('shows the events of permitted objects, and bookmarks', () =>
    fc.assert(
      fc.asyncProperty(fc.array(event), cuts, async (events, at) => {
        const bookmark = { type: 'BOOKMARK', object: { kind: 'Pod', metadata: { resourceVersion: '9' } } };
        const { text } = await watch([...events, bookmark].map((one) => `${JSON.stringify(one)}\n`).join(''), at);
        const expected = [...events.filter((one) => isShown(one.object)), bookmark];
        expect(text.split('\n').slice(0, -1)).toEqual(expected.map((one) => JSON.stringify(one)));
      }),
    ));

  it('in table form shows the rows of permitted objects', async () => {
    const rows = ['a', 'xa'].map((one) => ({ cells: [one], object: { metadata: { name: one } } }));
    const table = (some: readonly object[]) =>
      JSON.stringify({ type: 'ADDED', object: { kind: 'Table', apiVersion: 'meta.k8s.io/v1', rows: some } });
    expect((await watch(`${table(rows)}\n${table(rows.slice(1))}\n`)).text).toBe(`${table(rows.slice(0, 1))}\n`);
  });

  it('passes an event on as soon as it is complete', async () => {
    const filter = new WatchFilter({ shows, hide: null, hid: () => undefined });
    const first = '{"type":"ADDED","object":{"metadata":{"name":"a"}}}';
    filter.write(first);
    expect(String(filter.read())).toBe(`${first}\n`);
  });

  it.each([
    '{"type":"OTHER","object":{"metadata":{"name":"a"}}}',
    '[]',
    'x',
    '{"type":"ADDED","object":{"kind":"Table","apiVersion":"meta.k8s.io/v1"}}',
    '{"type":1}',
  ])('in another form is cut off: %s', async (text) => {
    await expect(watch(text)).rejects.toThrow(FormError);
  });
});

describe('the request to the API server', () => {
  it.each([
    ['application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json', undefined],
    ['application/vnd.kubernetes.protobuf,application/json', 'application/json'],
    ['*/*', 'application/json'],
    ['application/json;as=Else;v=v1;g=meta.k8s.io,application/json;q=0.5', 'application/json'],
  ])('asks with Accept: %s', (accept, expected = accept) => expect(filteredAccept(accept, true)).toBe(expected));
  it('is refused if the client accepts no JSON', () =>
    expect(() => filteredAccept('application/vnd.kubernetes.protobuf', true)).toThrow(/JSON/));
  it('asks for whole lists, and for the objects of table rows', () =>
    expect(filteredQuery('limit=500&labelSelector=a%3Db&includeObject=None&watch=true')).toBe('labelSelector=a%3Db&watch=true'));
});
